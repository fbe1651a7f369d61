"""The sets of ipset, which rules of iptables look addresses up in, out of the messages of the kernel.

Source of the format: include/uapi/linux/netfilter/ipset/ip_set.h and net/netfilter/ipset/ip_set_core.c of the kernel.

A large set takes several messages: the first tells what it is, all of them bring elements, in an order that chance
decides.  Left out of its digest is what fills up by itself (sizes, counters, elements that run out) and what another
kernel gives by default.
"""

import hashlib
from typing import Dict, List, NamedTuple, Tuple

from ...model import Row
from ...netlink import attribute, attributes, elements, messages, number, text

SUBSYSTEM = 6 << 8  # NFNL_SUBSYS_IPSET
GET_SETS = SUBSYSTEM | 7
REQUEST = (bytes(4) + attribute(1, b"\6")).hex()  # for all sets, in the protocol's version 6

_FAMILIES = {0: "any", 2: "ip", 10: "ip6"}
_SETTINGS = (1, 2, 3, 4, 5, 8, 10, 11, 12, 19, 20)  # ranges, flags, marks, masks and the most elements
_TIMEOUT, _FLAGS, _BYTES, _PACKETS = 6, 8, 24, 25
_COUNTED = 8  # of the flags of a set


class _Set(NamedTuple):
    """What the messages tell of one set: its type and family, its settings, and its elements as they stand there."""

    kind: str
    family: int
    settings: Dict[int, bytes]
    elements: List[bytes]


def parse(answer: bytes) -> List[Tuple[Row, int]]:
    """Return a row for each set, with the number of its elements that run out.  Raises ValueError."""
    return [_row(name, found) for name, found in _sets(answer).items()]


def _sets(answer: bytes) -> Dict[str, _Set]:
    found: Dict[str, _Set] = {}
    for message in messages(answer):
        told = attributes(message.body, 4)
        name = text(told.get(2))
        if 7 in told:
            found[name] = _Set(text(told.get(3)), number(told.get(5, b"")), attributes(told[7]), [])
        if 8 in told:
            if name not in found:
                raise ValueError("elements of no set")
            found[name].elements.extend(value for _, value in elements(told[8]))
    return found


def _row(name: str, found: _Set) -> Tuple[Row, int]:
    lasting = found.elements
    moving = _TIMEOUT in found.settings or number(found.settings.get(_FLAGS, b""), "big") & _COUNTED
    if moving:  # taking a hundred thousand elements apart is dear
        taken = map(elements, found.elements)
        lasting = [_lasting(one) for one in taken if not number(dict(one).get(_TIMEOUT, b""), "big")]
    settings = [b"%d %s" % (kind, found.settings[kind]) for kind in _SETTINGS if kind in found.settings]
    told = hashlib.sha256(b"".join(map(_counted, settings)) + b"".join(map(_counted, sorted(lasting))))
    row: Row = {
        "kind": "ipset",
        "family": _FAMILIES.get(found.family, "family %d" % found.family),
        "table": None,
        "name": name,
        "type": found.kind,
        "timeout": number(found.settings[_TIMEOUT], "big") if _TIMEOUT in found.settings else None,
        "elements": len(lasting),
        "digest": told.hexdigest(),
    }
    return row, len(found.elements) - len(lasting)


def _lasting(element: List[Tuple[int, bytes]]) -> bytes:
    kept = [(kind, value) for kind, value in element if kind not in (_TIMEOUT, _BYTES, _PACKETS) and value]
    return b"".join(attribute(kind, value) for kind, value in sorted(kept))


def _counted(data: bytes) -> bytes:
    return b"%d:%s" % (len(data), data)
