"""The verdict on a host: what was observed, held against what was authorised."""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from verdelta_agent.delta import Change, Delta, compare
from verdelta_agent.model import ABSENT, OK, Row, Section, digest_sections, failed
from verdelta_controller.foundation.states import IllegalTransition
from verdelta_controller.releases.expectations import Expectation
from verdelta_controller.rollouts.rules import Interrupted, RowsOf, after_interruption, back_out_verdict, judge
from verdelta_controller.rollouts.states import (
    ENDED,
    HOST_STATES,
    WAVE_STATES,
    HostState,
    WaveState,
    wave_decision,
)
from verdelta_controller.rollouts.verdict import (
    Gap,
    GapKind,
    Outcome,
    Side,
    Verdict,
    gaps_between,
    verdict_of,
    waive,
)

DPKG, FILES = "software.dpkg", "system.files"
OLD: Row = {"version": "1.0", "state": "installed", "hold": False}
NEW: Row = {**OLD, "version": "1.1"}

Rows = Mapping[str, Mapping[str, Row]]  # section -> rows


def expectation(key: str, after: Any, section: str = DPKG) -> Expectation:
    return Expectation.model_validate({"section": section, "key": key, "after": after})


UPGRADE = expectation("labapp:*", {"version": "1.1"})


def sections(rows: Rows, **others: Section) -> dict[str, Section]:
    both = {DPKG: {}, FILES: {}, **rows}
    return {**{name: Section(OK, dict(of), {}) for name, of in both.items()}, **others}


def rows_of(snapshot: Mapping[str, Section]) -> RowsOf:
    return lambda name: snapshot[name].rows if name in snapshot else {}


def verdict(
    expectations: Sequence[Expectation],
    before: Mapping[str, Section],
    after: Mapping[str, Section],
    drift: Sequence[Change] = (),
    accepted: frozenset[str] = frozenset(),
) -> Verdict:
    gaps = gaps_between(digest_sections(dict(before)), digest_sections(dict(after)))
    delta = compare(dict(before), dict(after))
    return judge(expectations, delta, rows_of(before), rows_of(after), drift, gaps, accepted)


def of_packages(expectations: Sequence[Expectation], before: Mapping[str, Row], after: Mapping[str, Row]) -> Verdict:
    return verdict(expectations, sections({DPKG: before}), sections({DPKG: after}))


def said(one: Verdict) -> list[tuple[str, str, str]]:
    return [(item.outcome.value, item.key, item.detail) for item in one.items]


# --- what was authorised


def test_an_upgrade_as_authorised_is_verified() -> None:
    found = of_packages([UPGRADE], {"labapp:all": OLD}, {"labapp:all": NEW})
    assert found.state is HostState.VERIFIED
    assert said(found) == [("matched", "labapp:all", "version 1.0 → 1.1")]
    assert (found.items[0].before, found.items[0].after, found.items[0].expectation) == (OLD, NEW, 0)


def test_a_host_that_is_already_there_is_matched_without_a_change() -> None:
    found = of_packages([UPGRADE], {"labapp:all": NEW}, {"labapp:all": NEW})
    assert found.state is HostState.VERIFIED
    assert said(found) == [("matched", "labapp:all", "already so: version 1.1")]
    assert (found.items[0].before, found.items[0].after) == (NEW, NEW)


def test_hosts_that_start_from_different_versions_are_judged_alike() -> None:
    for start in ("0.1", "1.0", "1.1", "2.0"):
        before = {"labapp:all": {**OLD, "version": start}}
        assert of_packages([UPGRADE], before, {"labapp:all": NEW}).state is HostState.VERIFIED


def test_an_added_row_is_matched_with_fields_that_nobody_named() -> None:
    found = of_packages([UPGRADE], {}, {"labapp:all": NEW})
    assert said(found) == [("matched", "labapp:all", "added: version 1.1")]
    assert found.state is HostState.VERIFIED


def test_a_removal_is_authorised_by_absent_and_by_any() -> None:
    for state in ("absent", "any"):
        found = of_packages([expectation("labapp:all", state)], {"labapp:all": OLD}, {})
        assert said(found) == [("matched", "labapp:all", "removed")]
        assert found.state is HostState.VERIFIED


def test_what_is_to_be_absent_and_was_never_there_is_matched() -> None:
    found = of_packages([expectation("telnetd:*", "absent")], {}, {})
    assert said(found) == [("matched", "telnetd:*", "already absent")]
    assert found.state is HostState.VERIFIED


