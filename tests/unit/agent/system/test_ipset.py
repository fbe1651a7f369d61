"""Sets of ipset: another element is another digest; counters, order and elements that run out are none."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_agent.collectors.system import firewall, ipset
from verdelta_agent.collectors.system.ipset import parse
from verdelta_agent.gather import collect
from verdelta_agent.netlink import attribute, message
from verdelta_agent.recorded_host import RecordedHost

RECORDED = Path(__file__).parents[3] / "hosts/debian-12/system.firewall@sets.json"
HOST: dict[str, Any] = json.loads(RECORDED.read_text())["host"]
REQUEST = f"12 {ipset.GET_SETS} {ipset.REQUEST}"


def big(kind: int, value: int, size: int = 4) -> bytes:
    return attribute(kind, value.to_bytes(size, "big"))


def element(address: int, *more: bytes) -> bytes:
    return attribute(7, attribute(1, big(1, address)) + b"".join(more))


def a_message(*elements: bytes, header: bytes | None = b"", name: str = "s", kind: str = "hash:ip") -> bytes:
    told = big(1, 6, 1) + attribute(2, name.encode() + b"\0")
    if header is not None:
        told += attribute(3, kind.encode() + b"\0") + big(5, 2, 1) + big(4, 7, 1) + attribute(7, header)
    return message(ipset.SUBSYSTEM | 6, 2, struct.pack("=BBH", 2, 0, 0) + told + attribute(8, b"".join(elements)))


def only(*messages: bytes) -> tuple[dict[str, Any], int]:
    (one,) = parse(b"".join(messages))
    return one


def test_a_set_shows_its_type_and_how_many_elements_it_has() -> None:
    row, passing = only(a_message(element(1), element(2)))
    del row["digest"]
    assert (row, passing) == (
        {
            **{"kind": "ipset", "family": "ip", "table": None, "name": "s"},
            **{"type": "hash:ip", "timeout": None, "elements": 2},
        },
        0,
    )


def test_elements_in_whatever_order_and_messages_are_one_digest_and_others_another() -> None:
    assert only(a_message(element(1), element(2))) == only(a_message(element(2), element(1)))
    assert only(a_message(element(1), element(2))) == only(a_message(element(2)), a_message(element(1), header=None))
    seen = [only(a_message(element(1))), only(a_message(element(2))), only(a_message(element(1), element(2)))]
    seen += [only(a_message(element(1), header=big(19, 5))), only(a_message())]
    assert len({row["digest"] for row, _ in seen}) == len(seen)


def test_what_the_kernel_sizes_by_itself_is_in_no_digest() -> None:
    grown = big(18, 8192) + big(17, 0xC0FFEE) + big(24, 9) + big(25, 1) + big(26, 4711) + big(21, 12, 1)
    assert only(a_message(element(1), header=grown)) == only(a_message(element(1)))


def test_counters_are_in_no_digest() -> None:
    def seen(packets: int) -> Any:
        return only(a_message(element(1, big(24, packets * 60, 8), big(25, packets, 8)), header=big(8, 8)))

    assert seen(1) == seen(9)


def test_elements_that_run_out_are_only_counted() -> None:
    header, stays = big(6, 600), element(1, big(6, 0))
    row, passing = only(a_message(stays, element(2, big(6, 31)), element(3, big(6, 32)), header=header))
    assert (row["elements"], row["timeout"], passing) == (1, 600, 2)
    assert row == only(a_message(stays, element(2, big(6, 30)), header=header))[0]
    assert row == only(a_message(stays, header=header))[0]


def test_elements_of_no_set_are_refused() -> None:
    with pytest.raises(ValueError, match="of no set"):
        parse(a_message(element(1), header=None))


def test_sets_are_asked_for_only_where_that_loads_no_module() -> None:
    without = {**HOST, "directories": [path for path in HOST["directories"] if "ip_set" not in path]}
    assert "ipset ip blocked" in collect(RecordedHost(HOST), firewall.COLLECTOR).rows
    assert "ipset ip blocked" not in collect(RecordedHost(without), firewall.COLLECTOR).rows


def test_sets_that_may_not_be_read_fail_the_section() -> None:
    section = collect(RecordedHost({**HOST, "netlink": {REQUEST: {"error": "EPERM"}}}), firewall.COLLECTOR)
    assert (section.status, (section.error or "")[:10]) == ("failed", "permission")


@settings(max_examples=300)
@given(st.data())
def test_damaged_answers_are_read_or_refused(data: st.DataObject) -> None:
    answer = bytearray.fromhex(HOST["netlink"][REQUEST])
    for _ in range(data.draw(st.integers(0, 4))):
        answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        json.dumps(parse(bytes(answer[: data.draw(st.integers(0, len(answer)))])))
