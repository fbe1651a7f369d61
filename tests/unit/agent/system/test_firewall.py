"""The firewall: another rule is another digest; a reload, a counter or a banned address is none."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_agent.collectors.system import firewall, nftables
from verdelta_agent.collectors.system.nftables import Answers, parse
from verdelta_agent.gather import collect
from verdelta_agent.netlink import message
from verdelta_agent.recorded_host import RecordedHost

RECORDED = Path(__file__).parents[3] / "hosts/debian-12/system.firewall.json"
HOST: dict[str, Any] = json.loads(RECORDED.read_text())["host"]
SAW: dict[str, Any] = json.loads(RECORDED.read_text())["expect"]
INET = 1


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def string(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def big(kind: int, value: int, size: int = 4) -> bytes:
    return attribute(kind, value.to_bytes(size, "big"))


def listed(kind: int, *attributes: bytes) -> bytes:
    return message(nftables.SUBSYSTEM | kind, 2, bytes([INET, 0, 0, 0]) + b"".join(attributes))


def expression(name: str, *fields: bytes) -> bytes:
    return attribute(1, string(1, name) + attribute(2, b"".join(fields)))


def chain(name: str = "c", flags: int = 0) -> bytes:
    return listed(3, string(1, "t"), string(3, name), big(2, 77, 8), big(10, flags))


def rule(*expressions: bytes, handle: int = 1, position: int = 0, comment: bytes = b"", of: str = "c") -> bytes:
    written = [string(1, "t"), string(2, of), big(3, handle, 8), attribute(4, b"".join(expressions))]
    return listed(6, *written, big(6, position, 8), *([attribute(7, comment)] if comment else []))


def a_set(name: str, flags: int = 0) -> bytes:
    return listed(9, string(1, "t"), string(2, name), big(3, flags), big(4, 7), big(5, 4))


def holding(*items: bytes) -> bytes:
    return listed(12, string(1, "t"), string(2, "s"), attribute(3, b"".join(attribute(1, item) for item in items)))


def key(value: int) -> bytes:
    return attribute(1, big(1, value))


def digest(*rules: bytes, sets: bytes = b"", elements: Any = (), **more: Any) -> str:
    answers = Answers(b"", more.pop("chains", chain()), b"".join(rules), sets, dict(elements), **more)
    rows, _ = parse(answers)
    return rows["chain inet t c"]["digest"]


ACCEPT = expression("immediate", big(1, 0), attribute(2, attribute(2, big(1, 1))))
DROP = expression("immediate", big(1, 0), attribute(2, attribute(2, big(1, 0))))


def counter(packets: int) -> bytes:
    return expression("counter", big(1, packets * 60, 8), big(2, packets, 8))


def test_another_rule_another_order_and_another_comment_are_another_digest() -> None:
    seen = {
        digest(rule(ACCEPT)),
        digest(rule(DROP)),
        digest(rule(ACCEPT), rule(DROP)),
        digest(rule(DROP), rule(ACCEPT)),
    }
    assert len({*seen, digest(rule(ACCEPT, comment=b"\0\2x\0")), digest()}) == 6


def test_handles_positions_and_counters_are_in_no_digest_but_that_there_is_a_counter_is() -> None:
    assert digest(rule(counter(1), ACCEPT)) == digest(rule(counter(9), ACCEPT, handle=7, position=3))
    assert digest(rule(counter(1), ACCEPT)) != digest(rule(ACCEPT))


def test_what_has_been_consumed_of_a_quota_is_in_no_digest() -> None:
    def quota(limit: int, used: int, flags: int) -> str:
        return digest(rule(expression("quota", big(1, limit, 8), big(2, flags), big(4, used, 8))))

    assert quota(100, 0, 0) == quota(100, 100, 2)
    assert len({quota(100, 0, 0), quota(200, 0, 0), quota(100, 0, 1)}) == 3


def an_object(kind: int, *fields: bytes) -> dict[str, Any]:
    told = [string(1, "t"), string(2, "o"), big(3, kind), attribute(4, b"".join(fields)), big(5, 3), big(6, 77, 8)]
    rows, _ = parse(Answers(b"", b"", b"", b"", objects=listed(18, *told)))
    (row,) = rows.values()
    return row


def test_an_object_with_a_name_counts_by_its_settings_and_not_by_what_has_passed() -> None:
    def quota(limit: int, used: int) -> dict[str, Any]:
        return an_object(2, big(1, limit, 8), big(2, 0), big(4, used, 8))

    assert quota(100, 5) == quota(100, 9) != quota(200, 5)
    assert an_object(1, big(1, 60, 8), big(2, 1, 8)) == an_object(1, big(1, 0, 8), big(2, 0, 8))
    assert an_object(4, big(1, 400, 8)) != an_object(4, big(1, 500, 8))
    assert (an_object(3)["kind"], an_object(99)["kind"]) == ("ct helper", "object 99")


def test_a_flowtable_shows_the_interfaces_whose_packets_it_takes_over() -> None:
    devices = attribute(3, string(1, "eth1") + string(1, "eth0"))
    hook = attribute(3, big(1, 0) + big(2, (1 << 32) - 10) + devices)
    found = listed(22, string(1, "t"), string(2, "f"), hook, big(4, 1), big(5, 77, 8), big(7, 1))
    rows, _ = parse(Answers(b"", b"", b"", b"", flow_tables=found))
    assert rows["flowtable inet t f"] == {
        **{"kind": "flowtable", "family": "inet", "table": "t", "name": "f", "hook": "ingress", "priority": -10},
        **{"devices": ["eth0", "eth1"], "flags": ["offload"]},
    }


def test_padding_which_depends_on_what_stands_before_is_in_no_digest() -> None:
    assert digest(rule(expression("limit", big(1, 5, 8)))) == digest(
        rule(expression("limit", attribute(7, b""), big(1, 5, 8)))
    )


def lookup(name: str, number: int = 1) -> bytes:
    return expression("lookup", string(1, name), big(2, 1), big(4, number))


def test_a_set_without_a_name_counts_by_what_is_in_it_and_not_by_its_number() -> None:
    def seen(name: str, *values: int) -> str:
        sets, elements = a_set(name, flags=3), {(INET, "t", name): holding(*map(key, values))}
        return digest(rule(lookup(name, len(name))), sets=sets, elements=elements)

    assert seen("__set0", 22, 80) == seen("__set14", 80, 22)
    assert seen("__set0", 22, 80) != seen("__set0", 22)


def test_a_chain_without_a_name_counts_by_its_rules() -> None:
    def seen(name: str, inner: bytes) -> str:
        jump = expression("immediate", attribute(2, attribute(2, big(1, 0xFFFFFFFD) + string(2, name))))
        return digest(rule(jump), rule(inner, of=name), chains=chain() + chain(name, flags=4))

    assert seen("__chain0", ACCEPT) == seen("__chain3", ACCEPT) != seen("__chain0", DROP)


def test_rules_that_lead_to_themselves_without_an_end_are_refused() -> None:
    jump = expression("immediate", attribute(2, attribute(2, big(1, 0xFFFFFFFD) + string(2, "__chain0"))))
    with pytest.raises(ValueError, match="without an end"):
        digest(rule(jump), *[rule(jump, of="__chain0")] * 9, chains=chain() + chain("__chain0", flags=4))


def test_expressions_in_expressions_without_an_end_are_refused() -> None:
    inner = string(1, "counter")
    for _ in range(200):
        inner = string(1, "dynset") + attribute(2, attribute(7, inner))
    with pytest.raises(ValueError, match="without an end"):
        digest(rule(attribute(1, inner)))


def test_an_interface_that_a_rule_knows_by_its_number_counts_by_its_name() -> None:
    def seen(index: int, name: str) -> str:
        compared = attribute(3, attribute(1, struct.pack("=I", index)))
        meta = expression("meta", big(1, 1), big(2, 4))
        return digest(rule(meta, expression("cmp", big(1, 1), big(2, 0), compared)), interfaces={index: name})

    assert seen(2, "eth0") == seen(5, "eth0") != seen(2, "eth1")


def in_set(*items: bytes, flags: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    rows, volatile = parse(Answers(b"", b"", b"", a_set("s", flags), {(INET, "t", "s"): holding(*items)}))
    return rows["set inet t s"], volatile["set inet t s"]


def test_elements_that_run_out_or_that_packets_add_are_only_counted() -> None:
    passing = key(7) + big(4, 60000, 8) + big(5, 31000, 8)
    assert in_set(key(1)) == in_set(key(1))
    with_ban, without = in_set(key(1), passing), in_set(key(1))
    assert with_ban[0] == without[0]
    assert (with_ban[1], without[1]) == ({"passing_elements": 1}, {"passing_elements": 0})
    assert in_set(key(1), flags=0x20)[0] == in_set(key(2), key(3), flags=0x20)[0]


def test_elements_in_whatever_order_are_one_digest_and_their_counters_are_in_none() -> None:
    counted = [key(1) + attribute(7, string(1, "counter") + attribute(2, big(2, packets, 8))) for packets in (1, 9)]
    assert in_set(counted[0], key(2))[0] == in_set(key(2), counted[1])[0]
    assert in_set(key(1), key(2))[0] != in_set(key(1), key(3))[0]


@pytest.mark.parametrize(
    ("name", "compared"),
    [("input", True), ("DOCKER", False), ("DOCKER-USER", True), ("KUBE-SVC-X", False), ("f2b-sshd", False)],
)
def test_chains_in_which_daemons_write_are_only_shown(name: str, compared: bool) -> None:
    rows, volatile = parse(Answers(b"", chain(name), rule(DROP, of=name), b""))
    assert (len(rows), len(volatile)) == ((1, 0) if compared else (0, 1))


def test_rules_that_change_while_they_are_read_are_never_mixed() -> None:
    request = f"12 {nftables.GET_RULES} 00000000"
    other = bytearray.fromhex(HOST["netlink"][request])
    other[18] ^= 1  # the first message's number of the ruleset
    section = collect(RecordedHost({**HOST, "netlink": {**HOST["netlink"], request: other.hex()}}), firewall.COLLECTOR)
    assert section.status == "failed"


def test_a_kernel_that_would_have_to_load_nftables_is_not_asked() -> None:
    class Asked(RecordedHost):
        def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
            raise AssertionError("the kernel would load a module")

    files = {"/proc/modules": "", "/proc/sys/kernel/osrelease": "6.1\n", "/lib/modules/6.1/modules.builtin": ""}
    section = collect(Asked({"files": files}), firewall.COLLECTOR)
    assert (section.status, section.rows, section.error) == ("ok", {}, None)
    del files["/lib/modules/6.1/modules.builtin"]
    assert "built in" in (collect(Asked({"files": files}), firewall.COLLECTOR).error or "")


def test_nftables_that_is_built_into_a_kernel_with_modules_is_asked() -> None:
    builtin = "kernel/net/netfilter/nf_tables.ko\n"
    files = {"/proc/modules": "", "/proc/sys/kernel/osrelease": "6.1\n", "/lib/modules/6.1/modules.builtin": builtin}
    section = collect(RecordedHost({"files": files, "netlink": HOST["netlink"]}), firewall.COLLECTOR)
    assert (section.status, section.rows) == ("ok", SAW["rows"])


def test_names_of_tables_that_may_not_be_read_fail_the_section() -> None:
    files = {"/proc/net/ip_tables_names": {"error": "EACCES"}}
    section = collect(RecordedHost({"files": files, "netlink": HOST["netlink"]}), firewall.COLLECTOR)
    assert (section.status, (section.error or "")[:10]) == ("failed", "permission")


ANSWERS = [(request, bytes.fromhex(answer)) for request, answer in HOST["netlink"].items()]


@settings(max_examples=300)
@given(st.sampled_from(ANSWERS), st.data())
def test_damaged_answers_are_read_or_refused(which: tuple[str, bytes], data: st.DataObject) -> None:
    request, answer = which[0], bytearray(which[1])
    for _ in range(data.draw(st.integers(0, 4))):
        if answer:
            answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    cut = answer[: data.draw(st.integers(0, len(answer)))]
    host = RecordedHost({**HOST, "netlink": {**HOST["netlink"], request: cut.hex()}})
    with contextlib.suppress(ValueError, OSError):
        json.dumps(firewall.collect(host))
