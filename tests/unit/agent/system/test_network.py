"""The network's settings: what somebody has set is compared, what comes and goes by itself is only shown."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import network
from verdelta_agent.collectors.system.network import parse_resolver
from verdelta_agent.collectors.system.rtnetlink import Lists, parse
from verdelta_agent.gather import collect
from verdelta_agent.netlink import message
from verdelta_agent.recorded_host import RecordedHost

RECORDED = Path(__file__).parents[3] / "hosts/debian-12/system.network.json"
HOST: dict[str, Any] = json.loads(RECORDED.read_text())["host"]
ANSWERS = [bytes.fromhex(answer) for answer in HOST["netlink"].values()]
PERMANENT, LEASED = 0x80, 0


def bits(value: int, size: int) -> bytes:
    return value.to_bytes(size, sys.byteorder)


def attribute(kind: int, value: bytes) -> bytes:
    return bits(4 + len(value), 2) + bits(kind, 2) + value + bytes(-len(value) % 4)


def link(index: int, name: str) -> bytes:
    return message(16, 2, bytes(4) + bits(index, 4) + bytes(8) + attribute(3, name.encode() + b"\0"))


def address(*octets: int, prefix: int = 24, flags: int = PERMANENT, index: int = 2, extra: bytes = b"") -> bytes:
    body = bytes([2, prefix, flags, 0]) + bits(index, 4) + attribute(2, bytes(octets))
    return message(20, 2, body + attribute(1, bytes(octets)) + extra)


def route(protocol: int, gateway: int = 1, index: int = 2, table: int = 254, extra: bytes = b"") -> bytes:
    body = bytes([2, 0, 0, 0, table, protocol, 0, 1]) + bytes(4)
    return message(24, 2, body + attribute(5, bytes([192, 0, 2, gateway])) + attribute(4, bits(index, 4)) + extra)


def test_an_address_with_a_lifetime_is_only_shown() -> None:
    rows, volatile = parse(Lists(link(2, "eth0"), address(192, 0, 2, 1) + address(192, 0, 2, 2, flags=LEASED)))
    assert (list(rows), list(volatile)) == (["address eth0 192.0.2.1/24"], ["address eth0 192.0.2.2/24"])


def test_what_the_kernel_says_in_the_longer_flags_counts() -> None:
    leased = address(192, 0, 2, 1, flags=PERMANENT, extra=attribute(8, bits(0x200, 4)))
    assert not parse(Lists(link(2, "eth0"), leased))[0]


def test_a_service_address_beside_the_hosts_own_is_only_shown() -> None:
    own, service = address(192, 0, 2, 1), address(192, 0, 2, 9, prefix=32)
    assert list(parse(Lists(link(2, "eth0"), own + service))[0]) == ["address eth0 192.0.2.1/24"]
    assert list(parse(Lists(link(2, "eth0"), service))[0]) == ["address eth0 192.0.2.9/32"]
    assert len(parse(Lists(link(2, "lo"), own + service))[0]) == 2


@pytest.mark.parametrize("name", ["veth1a2b3c", "cali12345", "cni0", "flannel.1", "kube-ipvs0"])
def test_what_belongs_to_a_passing_interface_is_only_shown(name: str) -> None:
    lists = Lists(link(2, name), address(192, 0, 2, 1), route(4))
    assert parse(lists)[0] == {}
    assert len(parse(lists)[1]) == 2


@pytest.mark.parametrize(
    ("protocol", "compared"), [(2, False), (3, True), (4, True), (9, False), (16, False), (186, False)]
)
def test_a_route_is_compared_where_people_have_set_it(protocol: int, compared: bool) -> None:
    rows, volatile = parse(Lists(link(2, "eth0"), routes=route(protocol)))
    assert (bool(rows), bool(volatile)) == (compared, not compared)


def test_another_gateway_is_one_changed_row() -> None:
    before, after = (parse(Lists(link(2, "eth0"), routes=route(4, gateway)))[0] for gateway in (1, 2))
    assert list(before) == list(after) == ["route 0.0.0.0/0 metric 0"]
    assert before != after


def test_ways_of_one_route_are_one_row_in_whatever_order_they_come() -> None:
    one, two = route(4, 1), route(4, 2)
    rows = parse(Lists(link(2, "eth0"), routes=one + two))[0]
    assert rows == parse(Lists(link(2, "eth0"), routes=two + one))[0]
    assert rows["route 0.0.0.0/0 metric 0"]["via"] == ["192.0.2.1 eth0", "192.0.2.2 eth0"]


def test_routes_of_other_tables_are_left_out() -> None:
    assert parse(Lists(routes=route(4, table=100) + route(4, table=252, extra=attribute(15, bits(1000, 4))))) == (
        {},
        {},
    )


def test_the_number_of_an_interface_which_a_reboot_changes_is_in_no_row() -> None:
    first, second = (
        parse(Lists(link(index, "eth0"), address(192, 0, 2, 1, index=index), route(4, index=index))) for index in (2, 7)
    )
    assert first == second


def test_without_policy_rules_and_ipv6_the_section_is_whole() -> None:
    refusing = {"error": "EOPNOTSUPP"}
    kept = {request: answer for request, answer in HOST["netlink"].items() if request[:4] in ("0 18", "0 22")}
    section = collect(
        RecordedHost({**HOST, "netlink": {**dict.fromkeys(HOST["netlink"], refusing), **kept}}), network.COLLECTOR
    )
    assert (section.status, section.error) == ("ok", None)
    assert all(row["kind"] in ("address", "resolver") for row in section.rows.values())


def test_routes_that_may_not_be_read_make_the_section_partial() -> None:
    answers = {request: {"error": "EPERM"} if request[:4] == "0 26" else a for request, a in HOST["netlink"].items()}
    section = collect(RecordedHost({**HOST, "netlink": answers}), network.COLLECTOR)
    assert section.error and "routes" in section.error


def test_a_resolver_that_may_not_be_read_makes_the_section_partial() -> None:
    files = {**HOST["files"], "/etc/resolv.conf": {"error": "EACCES"}}
    section = collect(RecordedHost({**HOST, "files": files}), network.COLLECTOR)
    assert section.error and "/etc/resolv.conf" in section.error
    assert len(section.rows) > 5


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        (
            "passwd: files\nhosts:\tfiles   resolve [!UNAVAIL=return] dns # last\n",
            "files resolve [!UNAVAIL=return] dns",
        ),
        (" hosts : files\nhosts: dns\n", "files"),
        ("#hosts: files\npasswd: files\n", None),
    ],
)
def test_it_shows_where_names_of_hosts_are_looked_up(text: str, sources: str | None) -> None:
    files = {**HOST["files"], "/etc/resolv.conf": "nameserver 192.0.2.1\n", "/etc/nsswitch.conf": text}
    section = collect(RecordedHost({**HOST, "files": files}), network.COLLECTOR)
    assert (section.rows["resolver"]["sources"], section.error) == (sources, None)


def test_lists_of_sources_that_may_not_be_read_make_the_section_partial() -> None:
    files = {**HOST["files"], "/etc/nsswitch.conf": {"error": "EACCES"}}
    section = collect(RecordedHost({**HOST, "files": files}), network.COLLECTOR)
    assert section.error and "/etc/nsswitch.conf" in section.error


def test_the_resolver_is_read_as_the_c_library_reads_it() -> None:
    text = "# x\n; y\ndomain a.example\nsearch b.example c.example\nnameserver 192.0.2.1\nnameserver\toptions\n"
    assert parse_resolver(text + "options timeout:1 rotate\noptions ndots:2\n\nnameserver\n") == {
        "nameservers": ["192.0.2.1", "options"],
        "search": ["b.example", "c.example"],
        "options": ["ndots:2", "rotate", "timeout:1"],
    }


@given(st.sampled_from(range(len(ANSWERS))), st.data())
def test_damaged_answers_are_read_or_refused(which: int, data: st.DataObject) -> None:
    answer = bytearray(ANSWERS[which])
    for _ in range(data.draw(st.integers(0, 6))):
        if answer:
            answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(answer[: data.draw(st.integers(0, len(answer)))])
    for lists in (Lists(cut), Lists(addresses=cut), Lists(routes=cut), Lists(rules=cut)):
        with contextlib.suppress(ValueError):
            json.dumps(parse(lists))


@pytest.mark.parametrize("size", [0, 3, 7, 11, 15, 19, 27])
@pytest.mark.parametrize("kind", [16, 20, 24, 32])
def test_messages_that_are_too_short_are_refused_or_passed_over(kind: int, size: int) -> None:
    for family in (0, 2, 10):
        data = message(kind, 2, bytes([family] * size))
        with contextlib.suppress(ValueError):
            parse(Lists(data, data, data, data))


@given(st.text(max_size=200))
def test_any_text_of_the_files_without_netlink_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        network.parse_files(text, text, text)
    json.dumps(parse_resolver(text))
