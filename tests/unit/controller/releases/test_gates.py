"""Gates decide by facts alone: each is met by what it asks for and by nothing else, and says whose turn it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.releases.gates import (
    Accepted,
    Facts,
    GateStatus,
    OpenError,
    Recorded,
    Rehearsed,
    Signed,
    Waived,
    checklist,
    in_the_way,
    left_out,
)
from verdelta_controller.releases.known_errors import Severity
from verdelta_controller.releases.manifest import Manifest, ReleaseType, load_manifest
from verdelta_controller.releases.policy import Policy, load_policy, shipped_policy
from verdelta_controller.releases.rules import ReleaseState
from verdelta_controller.releases.sides import Purpose

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
_, STANDARD = shipped_policy("standard")
TEXT = """
release: labapp
version: "1.1"
type: minor
service: lab
install: {playbook: install_packages.yml}
changes:
  - {section: software.dpkg, key: "labapp:*", after: any}
"""
BARE = load_manifest(TEXT)
WHOLE = load_manifest(
    TEXT
    + """
back_out: {playbook: install_packages.yml}
acceptance:
  - {id: looks-right, says: It looks right, check: manual, instructions: Look at it.}
components:
  - {kind: documentation, name: Design, version: "1", document: design, artifact: design.md}
"""
)


def policy(gate: str, before: str = "authorised", more: str = "") -> Policy:
    """Return a policy with one gate."""
    return load_policy(f"policy: one\n{more}\ntypes:\n  minor:\n    before:\n      {before}:\n        - {gate}\n")


def facts(**given: Any) -> Facts:
    """Return the facts of a minor release that is built and has nothing else."""
    known: dict[str, Any] = {"state": ReleaseState.BUILT, "manifest": BARE, **given}
    return Facts(label="labapp 1.1", type=ReleaseType.MINOR, built_by="bob", **known)


def rehearsed(passed: bool | None) -> Rehearsed:
    return Rehearsed(12, passed, "1 host: 1 verified", "tess", NOW)


MET: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "builder-tests": (
        "{gate: builder-tests}",
        {"builder_tests": (True, "20 passed, 0 failed, 0 skipped", NOW)},
        {"builder_tests": (False, "19 passed, 1 failed, 0 skipped", NOW)},
        "build-manager",
    ),
    "criteria": ("{gate: criteria}", {"manifest": WHOLE}, {}, "build-manager"),
    "rehearsal": ("{gate: rehearsal}", {"rehearsal": rehearsed(True)}, {"rehearsal": rehearsed(False)}, "test-manager"),
    "a rehearsal that goes on": (
        "{gate: rehearsal}",
        {"rehearsal": rehearsed(True)},
        {"rehearsal": rehearsed(None)},
        "test-manager",
    ),
    "rehearsed-change": (
        "{gate: rehearsed-change}",
        {"rehearsed_change": Accepted("c" * 64, "tess", NOW)},
        {},
        "test-manager",
    ),
    "back-out": ("{gate: back-out}", {"manifest": WHOLE}, {}, "build-manager"),
    "known-errors": (
        "{gate: known-errors, severity: high}",
        {"known_errors": [OpenError("ugly", Severity.MEDIUM)]},
        {"known_errors": [OpenError("loses data", Severity.CRITICAL)]},
        "build-manager",
    ),
    "document": ("{gate: document, of: design}", {"manifest": WHOLE}, {}, "build-manager"),
    "record": (
        "{gate: record, of: security-scan, by: change-manager}",
        {"records": [Recorded("security-scan", True, "carl", NOW)]},
        {"records": [Recorded("security-scan", False, "carl", NOW), Recorded("training", True, "carl", NOW)]},
        "change-manager",
    ),
    "sign-off": (
        "{gate: sign-off, of: business}",
        {"sign_offs": [Signed(Purpose.BUSINESS, "bea", NOW)]},
        {"sign_offs": [Signed(Purpose.ACCEPTANCE, "tess", NOW)]},
        "business-approver",
    ),
    "sign-offs of two": (
        "{gate: sign-off, of: business, at_least: 2}",
        {"sign_offs": [Signed(Purpose.BUSINESS, "bea", NOW), Signed(Purpose.BUSINESS, "ben", NOW)]},
        {"sign_offs": [Signed(Purpose.BUSINESS, "bea", NOW), Signed(Purpose.BUSINESS, "bea", NOW)]},
        "business-approver",
    ),
    "frequency": (
        "{gate: frequency, at_most: 1, days: 30}",
        {"deployed": [NOW - timedelta(days=31)]},
        {"deployed": [NOW - timedelta(days=29)]},
        "release-manager",
    ),
}


@pytest.mark.parametrize(("gate", "good", "bad", "task"), MET.values(), ids=MET)
def test_a_gate_is_met_by_what_it_asks_for_and_otherwise_says_whose_turn_it_is(
    gate: str, good: dict[str, Any], bad: dict[str, Any], task: str
):
    (met,) = checklist(policy(gate), facts(**good), NOW)
    (closed,) = checklist(policy(gate), facts(**bad), NOW)
    assert met.status is GateStatus.MET and not met.action
    assert closed.status is GateStatus.NOT_MET and closed.action and closed.action_for == task
    assert in_the_way([met], ReleaseState.AUTHORISED) == []
    assert in_the_way([closed], ReleaseState.AUTHORISED) == [closed]
    assert in_the_way([closed], ReleaseState.BUILT) == []


FREEZE = "freezes:\n  - {name: year end, begins: 2026-11-26, ends: 2026-11-26, except_for: [emergency]}"


@pytest.mark.parametrize(("days", "met"), [(-1, True), (0, False), (1, True)])
def test_a_freeze_holds_on_its_first_and_its_last_day(days: int, met: bool):
    frozen = policy("{gate: no-freeze}", "deploying", FREEZE)
    (line,) = checklist(frozen, facts(), NOW + timedelta(days=days))
    assert (line.status is GateStatus.MET) is met
    assert met or "year end" in line.evidence


def test_a_freeze_does_not_hold_up_the_types_that_it_excepts():
    frozen = load_policy(
        f"policy: one\n{FREEZE}\ntypes:\n  emergency:\n    before:\n      deploying:\n        - {{gate: no-freeze}}\n"
    )
    (line,) = checklist(frozen, replace(facts(), type=ReleaseType.EMERGENCY), NOW)
    assert line.status is GateStatus.MET


def waiver(gate: str, days: int) -> Waived:
    return Waived(gate, "as 1.0", "carl", NOW, NOW + timedelta(days=days))


def test_a_waiver_lets_through_until_it_expires_and_only_its_gate():
    back_out = policy("{gate: back-out}")
    (waived,) = checklist(back_out, facts(waivers=[waiver("back-out", 1)]), NOW)
    (expired,) = checklist(back_out, facts(waivers=[waiver("back-out", 0)]), NOW)
    (other,) = checklist(back_out, facts(waivers=[waiver("criteria", 1)]), NOW)
    assert waived.status is GateStatus.WAIVED and waived.by == "carl" and "as 1.0 (until 2026-11-27)" in waived.evidence
    assert expired.status is other.status is GateStatus.NOT_MET


def test_a_minor_release_has_to_be_in_test_and_accepted_before_it_is_authorised():
    assert left_out(STANDARD, facts(), ReleaseState.AUTHORISED) == [ReleaseState.IN_TEST, ReleaseState.ACCEPTED]
    tested = facts(passed_states=frozenset((ReleaseState.BUILT, ReleaseState.IN_TEST, ReleaseState.ACCEPTED)))
    assert left_out(STANDARD, tested, ReleaseState.AUTHORISED) == []


def emergency(**given: Any) -> Facts:
    return replace(facts(**{"manifest": WHOLE, **given}), type=ReleaseType.EMERGENCY)


def test_an_emergency_may_leave_the_test_out_and_owes_it_visibly_until_it_closes():
    before = emergency()
    assert left_out(STANDARD, before, ReleaseState.AUTHORISED) == []
    passed = frozenset((ReleaseState.BUILT, ReleaseState.AUTHORISED))
    deployed = replace(before, state=ReleaseState.DEPLOYED, passed_states=passed)
    lines = checklist(STANDARD, deployed, NOW)
    owed = {line.gate for line in lines if line.status is GateStatus.OWED}
    assert {"rehearsal", "rehearsed-change", "sign-off acceptance"} <= owed
    assert {line.gate for line in in_the_way(lines, ReleaseState.CLOSED)} == owed | {"sign-off business"}
    assert in_the_way(lines, ReleaseState.DEPLOYED) == []


def test_what_an_emergency_owes_is_made_good_by_doing_it_afterwards():
    given = {
        "state": ReleaseState.DEPLOYED,
        "passed_states": frozenset((ReleaseState.BUILT, ReleaseState.AUTHORISED)),
        "rehearsal": rehearsed(True),
        "rehearsed_change": Accepted("c" * 64, "tess", NOW),
        "sign_offs": [Signed(purpose, purpose.value, NOW) for purpose in Purpose],
    }
    assert in_the_way(checklist(STANDARD, emergency(**given), NOW), ReleaseState.CLOSED) == []


SIGNED = st.builds(Signed, st.sampled_from(Purpose), st.sampled_from(("ann", "bea", "tess")), st.just(NOW))
FACTS = st.builds(
    facts,
    manifest=st.sampled_from((None, BARE, WHOLE)),
    state=st.sampled_from(ReleaseState),
    rehearsal=st.sampled_from((None, rehearsed(True), rehearsed(False), rehearsed(None))),
    rehearsed_change=st.sampled_from((None, Accepted("c" * 64, "tess", NOW))),
    sign_offs=st.lists(SIGNED, max_size=4),
    waivers=st.lists(st.builds(waiver, st.sampled_from(("criteria", "rehearsal")), st.integers(-1, 2)), max_size=3),
)


@given(FACTS)
def test_every_line_that_is_open_says_what_to_do_and_for_whom_and_no_other_does(known: Facts):
    for line in checklist(STANDARD, known, NOW):
        is_open = line.status in (GateStatus.NOT_MET, GateStatus.OWED)
        assert bool(line.action_for) == is_open
        assert bool(line.evidence)


@given(FACTS, SIGNED)
def test_one_more_signature_never_closes_a_gate(known: Facts, signed: Signed):
    more = replace(known, sign_offs=[*known.sign_offs, signed])
    before = {line.gate: line.status for line in checklist(STANDARD, known, NOW)}
    after = {line.gate: line.status for line in checklist(STANDARD, more, NOW)}
    assert all(after[gate] is status for gate, status in before.items() if status is GateStatus.MET)


def test_nothing_is_met_of_a_release_without_a_package():
    lines = checklist(STANDARD, facts(state=ReleaseState.DRAFT, manifest=None), NOW)
    met = {line.gate for line in lines if line.status is GateStatus.MET}
    assert met == {"known-errors high", "no-freeze"}
    assert isinstance(WHOLE, Manifest)