def test_any_authorises_every_field_of_the_row() -> None:
    found = of_packages([expectation("labapp:*", "any")], {"labapp:all": OLD}, {"labapp:all": {**NEW, "hold": True}})
    assert said(found) == [("matched", "labapp:all", "hold false → true, version 1.0 → 1.1")]


def test_one_pattern_matches_each_row_that_it_covers() -> None:
    both = {"labapp:amd64": OLD, "labapp:i386": OLD}
    found = of_packages([UPGRADE], both, dict.fromkeys(both, NEW))
    assert [(outcome, key) for outcome, key, _ in said(found)] == [
        ("matched", "labapp:amd64"),
        ("matched", "labapp:i386"),
    ]


# --- what was not


def test_a_change_that_nothing_covers_is_unexpected() -> None:
    eve = {"eve": {"uid": 1001, "shell": "/bin/bash"}}
    before, after = (
        sections({DPKG: {"labapp:all": OLD}, "system.users": {}}),
        sections({DPKG: {"labapp:all": NEW}, "system.users": eve}),
    )
    found = verdict([UPGRADE], before, after)
    assert found.state is HostState.AT_VARIANCE
    assert said(found)[1] == ("unexpected", "eve", "added, not authorised")
    assert found.items[1].expectation is None


def test_a_removal_that_nothing_covers_is_unexpected() -> None:
    found = of_packages([UPGRADE], {"labapp:all": OLD, "bash:amd64": OLD}, {"labapp:all": NEW})
    assert ("unexpected", "bash:amd64", "removed, not authorised") in said(found)


@pytest.mark.parametrize(
    ("after", "detail"),
    [
        ({"labapp:all": {**OLD, "version": "1.2"}}, "version 1.0 → 1.2, authorised 1.1"),
        ({"labapp:all": {**NEW, "hold": True}}, "hold false → true, not authorised"),
        ({"labapp:all": {**NEW, "source": "lab"}}, "source not set → lab, not authorised"),
        ({"labapp:all": {**OLD, "hold": True}}, "version is 1.0, authorised 1.1; hold false → true, not authorised"),
        ({}, "removed, authorised to be there with version 1.1"),
        (
            {
                "labapp:all": {
                    "version": "1.2",
                    "state": "half-configured",
                    "hold": True,
                    "a": 1,
                    "b": 2,
                    "c": 3,
                    "d": 4,
                }
            },
            "version 1.0 → 1.2, authorised 1.1; a not set → 1, b not set → 2, c not set → 3, d not set → 4, 2 more,"
            " not authorised",
        ),
    ],
)
def test_a_covered_row_in_another_state_is_unexpected_once_and_says_why(after: Mapping[str, Row], detail: str) -> None:
    found = of_packages([UPGRADE], {"labapp:all": OLD}, after)
    assert said(found) == [("unexpected", "labapp:all", detail)]
    assert found.items[0].expectation == 0
    assert found.state is HostState.AT_VARIANCE


def test_an_added_row_in_another_state_is_unexpected() -> None:
    found = of_packages([UPGRADE], {}, {"labapp:all": {**OLD, "version": "1.2"}})
    assert said(found) == [("unexpected", "labapp:all", "added with version 1.2, authorised 1.1")]


def test_a_mode_that_changed_beside_the_authorised_content_is_unexpected() -> None:
    conf = expectation("/etc/labapp.conf", {"sha256": "b"}, FILES)
    before = {"/etc/labapp.conf": {"sha256": "a", "mode": "0644"}}
    after = {"/etc/labapp.conf": {"sha256": "b", "mode": "0666"}}
    found = verdict([conf], sections({FILES: before}), sections({FILES: after}))
    assert said(found) == [("unexpected", "/etc/labapp.conf", "mode 0644 → 0666, not authorised")]


def test_two_expectations_together_authorise_no_more_than_each_alone() -> None:
    both = [UPGRADE, expectation("labapp:all", {"hold": True})]
    found = of_packages(both, {"labapp:all": OLD}, {"labapp:all": {**NEW, "hold": True}})
    assert found.state is HostState.AT_VARIANCE


def test_a_change_of_what_is_to_be_absent_is_unexpected() -> None:
    found = of_packages([expectation("labapp:all", "absent")], {"labapp:all": OLD}, {"labapp:all": NEW})
    assert said(found) == [("unexpected", "labapp:all", "version 1.0 → 1.1, authorised to be absent")]


