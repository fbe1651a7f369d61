"""The rules that decide which packets pass: nftables, the older iptables, and the sets of ipset.

Source of the format: see nftables.py, ipset.py and xtables.py; of /proc/net/ip_tables_names net/netfilter/x_tables.c
of the kernel.

iptables of today writes rules of nftables, and is seen as such.  Tables of the older one (iptables-legacy) are seen
where there is anything in them.  Kernels before 4.11 hand over their own working data with the rules: there, and
where they cannot be read at all, such tables are named, and the section is partial.

Chains and sets in which containers, clusters and banning daemons write whenever they like (DOCKER, KUBE-…, f2b-…) are
only shown.  An audit loads no module: where nf_tables is not loaded, it has no rules.
"""

import errno
import re
from typing import Dict, List, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ...netlink import NETFILTER, ROUTE, attribute
from ..incomplete import missing, together
from . import ipset, nftables, xtables
from .nftables import Answers, Named
from .rtnetlink import LINKS, link_names

LEGACY = (
    ("ip", "/proc/net/ip_tables_names"),
    ("ip6", "/proc/net/ip6_tables_names"),
    ("arp", "/proc/net/arp_tables_names"),
)
MODULES = "/proc/modules"  # not there: the kernel was built without them
NF_TABLES, IP_SET = "/sys/module/nf_tables", "/sys/module/ip_set"
RELEASE, BUILT_IN = "/proc/sys/kernel/osrelease", "/lib/modules/%s/modules.builtin"
SETS = 5000
_KEEPS_ITS_OWN = re.compile(r"([0-3]\.|4\.([0-9]|10)\b)")  # releases of kernels that do not keep their own data back
_TRIES = 5
_NO_NFTABLES = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


def collect(host: Host) -> Section:
    """Absent where the kernel has neither; fails without permission; partial with rules of iptables-legacy."""
    legacy = [(family, host.read(path).split()) for family, path in LEGACY if host.exists(path)]
    there, unknown = _is_there(host)
    answers = _ask(host) if there else None
    with_sets = host.exists(IP_SET)
    if answers is None and not legacy and there and not with_sets:
        return absent()
    rows, volatile = nftables.parse(answers or Answers(b"", b"", b"", b""))
    if with_sets:
        _add_sets(host, rows, volatile)
    unread = [
        "%s %s" % (family, table)
        for family, tables in legacy
        for table in sorted(tables)
        if not _add_legacy(host, family, table, rows, volatile)
    ]
    return Section(OK, rows, volatile, together(unknown, missing("rules of iptables-legacy cannot be read", unread)))


def _add_sets(host: Host, rows: Rows, volatile: Rows) -> None:
    for row, passing in ipset.parse(_newer(host, ipset.GET_SETS, ipset.REQUEST)):
        key = nftables.add(rows, volatile, row)
        volatile.setdefault(key, {})["passing_elements"] = passing


def _add_legacy(host: Host, family: str, table: str, rows: Rows, volatile: Rows) -> bool:
    """Add what is in a table of iptables-legacy, and return whether it could be read."""
    chains: Optional[List[Row]] = None
    if family in xtables.LAYOUTS and _KEEPS_ITS_OWN.match(host.read_or_none(RELEASE) or "") is None:
        try:
            chains = xtables.parse(family, table, host.xtables(family, table))
        except PermissionError:
            raise
        except OSError:  # the kernel or this Python cannot tell
            pass
    if chains is None or not xtables.is_untouched(chains):
        nftables.add(rows, volatile, {"kind": "legacy", "family": family, "table": table, "name": None})
    if chains is not None and not xtables.is_untouched(chains):
        for chain in chains:
            nftables.add(rows, volatile, chain)
    return chains is not None


def _is_there(host: Host) -> Tuple[bool, Optional[str]]:
    """Return whether nftables can be asked without a module being loaded, and what to say where nothing tells."""
    if host.exists(NF_TABLES) or not host.exists(MODULES):
        return True, None
    try:
        return "/nf_tables.ko" in host.read(BUILT_IN % host.read(RELEASE).strip()), None
    except FileNotFoundError:
        return False, "nf_tables is not loaded, and nothing tells whether it is built in"


