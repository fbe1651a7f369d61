"""The addresses on which this machine serves: listening TCP sockets, and the UDP sockets of servers.

Source of the formats: Documentation/networking/proc_net_tcp.rst, sock_diag(7) and include/uapi/linux/inet_diag.h of
the kernel.  Netlink is asked where that loads no module, since an audit must not change what it audits: where tcp_diag
and udp_diag are loaded, or no module can be.  Elsewhere it is the files below /proc/net, for which the kernel looks
into each slot of its tables, and writes a line for each connection of a busy server.  Both tell the same.

UDP knows no listening.  A server's socket is one that is bound to a port and connected to nobody; but so is that of
a client between its question and the answer.  The kernel gives clients their port from ip_local_port_range, so ports
of that range are left out, except those that ip_local_reserved_ports keeps from clients: reserve the port of a server
that lies in the range (WireGuard's 51820, say), and it is seen.

Whose they are is found by looking through the open files of every process (socket_owners.py).

Unix sockets are left out: those of services belong to their units, and the others come and go with logins.
"""

import sys
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ...netlink import SOCK_DIAG, messages, number
from .addresses import written

PROTOCOLS = (("tcp", "/proc/net/tcp"), ("tcp", "/proc/net/tcp6"), ("udp", "/proc/net/udp"), ("udp", "/proc/net/udp6"))
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
LISTENING = {"tcp": "0A", "udp": "07"}  # TCP_LISTEN; TCP_CLOSE, which is what an unconnected UDP socket shows
MODULES = "/proc/modules"  # not there: the kernel was built without them
DIAGNOSTICS = ("/sys/module/tcp_diag", "/sys/module/udp_diag")
FAMILIES = {2: 4, 10: 16}  # AF_INET and AF_INET6: octets of an address
NUMBERS = {"tcp": 6, "udp": 17}
BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY

IsClient = Callable[[int], bool]


class Socket(NamedTuple):
    """One line of a table of sockets."""

    protocol: str
    address: str
    port: int
    uid: int
    inode: int


def collect(host: Host) -> Section:
    """Absent where the kernel has neither protocol; fails when a table is there and cannot be read."""
    sockets = _asked(host)
    if sockets is None:
        sockets = _read(host)
    if sockets is None:
        return absent()
    is_client = client_ports(host.read_or_none(RANGE), host.read_or_none(RESERVED))
    rows, volatile = parse(sockets, is_client)
    inodes = sorted(inode for shown in volatile.values() for inode in shown["inodes"])
    owners, complete = _owners(host, inodes)
    for key, row in rows.items():
        row["programs"] = sorted({printable(owners[inode]) for inode in volatile[key]["inodes"] if inode in owners})
    return Section(OK, rows, volatile, None if complete else "programs: not every process may be looked at")


def _owners(host: Host, inodes: List[int]) -> Tuple[Dict[int, str], bool]:
    if not inodes:
        return {}, True
    owners, complete = host.socket_owners(inodes)
    return dict(owners), complete


def _asked(host: Host) -> Optional[List[Socket]]:
    """Return what the kernel answers, or None where it does not, or would have to load a module for it."""
    try:
        if not all(map(host.exists, DIAGNOSTICS)) and host.exists(MODULES):
            return None
        wanted = [(protocol, family) for protocol in NUMBERS for family in FAMILIES]
        answers = [
            (protocol, host.netlink(SOCK_DIAG, BY_FAMILY, request(protocol, family))) for protocol, family in wanted
        ]
    except OSError:
        return None
    return [socket for protocol, answer in answers for socket in parse_answer(protocol, answer)]


def _read(host: Host) -> Optional[List[Socket]]:
    """Return what stands in the files, or None where there are none."""
    tables = [(protocol, host.read(path)) for protocol, path in PROTOCOLS if host.exists(path)]
    if not tables:
        return None
    return [socket for protocol, table in tables for socket in parse_table(protocol, table)]


def request(protocol: str, family: int) -> str:
    """Return a struct inet_diag_req_v2 for the sockets that serve."""
    states = 1 << int(LISTENING[protocol], 16)
    octets = (
        bytes([family, NUMBERS[protocol], 0, 0])
        + states.to_bytes(4, "big" if sys.byteorder == "big" else "little")
        + bytes(48)
    )
    return octets.hex()