def test_one_right_row_of_a_pattern_does_not_excuse_a_wrong_one() -> None:
    both = {"labapp:amd64": OLD, "labapp:i386": OLD}
    found = of_packages([UPGRADE], both, {"labapp:amd64": NEW, "labapp:i386": {**OLD, "version": "1.2"}})
    assert [outcome for outcome, _, _ in said(found)] == ["matched", "unexpected"]
    assert found.state is HostState.AT_VARIANCE


def test_a_change_is_held_against_the_expectation_that_it_comes_closest_to() -> None:
    both = [expectation("lab*", {"state": "removed", "version": "9"}), UPGRADE]
    found = of_packages(both, {"labapp:all": OLD}, {"labapp:all": {**OLD, "version": "1.2"}})
    assert ("unexpected", "labapp:all", "version 1.0 → 1.2, authorised 1.1") in said(found)


# --- what did not happen


@pytest.mark.parametrize(
    ("key", "after", "rows", "detail"),
    [
        (
            "labapp:all",
            {"version": "1.1"},
            {"labapp:all": OLD},
            "authorised, but not seen on the host: version is 1.0, authorised 1.1",
        ),
        (
            "labapp:*",
            {"version": "1.1"},
            {"labapp:all": OLD},
            "authorised, but not seen on the host: labapp:all: version is 1.0, authorised 1.1",
        ),
        ("labapp:*", {"version": "1.1"}, {"bash:all": OLD}, "authorised, but not seen on the host"),
        (
            "labapp:all",
            {"source": "x"},
            {"labapp:all": OLD},
            "authorised, but not seen on the host: source is not set, authorised x",
        ),
        ("labapp:all", "any", {}, "authorised, but not seen on the host"),
        ("labapp:all", "absent", {"labapp:all": OLD}, "authorised to be absent, but still on the host"),
        (
            "lab*",
            "absent",
            {f"lab{number}:all": OLD for number in range(6)},
            "authorised to be absent, but still on the host: lab0:all, lab1:all, lab2:all, lab3:all, 2 more",
        ),
    ],
)
def test_what_is_authorised_and_not_there_is_missing(
    key: str, after: Any, rows: Mapping[str, Row], detail: str
) -> None:
    found = of_packages([expectation(key, after)], rows, rows)
    assert said(found) == [("missing", key, detail)]
    assert found.items[0].expectation == 0
    assert found.state is HostState.AT_VARIANCE


def test_a_row_that_was_left_of_a_pattern_to_be_absent_is_missing_beside_those_that_went() -> None:
    both = {"labapp:amd64": OLD, "labapp:i386": OLD}
    found = of_packages([expectation("labapp:*", "absent")], both, {"labapp:i386": OLD})
    assert [outcome for outcome, _, _ in said(found)] == ["missing", "matched"]


# --- drift, waivers


def test_drift_is_at_variance_even_when_the_release_came_about() -> None:
    drift = [Change(FILES, "/etc/motd", {"mode": "0644"}, {"mode": "0600"})]
    found = verdict([UPGRADE], sections({DPKG: {"labapp:all": OLD}}), sections({DPKG: {"labapp:all": NEW}}), drift)
    assert found.state is HostState.AT_VARIANCE
    assert said(found)[1] == ("drift", "/etc/motd", "mode 0644 → 0600, before we came")
    assert found.counts() == {
        Outcome.MATCHED: 1,
        Outcome.MISSING: 0,
        Outcome.UNEXPECTED: 0,
        Outcome.DRIFT: 1,
        Outcome.WAIVED: 0,
    }


def test_a_waiver_is_for_what_was_seen_and_nothing_else() -> None:
    first = of_packages([UPGRADE], {"labapp:all": OLD}, {"labapp:all": NEW, "eve:all": OLD})
    reasons = {item.identity: "a tool of the platform team" for item in first.items}
    waived = waive(first, reasons)
    assert waived.state is HostState.VERIFIED
    assert said(waived)[0] == (
        "waived",
        "eve:all",
        "added, not authorised (was unexpected; a tool of the platform team)",
    )
    assert said(waived)[1] == said(first)[1]
    other = of_packages([UPGRADE], {"labapp:all": OLD}, {"labapp:all": NEW, "eve:all": NEW})
    assert waive(other, reasons).state is HostState.AT_VARIANCE


