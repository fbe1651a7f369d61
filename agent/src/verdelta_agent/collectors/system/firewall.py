"""The rules that decide which packets pass: nftables, and which tables of the older iptables are in use.

Source of the format: see nftables.py; of /proc/net/ip_tables_names net/netfilter/x_tables.c of the kernel.

iptables of today writes rules of nftables, and is seen as such.  The rules of the older one (iptables-legacy) can be
read only by a call that Python does not have: its tables are named, and the section is partial.

Chains and sets in which containers, clusters and banning daemons write whenever they like (DOCKER, KUBE-…, f2b-…) are
only shown.  An audit loads no module: where nf_tables is not loaded, it has no rules.
"""

import errno
from typing import Dict, List, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Rows, Section, absent
from ...netlink import NETFILTER, ROUTE, attribute
from ..incomplete import missing, together
from . import nftables
from .nftables import Answers, Named
from .rtnetlink import LINKS, link_names

LEGACY = (("ip", "/proc/net/ip_tables_names"), ("ip6", "/proc/net/ip6_tables_names"))
MODULES = "/proc/modules"  # not there: the kernel was built without them
NF_TABLES = "/sys/module/nf_tables"
RELEASE, BUILT_IN = "/proc/sys/kernel/osrelease", "/lib/modules/%s/modules.builtin"
SETS = 5000
_TRIES = 5
_NO_NFTABLES = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


def collect(host: Host) -> Section:
    """Absent where the kernel has neither; fails without permission; partial with rules of iptables-legacy."""
    legacy = [(family, host.read(path).split()) for family, path in LEGACY if host.exists(path)]
    there, unknown = _is_there(host)
    answers = _ask(host) if there else None
    if answers is None and not legacy and there:
        return absent()
    rows, volatile = nftables.parse(answers or Answers(b"", b"", b"", b""))
    used = sorted("%s %s" % (family, table) for family, tables in legacy for table in tables)
    rows.update(_legacy_rows(used))
    return Section(OK, rows, volatile, together(unknown, missing("rules of iptables-legacy cannot be read", used)))


def _legacy_rows(used: List[str]) -> Rows:
    rows: Rows = {}
    for name in used:
        family, _, table = name.partition(" ")
        rows["legacy " + name] = {"kind": "legacy", "family": family, "table": table, "name": None}
    return rows


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
    named = nftables.sets(sets)
    if len(named) > SETS:
        raise OSError(errno.EFBIG, "%d sets, at most %d" % (len(named), SETS))
    elements: Dict[Named, bytes] = {}
    for one in named:
        try:
            elements[one] = host.netlink(NETFILTER, nftables.GET_ELEMENTS, _elements_request(one))
        except FileNotFoundError:  # it has been removed meanwhile
            return None
    found = [tables, chains, rules, sets] + list(elements.values())
    if len({generation for answer in found for generation in nftables.generations(answer)}) > 1:
        return None
    return Answers(tables, chains, rules, sets, elements, link_names(host.netlink(ROUTE, *LINKS)))


def _elements_request(named: Named) -> str:
    family, table, name = named
    return (bytes([family, 0, 0, 0]) + attribute(1, _string(table)) + attribute(2, _string(name))).hex()


def _string(value: str) -> bytes:
    return value.encode("utf-8", "backslashreplace") + b"\0"


COLLECTOR = Collector(
    "system.firewall",
    key='"chain", "set", "map" or "table", family, table and name; "legacy", family and table',
    collect=collect,
    deadline=10,
    fields={
        "kind": "table, chain, set or map of nftables; legacy: a table of iptables-legacy that is in use",
        "family": "which packets: inet, ip, ip6, arp, bridge, netdev",
        "table": "name of the table",
        "name": "name of the chain or set",
        "dormant": "whether the table is switched off",
        "type": "of a chain with a hook: filter, nat, route",
        "hook": "where packets enter the chain; null: by a jump only",
        "priority": "order among the chains of a hook, the lowest first",
        "devices": "interfaces whose packets enter the chain, where it is not all",
        "policy": "what becomes of a packet that no rule has decided on: accept or drop",
        "rules": "how many rules the chain has",
        "flags": "interval, constant, timeout, dynamic (packets add to it) …",
        "timeout": "milliseconds after which an element runs out",
        "elements": "how many elements stay; null where packets add them",
        "digest": "SHA-256 over the rules, or the elements that stay: the same after a reload of the same rules",
    },
    volatile={
        "passing_elements": "elements that packets have added or that run out",
    },
)
