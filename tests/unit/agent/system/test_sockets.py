"""Sockets: one row for each address that is served, written as people write it."""

import contextlib
import ipaddress
import json
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import sockets
from verdelta_agent.collectors.system.sockets import Socket, client_ports, decode_address, parse, parse_table
from verdelta_agent.gather import collect
from verdelta_agent.netlink import message
from verdelta_agent.recorded_host import RecordedHost

HEADER = "  sl  local_address rem_address   st\n"


def as_the_kernel_prints(packed: bytes, byte_order: str) -> str:
    words = struct.unpack((">" if byte_order == "big" else "<") + f"{len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words)


@given(st.one_of(st.integers(0, 2**128 - 1), st.sampled_from([0, 1, 2**127, 0xFE80 << 112, 1 << 64])))
def test_an_ipv6_address_is_written_as_rfc_5952_says_on_machines_of_either_byte_order(value: int) -> None:
    address = ipaddress.IPv6Address(value)
    expected = f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)
    for order in ("little", "big"):
        assert decode_address(as_the_kernel_prints(address.packed, order), order) == f"[{expected}]"


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_written_dotted_and_mapped_ones_too(address: ipaddress.IPv4Address) -> None:
    for order in ("little", "big"):
        assert decode_address(as_the_kernel_prints(address.packed, order), order) == str(address)
        mapped = b"\0" * 10 + b"\xff\xff" + address.packed
        assert decode_address(as_the_kernel_prints(mapped, order), order) == f"[::ffff:{address}]"


def entry(local: str, state: str, uid: int = 0, inode: int = 1, remote: str = "00000000:0000") -> str:
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0 100 0 0 10 0\n"


def test_only_listening_tcp_sockets_are_taken() -> None:
    table = HEADER + entry("0100007F:0016", "0A") + entry("0100007F:0017", "01") + entry("0100007F:0018", "06")
    assert [s.port for s in parse_table("tcp", table, "little")] == [22]


def test_a_word_that_looks_like_the_state_elsewhere_in_a_line_is_not_taken_for_it() -> None:
    table = HEADER + "   0: 0100007F:0016 0100007F:0001 01 0A 00:00000000 00000000 0 0 1 1 0A 100 0 0 10 0\n"
    assert list(parse_table("tcp", table, "little")) == []


def test_of_udp_only_unconnected_sockets_with_a_port_are_taken() -> None:
    table = HEADER + entry("00000000:0035", "07") + entry("00000000:0036", "01") + entry("00000000:0000", "07")
    assert [s.port for s in parse_table("udp", table, "little")] == [53]


def test_sockets_that_share_an_address_are_one_row_and_a_restart_changes_nothing() -> None:
    def rows(*inodes: int):
        return parse([Socket("tcp", "0.0.0.0", 80, 33, inode) for inode in inodes], client_ports(None, None))

    before, after = rows(1, 2, 3), rows(9)
    assert before[0] == after[0]
    assert list(before[0]) == ["tcp 0.0.0.0:80"]
    assert before[1] == {"tcp 0.0.0.0:80": {"inodes": [1, 2, 3]}}


def test_every_owner_of_a_shared_address_is_named() -> None:
    shared = [Socket("udp", "0.0.0.0", 5353, uid, uid) for uid in (1000, 70)]
    assert parse(shared, client_ports(None, None))[0]["udp 0.0.0.0:5353"]["uids"] == [70, 1000]


@pytest.mark.parametrize(
    ("port", "client"), [(32767, False), (32768, True), (60999, True), (61000, False), (51820, False), (40005, False)]
)
def test_a_port_of_the_range_is_a_clients_unless_it_is_reserved(port: int, client: bool) -> None:
    assert client_ports("32768\t60999", "51820,40000-40010")(port) is client


def test_a_tcp_server_on_a_port_for_clients_is_still_a_server() -> None:
    rows, _ = parse(
        [Socket("tcp", "0.0.0.0", 45000, 0, 1), Socket("udp", "0.0.0.0", 45000, 0, 2)], client_ports(None, None)
    )
    assert list(rows) == ["tcp 0.0.0.0:45000"]