def test_what_could_not_be_seen_is_not_waived() -> None:
    before = sections({DPKG: {"labapp:all": OLD}})
    after = sections({DPKG: {"labapp:all": NEW, "eve:all": OLD}}, **{FILES: failed("deadline")})
    found = verdict([UPGRADE], before, after)
    assert found.state is HostState.AT_VARIANCE
    assert waive(found, {item.identity: "known" for item in found.items}).state is HostState.INDETERMINATE


# --- gaps


def _with_gap(section: Section | None, side: Side, name: str = FILES) -> tuple[dict[str, Section], dict[str, Section]]:
    before, after = sections({DPKG: {"labapp:all": OLD}}), sections({DPKG: {"labapp:all": NEW}})
    gappy = before if side is Side.BEFORE else after
    if section is None:
        del gappy[name]
    else:
        gappy[name] = section
    return before, after


PARTIAL = Section(OK, {}, {}, "permission: /etc/shadow")


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (failed("deadline"), "system.files could not be read {} the install: deadline"),
        (PARTIAL, "system.files was read in part {} the install: permission: /etc/shadow"),
        (None, "system.files is not there {} the install"),
    ],
)
def test_a_gap_is_indeterminate_unless_it_was_accepted_beforehand(
    side: Side, section: Section | None, reason: str
) -> None:
    before, after = _with_gap(section, side)
    found = verdict([UPGRADE], before, after)
    assert found.state is HostState.INDETERMINATE
    assert found.reasons == (reason.format(side.value),)
    assert [gap.section for gap in found.gaps] == [FILES]
    accepted = verdict([UPGRADE], before, after, accepted=frozenset({FILES}))
    assert accepted.state is HostState.VERIFIED
    assert [gap.section for gap in accepted.accepted] == [FILES]
    assert verdict([UPGRADE], before, after, accepted=frozenset({"system.users"})).state is HostState.INDETERMINATE


def test_a_section_that_the_host_does_not_have_is_no_gap() -> None:
    nothing = {FILES: Section(ABSENT, {}, {})}
    before = sections({DPKG: {"labapp:all": OLD}}, **nothing)
    assert verdict([UPGRADE], before, sections({DPKG: {"labapp:all": NEW}}, **nothing)).state is HostState.VERIFIED


@pytest.mark.parametrize("after", [{"version": "1.1"}, "any", "absent"])
@pytest.mark.parametrize("section", [failed("locked"), None, Section(OK, {}, {}, "half of it")])
def test_an_authorised_change_that_cannot_be_looked_for_is_never_verified_nor_missing(
    after: Any, section: Section | None
) -> None:
    for name in (DPKG, FILES):
        before, now = _with_gap(section, Side.AFTER, name)
        before[name] = Section(OK, {}, {})
        found = verdict([expectation("x", after, name)], before, now, accepted=frozenset({DPKG, FILES}))
        expected = [] if name == DPKG else ["unexpected"]  # labapp's upgrade, where it can be seen
        assert [item.outcome.value for item in found.items] == expected
        assert found.state is (HostState.INDETERMINATE if name == DPKG else HostState.AT_VARIANCE)
        assert any(reason.startswith(f"{name} x: authorised, but") for reason in found.reasons)


def test_what_is_seen_in_a_part_of_a_section_counts_when_the_gap_is_accepted() -> None:
    before = sections({DPKG: {"labapp:all": OLD}})
    after = sections({}, **{DPKG: Section(OK, {"labapp:all": NEW}, {}, "the end is missing")})
    assert verdict([UPGRADE], before, after).state is HostState.INDETERMINATE
    assert verdict([UPGRADE], before, after, accepted=frozenset({DPKG})).state is HostState.VERIFIED


def test_a_section_that_was_not_compared_is_a_gap_also_when_nobody_says_so() -> None:
    before, after = sections({DPKG: {"labapp:all": OLD}}), sections({DPKG: {"labapp:all": NEW}})
    delta = compare(before, after)._replace(unknown=[FILES])
    found = judge([UPGRADE], delta, rows_of(before), rows_of(after))
    assert found.state is HostState.INDETERMINATE
    assert found.gaps == (Gap(FILES, GapKind.FAILED, Side.AFTER, "not compared"),)


