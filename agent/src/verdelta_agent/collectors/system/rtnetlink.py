"""Addresses, routes and policy rules, out of the messages of rtnetlink.

Source of the format: rtnetlink(7), include/uapi/linux/{if_addr,if_link,rtnetlink,fib_rules}.h of the kernel.
"""

import re
import sys
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from ...model import Row, Rows
from ...netlink import attributes, elements, messages, number, text
from ..hardware.network import PASSING
from .addresses import written

# RTM_GETLINK, without the counters of packets (IFLA_EXT_MASK); kind and body of the request
LINKS = (18, "00" * 16 + (b"\x08\0\x1d\0\x08\0\0\0" if sys.byteorder == "little" else b"\0\x08\0\x1d\0\0\0\x08").hex())

_OVERLAY = re.compile(r"(flannel|cni[0-9]|kube-|nodelocaldns|vxlan\.calico|tunl0|weave|gre0|cilium)")  # of clusters
_FAMILIES = {2: "ipv4", 10: "ipv6"}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_PERMANENT = 0x80  # of the flags of an address: it has no lifetime
_BY_ITSELF = {2: "advertised by a router", 3: "link-local", 18: "keepalived moves it from host to host"}  # IFA_PROTO
_PROTOCOLS = {0: "unspecified", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 11: "zebra", 12: "bird"}
_PROTOCOLS.update({16: "dhcp", 18: "keepalived", 42: "babel", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip"})
_BY_PEOPLE = (3, 4, 196)  # boot: by a command without a protocol; static; the static routes of FRR
_TYPES = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable"}
_TYPES.update({8: "prohibit", 9: "throw", 10: "nat"})
_OPTIONS = {1: "lock", 2: "mtu", 3: "window", 4: "rtt", 5: "rttvar", 6: "ssthresh", 7: "cwnd", 8: "advmss"}
_OPTIONS.update({9: "reordering", 10: "hoplimit", 11: "initcwnd", 12: "features", 13: "rto_min", 14: "initrwnd"})
_TABLES = {253: "default", 254: "main", 255: "local"}
_MAIN = 254
_CACHED = 0x200  # of the flags of a route
_ACTIONS = {1: "table", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_INVERTED = 2  # of the flags of a rule
_DEFAULT_RULES = {("ipv4", 0, "local"), ("ipv4", 32766, "main"), ("ipv4", 32767, "default")}
_DEFAULT_RULES |= {("ipv6", 0, "local"), ("ipv6", 32766, "main")}
_NOT_SET = 0xFFFFFFFF
_COMES_AND_GOES = "its interface comes and goes"


class Lists(NamedTuple):
    """The answers of the kernel."""

    links: bytes = b""
    addresses: bytes = b""
    routes: bytes = b""
    rules: bytes = b""


class Found(NamedTuple):
    """One row, and why it is only shown; None where it is compared."""

    key: str
    row: Row
    reason: Optional[str]


def parse(lists: Lists) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows.  Raises ValueError."""
    names = link_names(lists.links)
    found = _unless_single(list(_addresses(lists.addresses, names)))
    found += _routes(lists.routes, names)
    found += _rules(lists.rules)
    rows: Rows = {}
    volatile: Rows = {}
    for one in found:
        if one.reason is None:
            _add(rows, one.key, one.row)
        else:
            _add(volatile, one.key, dict(one.row, reason=one.reason))
    return rows, volatile


def _add(rows: Rows, key: str, row: Row) -> None:
    """Add a row.  Routes that share a destination and a metric are several ways of one."""
    if "via" in rows.setdefault(key, row):
        rows[key]["via"] = sorted(set(rows[key]["via"]) | set(row["via"]))


def passing(name: str) -> bool:
    """Return whether an interface is one that containers, virtual machines or clusters make for themselves."""
    return PASSING.match(name) is not None or _OVERLAY.match(name) is not None


def link_names(data: bytes) -> Dict[int, str]:
    """Return number -> name of the interfaces.  Raises ValueError."""
    return dict(_links(data))


def _links(data: bytes) -> Iterator[Tuple[int, str]]:
    for message in messages(data):
        if message.kind == 16:  # RTM_NEWLINK
            _at_least(message.body, 16)
            yield number(message.body[4:8]), text(attributes(message.body, 16).get(3))


def _at_least(body: bytes, size: int) -> None:
    if len(body) < size:
        raise ValueError("%d bytes, at least %d" % (len(body), size))


# -- addresses


def _addresses(data: bytes, names: Dict[int, str]) -> Iterator[Found]:
    for message in messages(data):
        if message.kind == 20 and message.body[:1] in (b"\x02", b"\x0a"):  # RTM_NEWADDR
            _at_least(message.body, 8)
            yield _address(message.body, names)


def _address(body: bytes, names: Dict[int, str]) -> Found:
    found = attributes(body, 8)
    index = number(body[4:8])
    name = names.get(index, "interface %d" % index)
    far = written(found.get(1, b""))
    address = written(found[2]) if 2 in found else far
    label = text(found.get(3))
    row: Row = {
        "kind": "address",
        "interface": name,
        "address": address,
        "prefix": body[1],
        "peer": None if far == address else far,
        "scope": _SCOPES.get(body[3], str(body[3])),
        "label": None if label in ("", name) else label,
    }
    flags = number(found[8]) if 8 in found else body[2]
    reason = _BY_ITSELF.get(number(found.get(11, b"")))
    if not flags & _PERMANENT:
        reason = reason or "it has a lifetime"
    elif body[0] == 10 and row["scope"] == "link":
        reason = reason or _BY_ITSELF[3]
    elif passing(name):
        reason = reason or _COMES_AND_GOES
    return Found("address %s %s/%d" % (name, address, body[1]), row, reason)


def _unless_single(found: List[Found]) -> List[Found]:
    """Return the addresses, with those that stand for a service only shown.

    They have no network of their own, and stand beside the host's: a host that is known by one such address has
    nothing else.  Those of the loopback interface stay where they are.
    """
    counts: Dict[Tuple[str, bool], int] = {}
    for one in found:
        if one.reason is None:
            counts[_family_of(one)] = counts.get(_family_of(one), 0) + 1
    return [_single(one) if counts.get(_family_of(one), 0) > 1 else one for one in found]


def _family_of(found: Found) -> Tuple[str, bool]:
    return found.row["interface"], ":" in found.row["address"]


def _single(found: Found) -> Found:
    whole = 128 if ":" in found.row["address"] else 32
    single = found.row["prefix"] == whole and found.row["interface"] != "lo" and found.row["peer"] is None
    return found._replace(reason=found.reason or "a service's, which moves from host to host") if single else found


# -- routes


def _routes(data: bytes, names: Dict[int, str]) -> Iterator[Found]:
    for message in messages(data):
        if message.kind != 24:  # RTM_NEWROUTE
            continue
        _at_least(message.body, 12)
        found = attributes(message.body, 12)
        table = number(found[15]) if 15 in found else message.body[4]
        if message.body[0] in _FAMILIES and table == _MAIN and not number(message.body[8:12]) & _CACHED:
            yield _route(message.body, found, names)


def _route(body: bytes, found: Dict[int, bytes], names: Dict[int, str]) -> Found:
    family, length, tos, protocol = body[0], body[1], body[3], body[5]
    destination = "%s/%d" % (written(found.get(1, bytes(4 if family == 2 else 16))), length)
    metric = number(found.get(6, b""))
    ways = list(_ways(found, names))
    row: Row = {
        "kind": "route",
        "destination": destination,
        "metric": metric,
        "type": _TYPES.get(body[7], str(body[7])),
        "via": sorted({way for way, _ in ways}),
        "source": written(found[7]) if 7 in found else None,
        "protocol": _PROTOCOLS.get(protocol, str(protocol)),
        "options": sorted(_options(found.get(8, b""))),
    }
    key = "route %s metric %d" % (destination, metric) + (" tos %d" % tos if tos else "")
    return Found(key, row, _why_only_shown(found, protocol, {name for _, name in ways}))


def _why_only_shown(found: Dict[int, bytes], protocol: int, interfaces: Set[str]) -> Optional[str]:
    if protocol not in _BY_PEOPLE:
        return "set by itself: protocol %s" % _PROTOCOLS.get(protocol, str(protocol))
    if number(found.get(12, b"")[8:12]) or 23 in found:
        return "it has a lifetime"
    return _COMES_AND_GOES if any(map(passing, interfaces)) else None


def _ways(found: Dict[int, bytes], names: Dict[int, str]) -> Iterator[Tuple[str, str]]:
    """Yield each way of a route as text, and the name of its interface."""
    if 4 in found or 5 in found:
        yield _way(number(found.get(4, b"")), found, 0, names)
    data = found.get(9, b"")
    while len(data) >= 8:
        length = number(data[:2])
        if length < 8 or length > len(data):
            raise ValueError("a next hop of %d bytes" % length)
        yield _way(number(data[4:8]), attributes(data[8:length]), data[3], names)
        data = data[length + 3 & ~3 :]


def _way(index: int, found: Dict[int, bytes], weight: int, names: Dict[int, str]) -> Tuple[str, str]:
    name = names.get(index, "interface %d" % index)
    gateway = found[5] if 5 in found else found.get(18, b"")[2:]  # RTA_VIA: of another family, which comes first
    words = [written(gateway)] if gateway else []
    words.append(name)
    if weight:
        words.append("weight %d" % (weight + 1))
    if 21 in found:
        words.append("encapsulated %d" % number(found[21]))
    return " ".join(words), name


def _options(data: bytes) -> Iterator[str]:
    for kind, value in elements(data):
        name = _OPTIONS.get(kind, "option %d" % kind)
        yield "%s %s" % (name, text(value) if kind == 16 else number(value))  # RTAX_CC_ALGO is a name


# -- policy rules


def _rules(data: bytes) -> Iterator[Found]:
    for message in messages(data):
        if message.kind == 32 and message.body[:1] in (b"\x02", b"\x0a"):  # RTM_NEWRULE
            _at_least(message.body, 12)
            rule = _rule(message.body, attributes(message.body, 12))
            if rule is not None:
                yield rule


def _rule(body: bytes, found: Dict[int, bytes]) -> Optional[Found]:
    family, priority = _FAMILIES[body[0]], number(found.get(6, b""))
    table = number(found[15]) if 15 in found else body[4]
    named = _TABLES.get(table, str(table))
    selector = " ".join(_selectors(body, found))
    if not selector and body[7] == 1 and (family, priority, named) in _DEFAULT_RULES:
        return None
    length = number(found.get(14, b"\xff" * 4))
    row: Row = {
        "kind": "rule",
        "family": family,
        "priority": priority,
        "selector": selector,
        "action": _ACTIONS.get(body[7], str(body[7])),
        "table": named if body[7] == 1 else None,
        "goto": number(found[4]) if 4 in found else None,
        "suppress_prefix": None if length == _NOT_SET else length,
    }
    interfaces = [text(found[kind]) for kind in (3, 17) if kind in found]
    reason = _COMES_AND_GOES if any(map(passing, interfaces)) else None
    return Found("rule %s %d %s" % (family, priority, selector or "all"), row, reason)


def _selectors(body: bytes, found: Dict[int, bytes]) -> Iterator[str]:
    """Yield what a packet must be for a rule to apply to it."""
    if number(body[8:12]) & _INVERTED:
        yield "not"
    for kind, word, length in ((2, "from", body[2]), (1, "to", body[1])):
        if kind in found:
            yield "%s %s/%d" % (word, written(found[kind]), length)
    if body[3]:
        yield "tos %d" % body[3]
    if number(found.get(10, b"")) or number(found.get(16, b"")):
        yield "mark 0x%x/0x%x" % (number(found.get(10, b"")), number(found.get(16, b"\xff" * 4)))
    for kind, word in ((3, "in"), (17, "out")):
        if kind in found:
            yield "%s %s" % (word, text(found[kind]))
    if 20 in found:
        yield "uid %d-%d" % (number(found[20][:4]), number(found[20][4:8]))
    for kind, word in ((23, "source port"), (24, "port")):
        if kind in found:
            yield "%s %d-%d" % (word, number(found[kind][:2]), number(found[kind][2:4]))
    for kind, word in ((19, "l3mdev"), (22, "protocol"), (25, "dscp")):
        if number(found.get(kind, b"")):
            yield "%s %d" % (word, number(found[kind]))
    for kind in (12, 26, 27, 28, 29, 30):  # a tunnel, an IPv6 flow, and masks of newer kernels
        if found.get(kind, b"").strip(b"\0"):
            yield "attribute %d %s" % (kind, found[kind].hex())
