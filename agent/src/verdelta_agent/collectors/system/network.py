"""Addresses that are set for good, routes of the main table, policy rules, and the resolver of names.

Source of the format: resolv.conf(5), nsswitch.conf(5); of the messages see rtnetlink.py, of the files below /proc/net
route.c of net-tools, and net/ipv6/route.c and addrconf.c of the kernel.

Compared is what somebody has set.  What was leased, advertised, learnt from other routers or made by the kernel
itself is only shown, and so is whatever belongs to interfaces that containers and virtual machines make for themselves.
A DHCP client that sets an address without a lifetime (busybox's, say) passes for somebody who has set it.

Where the kernel does not speak netlink, the files below /proc/net tell less: the section is partial.
"""

import errno
import sys
from typing import Dict, List, Optional, Tuple

from ...host import CHUNK, Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ...netlink import ROUTE
from ..incomplete import missing, together
from .addresses import written
from .rtnetlink import LINKS, Lists, parse, passing

DEVICES = "/proc/net/dev"
RESOLVER = "/etc/resolv.conf"
SOURCES = "/etc/nsswitch.conf"
ADDRESSES6, ROUTES4, ROUTES6 = "/proc/net/if_inet6", "/proc/net/route", "/proc/net/ipv6_route"

# The requests, each with the whole structure of its list, which newer kernels insist on.
_ADDRESSES = (22, "00" * 8)
_ROUTES = (26, "02000000fe" + "00" * 7), (26, "0a000000fe" + "00" * 7)  # of the main table
_RULES = (34, "02" + "00" * 11), (34, "0a" + "00" * 11)
_THERE_IS_NONE = (errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP)  # no table yet, no IPv6, no policy rules
_LIMIT = 256 << 10  # bytes of a list of routes below /proc, which are only shown
_LASTING = 0x80  # of the flags of an IPv6 address
_NO_GATEWAY = ("00000000", "0" * 32)


def collect(host: Host) -> Section:
    """Absent where the kernel has no network; partial without netlink."""
    if not host.exists(DEVICES):
        return absent()
    try:
        lists, refused = _ask(host)
        rows, volatile = parse(lists)
        error = missing("refused by the kernel", refused)
    except OSError as failure:
        rows, volatile = parse_files(*[_list(host, path) for path in (ADDRESSES6, ROUTES4, ROUTES6)])
        error = "without netlink (%s), IPv4 addresses, routes and rules are not compared" % (
            failure.strerror or failure
        )
    resolver, unread = _resolver(host)
    rows.update(resolver)
    return Section(OK, rows, volatile, together(error, unread))


def _ask(host: Host) -> Tuple[Lists, List[str]]:
    """Return the lists, and what the kernel refused.  Raises OSError where it has no addresses to tell."""
    links, addresses = host.netlink(ROUTE, *LINKS), host.netlink(ROUTE, *_ADDRESSES)
    refused: List[str] = []
    lists: Dict[str, bytes] = {"routes": b"", "rules": b""}
    for name, requests in (("routes", _ROUTES), ("rules", _RULES)):
        for request in requests:
            try:
                lists[name] += host.netlink(ROUTE, *request)
            except OSError as error:
                if error.errno not in _THERE_IS_NONE:
                    refused.append("%s (%s)" % (name, error.strerror))
    return Lists(links, addresses, lists["routes"], lists["rules"]), refused


def _list(host: Host, path: str) -> str:
    try:
        return host.read(path, _LIMIT)
    except OSError:  # the section is partial already
        return ""


def _resolver(host: Host) -> Tuple[Rows, Optional[str]]:
    """Return the row of the resolver, and what is missing from it."""
    try:
        link: Optional[str] = host.readlink(RESOLVER)
    except OSError:  # there is no link, or nothing at all
        link = None
    try:
        row = parse_resolver(host.read(RESOLVER, CHUNK))
    except FileNotFoundError:
        row = {}
    except OSError as error:
        return {}, "%s: %s" % (RESOLVER, error.strerror)
    sources, unread = _sources(host)
    if not row and not link and sources is None:
        return {}, unread
    return {"resolver": dict(row, kind="resolver", link=link, sources=sources)}, unread


def _sources(host: Host) -> Tuple[Optional[str], Optional[str]]:
    """Return where names of hosts are looked up, or None where nothing tells, and what is missing."""
    try:
        return parse_sources(host.read(SOURCES, CHUNK)), None
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, "%s: %s" % (SOURCES, error.strerror)


def parse_sources(text: str) -> Optional[str]:
    """Return what nsswitch.conf(5) says of hosts, with one space between its words."""
    for line in text.split("\n"):
        database, colon, sources = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            return " ".join(sources.split())
    return None


