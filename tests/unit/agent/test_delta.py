"""The delta: exactly what differs, and honest about what nobody can know."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.delta import (
    ADDED,
    CHANGED,
    REMOVED,
    Change,
    apply,
    compare,
    patch,
    rows_changed,
    same,
    sections_to_compare,
)
from verdelta_agent.model import ABSENT, FAILED, OK, STATUSES, Section, canonical, digest_sections, root_digest

SCALARS = st.sampled_from([None, True, False, 0, 1, 2, "", "1", "a", "True"])
ROW = st.dictionaries(st.sampled_from("xyz"), st.one_of(SCALARS, st.lists(SCALARS, max_size=2)), max_size=3)
ROWS = st.dictionaries(st.sampled_from("abcd"), ROW, max_size=4)
SECTIONS = st.dictionaries(
    st.sampled_from(["s1", "s2", "s3"]), st.builds(Section, st.sampled_from(STATUSES), ROWS, ROWS), max_size=3
)

PACKAGES = {"nginx:amd64": {"version": "1.24"}, "vim:amd64": {"version": "9.0"}}


def ok(rows: dict[str, Any]) -> Section:
    return Section(OK, rows, {})


def test_added_removed_and_changed_rows_come_ordered_by_section_and_key() -> None:
    before = {"b": ok({"gone": {"v": 1}, "same": {"v": 1}, "was": {"v": 1, "w": 2}}), "a": ok({})}
    after = {"a": ok({"new": {"v": 1}}), "b": ok({"same": {"v": 1}, "was": {"v": 2, "u": 3}})}
    delta = compare(before, after)
    assert delta.changes == [
        Change("a", "new", None, {"v": 1}),
        Change("b", "gone", {"v": 1}, None),
        Change("b", "was", {"v": 1, "w": 2}, {"v": 2, "u": 3}),
    ]
    assert [change.op for change in delta.changes] == [ADDED, REMOVED, CHANGED]
    assert [change.fields() for change in delta.changes] == [["v"], ["v"], ["u", "v", "w"]]
    assert delta.unknown == []
    assert delta.before == root_digest(digest_sections(before))
    assert delta.after == root_digest(digest_sections(after))


def test_an_upgrade_is_one_changed_row() -> None:
    upgraded = {**PACKAGES, "nginx:amd64": {"version": "1.26"}}
    (change,) = compare({"software.dpkg": ok(PACKAGES)}, {"software.dpkg": ok(upgraded)}).changes
    assert (change.op, change.fields()) == (CHANGED, ["version"])


@pytest.mark.parametrize("failed_side", ["before", "after", "both"])
def test_an_unreadable_section_is_unknown_and_never_all_removed(failed_side: str) -> None:
    read, unread = {"software.dpkg": ok(PACKAGES)}, {"software.dpkg": Section(FAILED, {}, {}, "permission")}
    before = read if failed_side == "after" else unread
    after = read if failed_side == "before" else unread
    delta = compare(before, after)
    assert (delta.changes, delta.unknown) == ([], ["software.dpkg"])


def test_a_section_of_one_side_only_is_unknown_and_neither_all_added_nor_all_removed() -> None:
    delta = compare({"old": ok(PACKAGES), "both": ok({})}, {"new": ok(PACKAGES), "both": ok({})})
    assert (delta.changes, delta.unknown) == ([], ["new", "old"])


def test_an_absent_section_is_known_to_be_empty() -> None:
    delta = compare({"software.rpm": Section(ABSENT, {}, {})}, {"software.rpm": ok(PACKAGES)})
    assert [change.op for change in delta.changes] == [ADDED, ADDED]
    assert delta.unknown == []


def test_what_is_volatile_is_no_change() -> None:
    before, after = Section(OK, PACKAGES, {"vim:amd64": {"used": 1}}), Section(OK, PACKAGES, {})
    assert compare({"s": before}, {"s": after}).changes == []


def test_true_is_not_one_and_a_field_of_none_is_not_a_missing_field() -> None:
    for one, other in (
        ({"f": True}, {"f": 1}),
        ({"f": [False]}, {"f": [0]}),
        ({"f": None}, {}),
        ({"f": "1"}, {"f": 1}),
    ):
        (change,) = rows_changed("s", {"k": one}, {"k": other})
        assert change.fields() == ["f"]


@given(SECTIONS)
def test_a_snapshot_does_not_differ_from_itself(sections: dict[str, Section]) -> None:
    delta = compare(sections, sections)
    assert delta.changes == []
    assert delta.before == delta.after
    assert delta.unknown == sorted(name for name, section in sections.items() if section.status == FAILED)


@given(SECTIONS, SECTIONS)
def test_the_delta_back_has_the_same_changes_the_other_way(one: dict[str, Section], other: dict[str, Section]) -> None:
    there, back = compare(one, other), compare(other, one)
    assert [change._replace(before=change.after, after=change.before) for change in back.changes] == there.changes
    assert back.unknown == there.unknown


@given(SECTIONS, SECTIONS)
def test_every_section_is_compared_or_unknown_and_unknown_ones_have_no_changes(one, other) -> None:
    delta = compare(one, other)
    assert {change.section for change in delta.changes}.isdisjoint(delta.unknown)
    assert set(delta.unknown) >= set(one) ^ set(other)


@given(SECTIONS, SECTIONS)
def test_the_sections_to_load_are_those_with_changes(one: dict[str, Section], other: dict[str, Section]) -> None:
    delta = compare(one, other)
    to_load = set(sections_to_compare(digest_sections(one), digest_sections(other)))
    assert {change.section for change in delta.changes} == to_load - set(delta.unknown)


@given(ROW, ROW)
def test_two_rows_are_the_same_when_their_digests_are(one, other) -> None:
    assert same(one, other) == (canonical(one) == canonical(other))


@given(ROWS, ROWS)
def test_a_patch_turns_its_base_into_the_other_state(base, rows) -> None:
    assert same(apply(base, patch(base, rows)), rows)


@given(ROWS, ROWS)
def test_a_patch_holds_what_changed_and_no_more(base, rows) -> None:
    changes = list(rows_changed("s", base, rows))
    assert patch(base, rows) == {
        "set": {change.key: change.after for change in changes if change.after is not None},
        "removed": [change.key for change in changes if change.after is None],
    }


@given(ROWS, ROWS)
def test_making_and_applying_a_patch_leaves_both_states_as_they_were(base, rows) -> None:
    before = canonical([base, rows])
    apply(base, patch(base, rows))
    assert canonical([base, rows]) == before


def test_a_patch_against_another_base_is_noticed() -> None:
    with pytest.raises(KeyError, match="gone"):
        apply({}, {"set": {}, "removed": ["gone"]})
