"""iptables-legacy: another rule is another digest of its chain; counters and what shifts other chains are none."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_agent.collectors.system import firewall, xtables
from verdelta_agent.collectors.system.xtables import is_untouched, parse
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import Section
from verdelta_agent.recorded_host import RecordedHost
from verdelta_agent.rooted_host import RootedHost

RECORDED = Path(__file__).parents[3] / "hosts/debian-12/system.firewall@legacy.json"
HOST: dict[str, Any] = json.loads(RECORDED.read_text())["host"]
ACCEPT, DROP, RETURN = -2, -1, -5


def part(name: str, data: bytes) -> bytes:
    data += bytes(-len(data) % 8)
    return struct.pack("=H29sB", 32 + len(data), name.encode(), 0) + data


def verdict(number: int) -> bytes:
    return part("", struct.pack("=i", number))


def rule(target: bytes, *matches: bytes, interface: str = "", packets: int = 0) -> bytes:
    packet = struct.pack("=16x16s52x", interface.encode())
    start = 112 + sum(map(len, matches))
    head = packet + struct.pack("=IHHIQQ", 0, start, start + len(target), 0, packets, packets * 60)
    return head + b"".join(matches) + target


def beginning(chain: str) -> bytes:
    return rule(part("ERROR", chain.encode().ljust(32, b"\0")))


def table(*rules: bytes, hooks: int = 2, enters: int = 0) -> bytes:
    entries = [enters if hooks >> hook & 1 else 0xFFFFFFFF for hook in range(5)]
    data = b"".join(rules)
    return struct.pack("=I5I5III", hooks, *entries, *entries, len(rules), len(data)) + data


END = beginning("ERROR")


def chains(answer: bytes) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in parse("ip", "filter", answer)}


def input_of(*rules: bytes, policy: int = ACCEPT) -> dict[str, Any]:
    return chains(table(*rules, rule(verdict(policy)), END))["INPUT"]


def test_a_chain_shows_its_policy_and_how_many_rules_come_before_it() -> None:
    seen = input_of(rule(verdict(DROP), interface="eth0"), policy=DROP)
    assert {key: seen[key] for key in ("kind", "family", "table", "policy", "rules")} == {
        **{"kind": "legacy", "family": "ip", "table": "filter", "policy": "drop", "rules": 1}
    }


def test_another_rule_another_order_and_another_match_are_another_digest() -> None:
    first, second = rule(verdict(DROP), interface="eth0"), rule(verdict(DROP), interface="eth1")
    matched = rule(verdict(DROP), part("comment", b"x"), interface="eth0")
    other_match = rule(verdict(DROP), part("comment", b"y"), interface="eth0")
    accepted = rule(verdict(ACCEPT), interface="eth0")
    logged = rule(part("LOG", b"\4"), interface="eth0")
    seen = [input_of(first), input_of(second), input_of(first, second), input_of(second, first), input_of(matched)]
    seen += [input_of(other_match), input_of(accepted), input_of(logged), input_of()]
    assert len({row["digest"] for row in seen}) == len(seen)


def test_counters_are_in_no_digest() -> None:
    assert input_of(rule(verdict(DROP), packets=1)) == input_of(rule(verdict(DROP), packets=9))


def jumping(*before: bytes) -> dict[str, dict[str, Any]]:
    """INPUT jumps to the chain `web`, before which stand other rules in a chain of their own."""
    length = len(rule(verdict(0)))
    between = beginning("other") + b"".join(before) + rule(verdict(RETURN))
    to = 2 * length + len(between) + len(beginning("web"))
    jump = rule(verdict(to))
    web = [beginning("web"), rule(verdict(DROP)), rule(verdict(RETURN))]
    return chains(table(jump, rule(verdict(ACCEPT)), between, *web, END))


def test_a_jump_counts_by_the_name_of_the_chain_that_it_leads_to() -> None:
    near, far = jumping(), jumping(rule(verdict(DROP)), rule(verdict(DROP)))
    assert set(near) == {"INPUT", "other", "web"}
    assert near["INPUT"] == far["INPUT"]
    assert near["web"] == far["web"]
    assert near["other"]["digest"] != far["other"]["digest"]
    assert near["web"]["policy"] is None


def test_a_rule_that_only_counts_goes_on_to_the_next_wherever_it_stands() -> None:
    length = len(rule(verdict(0)))
    seen = input_of(rule(verdict(length)), rule(verdict(2 * length)))
    assert seen["rules"] == 2
    assert seen == input_of(rule(verdict(length)), rule(verdict(2 * length), packets=3))


def test_a_table_that_somebody_has_only_looked_at_is_as_none() -> None:
    assert is_untouched([input_of()])
    assert not is_untouched([input_of(policy=DROP)])
    assert not is_untouched([input_of(rule(verdict(ACCEPT)))])
    assert not is_untouched(list(jumping().values()))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(40),
        table(END[:100]),
        table(rule(verdict(DROP)), enters=8),
        table(rule(verdict(DROP))[:-1] + b"x" * 3),
        table(rule(part("", b""))),
        table(rule(verdict(DROP), bytes(32))),
    ],
    ids=["nothing", "no rules", "cut short", "before the first chain", "torn", "no verdict", "a match of no size"],
)
def test_a_damaged_table_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError):
        parse("ip", "filter", answer)


def seen(**changed: Any) -> Section:
    return collect(RecordedHost({**HOST, **changed}), firewall.COLLECTOR)


def test_an_old_kernel_which_hands_over_its_own_working_data_is_not_believed() -> None:
    for release, read in (("3.10.0-1160.el7", False), ("4.4.0", False), ("4.10.3", False), ("4.11.0", True)):
        section = seen(files={**HOST["files"], "/proc/sys/kernel/osrelease": release})
        assert ("legacy ip filter INPUT" in section.rows) == read
        assert (section.error is None) == read
        assert "legacy ip filter" in section.rows


def test_a_table_that_may_not_be_read_fails_the_section() -> None:
    section = seen(xtables={**HOST["xtables"], "ip filter": {"error": "EPERM"}})
    assert (section.status, (section.error or "")[:10]) == ("failed", "permission")


def test_tables_that_cannot_be_read_are_named_and_the_others_are_kept() -> None:
    without = {name: answer for name, answer in HOST["xtables"].items() if name != "ip filter"}
    section = seen(xtables=without)
    assert section.error == "rules of iptables-legacy cannot be read: ip filter"
    assert "legacy ip filter" in section.rows
    assert "legacy ip6 filter INPUT" in section.rows


def test_a_table_of_arptables_is_named() -> None:
    section = seen(files={**HOST["files"], "/proc/self/net/arp_tables_names": "filter\n"})
    assert section.error == "rules of iptables-legacy cannot be read: arp filter"


@pytest.mark.parametrize(("family", "table"), [("ip", "nosuch"), ("ip", "x" * 40), ("ip", ""), ("arp", "filter")])
def test_a_table_that_is_not_there_is_an_error(family: str, table: str) -> None:
    with pytest.raises(OSError):
        LocalHost().xtables(family, table)
    with pytest.raises(OSError):
        RootedHost("/").xtables(family, table)


TABLES = [(name, bytes.fromhex(answer)) for name, answer in HOST["xtables"].items()]


@settings(max_examples=300)
@given(st.sampled_from(TABLES), st.data())
def test_damaged_tables_are_read_or_refused(which: tuple[str, bytes], data: st.DataObject) -> None:
    name, answer = which[0], bytearray(which[1])
    for _ in range(data.draw(st.integers(0, 4))):
        answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    family, _, table = name.partition(" ")
    with contextlib.suppress(ValueError):
        rows = xtables.parse(family, table, bytes(answer[: data.draw(st.integers(0, len(answer)))]))
        assert len(rows) <= len(answer) // 100
        json.dumps(rows)