def test_something_seen_to_be_wrong_is_stronger_than_something_not_seen() -> None:
    before = sections({DPKG: {"labapp:all": OLD}})
    after = sections({DPKG: {"labapp:all": OLD}}, **{FILES: failed("deadline")})
    assert verdict([UPGRADE], before, after).state is HostState.AT_VARIANCE


def test_without_an_applicable_expectation_nothing_is_verified() -> None:
    found = of_packages([], {"labapp:all": OLD}, {"labapp:all": OLD})
    assert found.state is HostState.INDETERMINATE
    assert found.reasons == ("no authorised change applies to this host, so there is nothing that could be verified",)


# --- properties

calmly = settings(deadline=None)
NAMES = st.sampled_from(["a", "b", "c", "d*", "e?", "[f]"])
VALUES = st.sampled_from(["1.0", "1.1", "any", "", 0, 1, True, None])
ROWS = st.dictionaries(NAMES, st.fixed_dictionaries({"version": VALUES, "mode": VALUES}), max_size=5)
SNAPSHOTS = st.fixed_dictionaries({DPKG: ROWS, FILES: ROWS}).map(sections)


def _as_authorised(changes: Sequence[Change]) -> list[Expectation]:
    """Return what authorises exactly these changes."""

    def state(change: Change) -> Any:
        if change.after is None:
            return "absent"
        names = change.fields() if change.before is not None else list(change.after)
        return {name: {"one_of": [change.after[name]]} for name in names}  # the text "any" would be no exact value

    return [expectation(change.key, state(change), change.section) for change in changes]


@given(SNAPSHOTS, SNAPSHOTS)
@calmly
def test_exactly_the_authorised_change_is_verified(before: dict[str, Section], after: dict[str, Section]) -> None:
    changes = compare(before, after).changes
    assume(changes)
    assert verdict(_as_authorised(changes), before, after).state is HostState.VERIFIED


@given(SNAPSHOTS, SNAPSHOTS, st.sampled_from([DPKG, FILES]), st.data())
@calmly
def test_any_other_change_beside_it_is_at_variance(
    before: dict[str, Section], after: dict[str, Section], name: str, data: st.DataObject
) -> None:
    expectations = _as_authorised(compare(before, after).changes)
    rows = dict(after[name].rows)
    kept = sorted(set(rows) & set(before[name].rows))
    key = data.draw(st.sampled_from([*kept, "another"]))
    if key == "another":
        rows[key] = {"version": "1.0"}
    elif data.draw(st.booleans()):
        del rows[key]
    else:
        rows[key] = {**rows[key], "another": 1}
    more = {**after, name: Section(OK, rows, {})}
    assert verdict(expectations, before, more).state is HostState.AT_VARIANCE


STATES = st.one_of(
    st.sampled_from(["any", "absent"]),
    st.dictionaries(
        st.sampled_from(["version", "mode"]),
        st.sampled_from(["1.0", "1.1", "any", 0, None, {"pattern": "1*"}, {"at_least": "1.1"}, {"one_of": ["1.0", 1]}]),
        min_size=1,
    ),
)
EXPECTATIONS = st.lists(
    st.builds(
        expectation, st.sampled_from(["a", "b", "c", "*", "?", "d*", "[f]"]), STATES, st.sampled_from([DPKG, FILES])
    ),
    max_size=5,
)


@given(EXPECTATIONS, SNAPSHOTS, SNAPSHOTS, SNAPSHOTS, st.randoms(use_true_random=False))
@calmly
def test_the_verdict_does_not_depend_on_any_order(
    expectations: list[Expectation],
    before: dict[str, Section],
    after: dict[str, Section],
    known: dict[str, Section],
    order: random.Random,
) -> None:
    def shuffled(things: Sequence[Any]) -> list[Any]:
        return order.sample(list(things), len(things))

    def without_numbers(one: Verdict) -> Any:
        return [{**item, "expectation": None} for item in one.document()["items"]], one.state, one.reasons

    delta, drift = compare(before, after), compare(known, before).changes
    gaps = [Gap(FILES, kind, side) for kind in GapKind for side in Side][:2]
    first = judge(expectations, delta, rows_of(before), rows_of(after), drift, gaps)
    again = shuffled(expectations)
    other = judge(
        again,
        Delta(delta.before, delta.after, shuffled(delta.changes), delta.unknown),
        rows_of(before),
        rows_of(after),
        shuffled(drift),
        shuffled(gaps),
    )
    assert without_numbers(first) == without_numbers(other)
    for one, same in zip(first.items, other.items, strict=True):
        both = (one.expectation, same.expectation)
        assert both == (None, None) or expectations[both[0]] == again[both[1]]  # type: ignore[index]