def parse_answer(protocol: str, answer: bytes) -> Iterator[Socket]:
    """Yield the sockets of an answer: each a struct inet_diag_msg, with addresses and ports in network order."""
    for message in messages(answer):
        body = message.body
        if message.kind != BY_FAMILY:
            continue
        if len(body) < 72 or body[0] not in FAMILIES:
            raise ValueError("not a socket: %s" % body[:80].hex())
        port = number(body[4:6], "big")
        if port and body[1] == int(LISTENING[protocol], 16):
            address = bracketed(body[8 : 8 + FAMILIES[body[0]]])
            yield Socket(protocol, address, port, number(body[64:68]), number(body[68:72]))


def client_ports(local_range: Optional[str], reserved: Optional[str]) -> IsClient:
    """Return whether the kernel gives a port to clients.  Without a range to read, it is the kernel's own default.

    `reserved` is a list like "8080,9000-9010".
    """
    first, last = map(int, (local_range or "32768 60999").split())
    kept = [part.partition("-") for part in (reserved or "").split(",") if part]
    kept_ranges = [(int(start), int(end or start)) for start, _, end in kept]
    return lambda port: first <= port <= last and not any(start <= port <= end for start, end in kept_ranges)


def parse(sockets: List[Socket], is_client: IsClient) -> Tuple[Rows, Rows]:
    """Return rows and volatile rows: one for each address that is served, however many sockets share it."""
    rows: Rows = {}
    inodes: Dict[str, List[int]] = {}
    for socket in sockets:
        if socket.protocol == "udp" and is_client(socket.port):
            continue
        key = "%s %s:%d" % (socket.protocol, socket.address, socket.port)
        address = {"protocol": socket.protocol, "address": socket.address.strip("[]"), "port": socket.port}
        row = rows.setdefault(key, dict(address, uids=[]))
        row["uids"] = sorted(set(row["uids"]) | {socket.uid})
        inodes.setdefault(key, []).append(socket.inode)
    return rows, {key: {"inodes": sorted(numbers)} for key, numbers in inodes.items()}


def parse_table(protocol: str, table: str, byte_order: str = sys.byteorder) -> Iterator[Socket]:
    """Yield the listening (UDP: unconnected) sockets of one of the kernel's tables.

    The kernel prints an address as 32-bit numbers in the byte order of the machine.
    """
    state = LISTENING[protocol]
    marked = " %s " % state
    for line in table.split("\n")[1:]:
        if marked not in line:  # a busy server has 100,000 connections, and splitting is dear
            continue
        fields = line.split()
        if fields[3] != state:
            continue
        address, _, port = fields[1].partition(":")
        if int(port, 16):
            yield Socket(protocol, decode_address(address, byte_order), int(port, 16), int(fields[7]), int(fields[9]))


def decode_address(text: str, byte_order: str = sys.byteorder) -> str:
    """Return an address of the kernel's tables as people write it: 192.0.2.1, or [2001:db8::1] in brackets."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    if [len(word) for word in words] not in ([4], [4] * 4):
        raise ValueError("not an address: %r" % text[:40])
    octets = b"".join(word[::-1] if byte_order == "little" else word for word in words)
    return bracketed(octets)


def bracketed(octets: bytes) -> str:
    """Return an address as it stands before a colon and a port."""
    return written(octets) if len(octets) == 4 else "[%s]" % written(octets)


COLLECTOR = Collector(
    "system.sockets",
    key="protocol address:port",
    collect=collect,
    deadline=5,
    fields={
        "protocol": "tcp (listening) or udp (bound, unconnected, and not on a port for clients)",
        "address": "the machine's own address; 0.0.0.0 and :: are all of them",
        "port": "port",
        "uids": "numbers of the users who own the sockets, sorted",
        "programs": "the programs that hold the sockets, sorted; systemd where it listens for a service; none where "
        "the kernel itself serves, or a process of another namespace",
    },
    volatile={"inodes": "numbers of the sockets that share the address: new whenever the service restarts"},
)