def parse_resolver(text: str) -> Row:
    """Return name servers in the order in which they are asked, search list and options."""
    servers: List[str] = []
    search: List[str] = []
    options: List[str] = []
    for line in text.split("\n"):
        words = line.split()
        if not words or line[0] in "#;":
            continue
        if words[0] == "nameserver":
            servers += words[1:2]
        elif words[0] in ("search", "domain"):  # the last one counts
            search = words[1:]
        elif words[0] in ("options", "sortlist"):
            options += words[1:] if words[0] == "options" else [" ".join(words)]
    return {"nameservers": servers, "search": search, "options": sorted(set(options))}


# -- without netlink


def parse_files(addresses6: str, routes4: str, routes6: str) -> Tuple[Rows, Rows]:
    """Return IPv6 addresses without a lifetime, and as volatile rows the routes over a gateway.

    Of an IPv4 address the files do not tell whether it was leased, of a route not who has set it.
    """
    rows: Rows = {}
    for line in addresses6.split("\n"):
        words = line.split()
        if len(words) == 6 and int(words[4], 16) & _LASTING and words[3] != "20" and not passing(words[5]):
            address, prefix = written(bytes.fromhex(words[0])), int(words[2], 16)
            if prefix < 128 or words[5] == "lo":
                row = {"kind": "address", "interface": words[5], "address": address, "prefix": prefix}
                rows["address %s %s/%d" % (words[5], address, prefix)] = row
    volatile: Rows = {}
    for line in routes4.split("\n")[1:]:
        words = line.split()
        if len(words) > 7 and words[2] not in _NO_GATEWAY:
            destination = "%s/%d" % (_written4(words[1]), bin(int(words[7], 16)).count("1"))
            _show(volatile, destination, int(words[6]), "%s %s" % (_written4(words[2]), words[0]))
    for line in routes6.split("\n"):
        words = line.split()
        if len(words) == 10 and words[4] not in _NO_GATEWAY:
            destination = "%s/%d" % (written(bytes.fromhex(words[0])), int(words[1], 16))
            _show(volatile, destination, int(words[5], 16), "%s %s" % (written(bytes.fromhex(words[4])), words[9]))
    return rows, volatile


def _written4(digits: str) -> str:
    """Return an IPv4 address of /proc/net/route, which writes it in the byte order of the machine."""
    octets = bytes.fromhex(digits)
    return written(octets[::-1] if sys.byteorder == "little" else octets)


def _show(volatile: Rows, destination: str, metric: int, way: str) -> None:
    key = "route %s metric %d" % (destination, metric)
    row = volatile.setdefault(key, {"kind": "route", "destination": destination, "metric": metric, "via": []})
    row["via"] = sorted(set(row["via"]) | {way})
    row["reason"] = "nothing tells who has set it"


COLLECTOR = Collector(
    "system.network",
    key='"address", interface and address; "route", destination and metric; "rule", family, priority and selector; '
    'or "resolver"',
    collect=collect,
    deadline=5,
    fields={
        "kind": "address, route, rule or resolver",
        "interface": "name of the interface that has the address",
        "address": "the machine's own address",
        "prefix": "length of the network's part of the address",
        "peer": "address at the other end of a point-to-point link",
        "scope": "how far the address is valid: global, site, link, host",
        "label": "name of an IPv4 alias, where it is another than the interface's",
        "destination": "network that the route leads to; 0.0.0.0/0 and ::/0 are the default routes",
        "metric": "of several routes to a destination, the one with the lowest is taken",
        "type": "unicast, blackhole, unreachable, prohibit …",
        "via": "gateway, interface and weight of each way, sorted",
        "source": "own address that packets on this route are sent from",
        "protocol": "who has set the route: boot (a command without a protocol), static …",
        "options": "of a route: mtu, advmss and the like; of the resolver: its options; sorted",
        "family": "ipv4 or ipv6",
        "priority": "rules are tried from the lowest on",
        "selector": "what a packet must be for the rule to apply: from, to, mark, in, out …",
        "action": "what a rule does: table (look up), goto, blackhole, unreachable, prohibit",
        "table": "table of routes that a rule looks up: main, default, local or a number",
        "goto": "priority of the rule that is tried next",
        "suppress_prefix": "routes with a prefix of this length or shorter are not taken",
        "nameservers": "servers that are asked, in this order",
        "search": "domains that are appended to a short name, in this order",
        "link": "where /etc/resolv.conf links to",
        "sources": "where names of hosts are looked up, in this order: files, dns, resolve …; null: nothing tells",
    },
    volatile={
        "reason": "why the whole row is never compared: a lease, an advertisement, a routing daemon or the kernel has "
        "set it, or it belongs to an interface that comes and goes"
    },
)