def _ask(host: Host) -> Optional[Answers]:
    """Return all of one ruleset, or None where the kernel has no nftables.  Raises OSError."""
    for _ in range(_TRIES):
        try:
            answers = _ask_once(host)
        except OSError as error:
            if error.errno in _NO_NFTABLES:
                return None
            raise
        if answers is not None:
            return answers
    raise OSError(errno.EAGAIN, "the rules change each time that they are read")


def _ask_once(host: Host) -> Optional[Answers]:
    """Return the answers, or None where they belong to more than one ruleset."""
    kinds = (nftables.GET_TABLES, nftables.GET_CHAINS, nftables.GET_RULES, nftables.GET_SETS)
    tables = host.netlink(NETFILTER, kinds[0], "00000000")
    if not tables:
        return Answers(b"", b"", b"", b"")
    chains, rules, sets = (host.netlink(NETFILTER, kind, "00000000") for kind in kinds[1:])
    objects, flow_tables = (_newer(host, kind) for kind in (nftables.GET_OBJECTS, nftables.GET_FLOW_TABLES))
    named = nftables.sets(sets)
    if len(named) > SETS:
        raise OSError(errno.EFBIG, "%d sets, at most %d" % (len(named), SETS))
    elements: Dict[Named, bytes] = {}
    for one in named:
        try:
            elements[one] = host.netlink(NETFILTER, nftables.GET_ELEMENTS, _elements_request(one))
        except FileNotFoundError:  # it has been removed meanwhile
            return None
    found = [tables, chains, rules, sets, objects, flow_tables] + list(elements.values())
    if len({generation for answer in found for generation in nftables.generations(answer)}) > 1:
        return None
    interfaces = link_names(host.netlink(ROUTE, *LINKS))
    return Answers(tables, chains, rules, sets, elements, interfaces, objects, flow_tables)


def _newer(host: Host, kind: int, body: str = "00000000") -> bytes:
    """Return a list that not every kernel has: objects from 4.10 on, flow tables from 4.16 on, sets of ipset."""
    try:
        return host.netlink(NETFILTER, kind, body)
    except OSError as error:
        if error.errno in _NO_NFTABLES:
            return b""
        raise


def _elements_request(named: Named) -> str:
    family, table, name = named
    return (bytes([family, 0, 0, 0]) + attribute(1, _string(table)) + attribute(2, _string(name))).hex()


def _string(value: str) -> bytes:
    return value.encode("utf-8", "backslashreplace") + b"\0"


COLLECTOR = Collector(
    "system.firewall",
    key='"chain", "set", "map" or another kind, family, table and name; "table" and family; "legacy", family, table '
    'and chain; "ipset", family and name',
    collect=collect,
    deadline=10,
    fields={
        "kind": "table, chain, set, map, flowtable, or counter, quota, limit and the like with a name, of nftables; "
        "ipset: a set of ipset; legacy: a table or chain of iptables-legacy",
        "family": "which packets: inet, ip, ip6, arp, bridge, netdev",
        "table": "name of the table",
        "name": "name of the chain, set or other thing",
        "dormant": "whether the table is switched off",
        "type": "of a chain with a hook: filter, nat, route; of a set of ipset: hash:ip, list:set …",
        "hook": "where packets enter the chain or flowtable; null: by a jump only",
        "priority": "order among the chains of a hook, the lowest first",
        "devices": "interfaces whose packets enter the chain, where it is not all",
        "policy": "what becomes of a packet that no rule has decided on: accept or drop",
        "rules": "how many rules the chain has",
        "flags": "interval, constant, timeout, dynamic (packets add to it) …; of a flowtable: offload, counter",
        "timeout": "milliseconds after which an element runs out",
        "elements": "how many elements stay; null where packets add them",
        "digest": "SHA-256 over the rules, the elements that stay, or the settings: the same after a reload of the "
        "same rules",
    },
    volatile={
        "passing_elements": "elements that packets have added or that run out",
    },
)