def test_a_kernel_without_ipv6_is_read_all_the_same() -> None:
    section = collect(
        RecordedHost({"files": {"/proc/net/tcp": HEADER + entry("0100007F:0016", "0A")}}), sockets.COLLECTOR
    )
    assert (section.status, list(section.rows)) == ("ok", ["tcp 127.0.0.1:22"])


def test_a_table_that_may_not_be_read_fails_the_section_and_is_never_empty() -> None:
    files = {"/proc/net/tcp": HEADER, "/proc/net/udp": {"error": "EACCES"}}
    assert collect(RecordedHost({"files": files}), sockets.COLLECTOR).status == "failed"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    table = {"hex": (HEADER.encode() + b" 0A " + data).hex()}
    section = collect(RecordedHost({"files": {"/proc/net/tcp": table}}), sockets.COLLECTOR)
    assert section.status in ("ok", "failed")
    json.dumps(section).encode("ascii")


def answered(*listed: Socket) -> bytes:
    """Return the answer of sock_diag in the byte order of this machine: struct inet_diag_msg, one a message."""
    found = b""
    for one in listed:
        packed = ipaddress.ip_address(one.address.strip("[]")).packed
        state = 10 if one.protocol == "tcp" else 7
        body = struct.pack("=BBBB", 2 if len(packed) == 4 else 10, state, 0, 0) + struct.pack(">HH", one.port, 0)
        body += packed.ljust(16, b"\0") + bytes(28) + struct.pack("=IIIII", 0, 0, 128, one.uid, one.inode)
        found += message(20, 2, body)
    return found


SERVERS = [
    Socket("tcp", "127.0.0.1", 22, 0, 7),
    Socket("tcp", "[2001:db8::1]", 443, 33, 8),
    Socket("udp", "0.0.0.0", 53, 101, 9),
]


def machine(netlink: bool, modules: bool = False, loaded: bool = False) -> RecordedHost:
    table = {"tcp": HEADER, "tcp6": HEADER, "udp": HEADER, "udp6": HEADER}
    answers = {sockets.request(protocol, family): b"" for protocol in ("tcp", "udp") for family in (2, 10)}
    for one in SERVERS:
        packed = ipaddress.ip_address(one.address.strip("[]")).packed
        local = f"{as_the_kernel_prints(packed, sys.byteorder)}:{one.port:04X}"
        table[one.protocol + ("6" if "[" in one.address else "")] += entry(
            local, sockets.LISTENING[one.protocol], one.uid, one.inode
        )
        answers[sockets.request(one.protocol, 10 if "[" in one.address else 2)] += answered(one)
    recording: dict[str, Any] = {"files": {f"/proc/net/{name}": text for name, text in table.items()}}
    if netlink:
        recording["netlink"] = {f"4 20 {request}": answer.hex() for request, answer in answers.items()}
    if modules:
        recording["files"]["/proc/modules"] = ""
    if loaded:
        recording["directories"] = list(sockets.DIAGNOSTICS)
    return RecordedHost(recording)


class Asked(RecordedHost):
    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        raise AssertionError("the kernel would load a module")


def test_netlink_and_the_files_tell_the_same() -> None:
    by_netlink, by_files = (collect(machine(netlink), sockets.COLLECTOR) for netlink in (True, False))
    assert by_netlink == by_files
    assert sorted(by_netlink.rows) == ["tcp 127.0.0.1:22", "tcp [2001:db8::1]:443", "udp 0.0.0.0:53"]
    assert collect(machine(True, modules=True, loaded=True), sockets.COLLECTOR) == by_files


def test_netlink_is_not_asked_where_the_kernel_would_load_a_module() -> None:
    host = Asked({"files": machine(True, modules=True).files})
    section = collect(host, sockets.COLLECTOR)
    assert (section.status, len(section.rows)) == ("ok", 3)


@given(st.binary(max_size=200))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    for answer in (body, message(20, 2, body), answered(*SERVERS)[: len(body)]):
        with contextlib.suppress(ValueError):
            list(sockets.parse_answer("tcp", answer))