@given(EXPECTATIONS, SNAPSHOTS, SNAPSHOTS, st.sampled_from([DPKG, FILES]), st.booleans(), st.booleans())
@calmly
def test_an_unreadable_section_is_never_verified(
    expectations: list[Expectation],
    before: dict[str, Section],
    after: dict[str, Section],
    name: str,
    first: bool,
    missing: bool,
) -> None:
    gappy = before if first else after
    if missing:
        del gappy[name]
    else:
        gappy[name] = failed("deadline")
    assert verdict(expectations, before, after).state is not HostState.VERIFIED


@given(EXPECTATIONS, SNAPSHOTS, SNAPSHOTS)
@calmly
def test_every_change_has_one_item_and_nothing_is_verified_without_its_state(
    expectations: list[Expectation], before: dict[str, Section], after: dict[str, Section]
) -> None:
    found = verdict(expectations, before, after)
    observed = [
        (item.section, item.key) for item in found.items if item.outcome in (Outcome.MATCHED, Outcome.UNEXPECTED)
    ]
    for change in compare(before, after).changes:
        assert observed.count((change.section, change.key)) == 1
    if found.state is HostState.VERIFIED:
        for one in expectations:
            rows = [row for key, row in after[one.section].rows.items() if one.covers(one.section, key)]
            gone = [key for key in before[one.section].rows if one.covers(one.section, key)]
            right = any(not one.mismatches(row) for row in rows)
            assert not rows if one.after == "absent" else right or (one.after == "any" and gone)


@given(EXPECTATIONS, SNAPSHOTS, SNAPSHOTS)
@calmly
def test_a_verdict_comes_back_from_its_document(
    expectations: list[Expectation], before: dict[str, Section], after: dict[str, Section]
) -> None:
    after[FILES] = Section(OK, after[FILES].rows, {}, "in part")
    found = verdict(expectations, before, after, accepted=frozenset({FILES}))
    assert verdict_of(json.loads(json.dumps(found.document()))) == found


def test_a_hostile_row_is_judged_like_any_other() -> None:
    row: Row = {"version": {"deep": [1, {"x": "y" * 100_000}]}, "mode": float("1e300"), "\x1b[2J": "\u202e"}
    found = of_packages([UPGRADE], {"labapp:all": OLD}, {"labapp:all": row, "\n": row})
    assert found.state is HostState.AT_VARIANCE
    assert all(len(item.detail) < 1000 for item in found.items)


@pytest.mark.timeout(60)
def test_a_host_with_many_changes_and_a_release_with_many_expectations_are_judged_in_seconds() -> None:
    before = sections({FILES: {f"/etc/{number}": {"sha256": "a"} for number in range(20_000)}})
    after = sections({FILES: {f"/etc/{number}": {"sha256": "b"} for number in range(20_000)}})
    expectations = [expectation(f"/etc/{number}", {"sha256": "b"}, FILES) for number in range(4000)]
    found = verdict([*expectations, expectation("/etc/*9", "any", FILES)], before, after)
    assert found.counts()[Outcome.MATCHED] == 4000 + 1600


# --- after a back-out, and after an interruption


def test_a_back_out_is_proved_by_an_empty_delta() -> None:
    before = sections({DPKG: {"labapp:all": OLD}})
    assert back_out_verdict(compare(before, before)).state is HostState.BACKED_OUT


def test_whatever_a_back_out_left_behind_has_failed() -> None:
    before = sections({DPKG: {"labapp:all": OLD}})
    left = sections({DPKG: {"labapp:all": OLD, "liblab:all": {**OLD, "state": "config-files"}}})
    found = back_out_verdict(compare(before, left))
    assert found.state is HostState.BACK_OUT_FAILED
    assert said(found) == [("unexpected", "liblab:all", "added, not as before")]
    assert waive(found, {found.items[0].identity: "harmless"}).state is HostState.BACKED_OUT


def test_a_back_out_that_cannot_be_compared_has_failed() -> None:
    before = sections({})
    blind = compare(before, sections({}, **{FILES: failed("deadline")}))
    assert back_out_verdict(blind).state is HostState.BACK_OUT_FAILED
    assert back_out_verdict(blind, accepted_gaps=frozenset({FILES})).state is HostState.BACKED_OUT


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ({"labapp:all": OLD}, Interrupted.UNTOUCHED),
        ({"labapp:all": NEW}, Interrupted.DONE),
        ({"labapp:all": {**OLD, "state": "half-configured"}}, Interrupted.PARTIAL),
        ({"labapp:all": NEW, "eve:all": OLD}, Interrupted.PARTIAL),
        ({}, Interrupted.PARTIAL),
    ],
)
def test_a_fresh_audit_tells_what_an_interrupted_install_did(rows: Mapping[str, Row], found: Interrupted) -> None:
    before, after = sections({DPKG: {"labapp:all": OLD}}), sections({DPKG: rows})
    assert after_interruption(compare(before, after), verdict([UPGRADE], before, after)) is found


@pytest.mark.parametrize("section", [failed("deadline"), PARTIAL])
def test_a_host_that_cannot_be_seen_whole_is_not_untouched(section: Section) -> None:
    before, after = sections({DPKG: {"labapp:all": OLD}}), sections({DPKG: {"labapp:all": OLD}}, **{FILES: section})
    assert after_interruption(compare(before, after), verdict([UPGRADE], before, after)) is Interrupted.PARTIAL


# --- states


def test_the_way_of_a_deployment_is_allowed_from_end_to_end() -> None:
    way = ["pending", "auditing_before", "ready", "installing", "rebooting", "auditing_after", "at_variance"]
    states = [HostState(name) for name in [*way, "backing_out", "backed_out"]]
    for current, wanted in itertools.pairwise(states):
        assert HOST_STATES.next_state(current, wanted) is wanted


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        (HostState.PENDING, HostState.INSTALLING),
        (HostState.AUDITING_BEFORE, HostState.INSTALLING),
        (HostState.INSTALLING, HostState.VERIFIED),
        (HostState.INSTALLING, HostState.INSTALLING),
        (HostState.INSTALLING, HostState.READY),
        (HostState.FAILED, HostState.VERIFIED),
        (HostState.INDETERMINATE, HostState.VERIFIED),
        (HostState.BACKED_OUT, HostState.VERIFIED),
    ],
)
def test_no_deployment_is_verified_or_installed_without_an_audit(current: HostState, wanted: HostState) -> None:
    with pytest.raises(IllegalTransition) as caught:
        HOST_STATES.next_state(current, wanted)
    assert str(caught.value).startswith(
        f"a deployment that is {current} cannot become {wanted}\n  From {current} follows: "
    )


def test_every_state_has_its_successors_and_can_be_reached() -> None:
    for states, first in ((HOST_STATES, HostState.PENDING), (WAVE_STATES, WaveState.WAITING)):
        kind = type(first)
        assert set(states.table) == set(kind)
        reached = {first} | {state for following in states.table.values() for state in following}
        assert reached == set(kind)
    assert WAVE_STATES.allowed(WaveState.PASSED) == ()


H = HostState


@pytest.mark.parametrize(
    ("hosts", "decision"),
    [
        ([H.VERIFIED, H.VERIFIED], WaveState.PASSED),
        ([H.VERIFIED, H.AT_VARIANCE], WaveState.PAUSED),
        ([H.VERIFIED, H.INDETERMINATE], WaveState.PAUSED),
        ([H.VERIFIED, H.FAILED], WaveState.PAUSED),
        ([H.AT_VARIANCE, H.AUDITING_AFTER], WaveState.RUNNING),
        ([H.VERIFIED, H.PENDING], WaveState.RUNNING),
        ([H.VERIFIED, H.AWAITING_HANDS], WaveState.RUNNING),
        ([H.VERIFIED, H.BACKED_OUT], WaveState.STOPPED),
        ([H.BACK_OUT_FAILED, H.BACKED_OUT], WaveState.STOPPED),
        ([], WaveState.PAUSED),
    ],
)
def test_a_wave_passes_when_every_host_is_verified_and_not_before(hosts: list[HostState], decision: WaveState) -> None:
    assert wave_decision(hosts) is decision


def test_a_wave_with_a_silent_host_never_passes() -> None:
    for state in HostState:
        if state is not HostState.VERIFIED:
            assert wave_decision([H.VERIFIED, state]) is not WaveState.PASSED
    assert {H.VERIFIED, H.AT_VARIANCE, H.INDETERMINATE, H.FAILED} < ENDED
