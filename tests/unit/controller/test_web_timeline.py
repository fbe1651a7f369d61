"""The history of a host: which deployment explains a change, and what of it is shown first."""

from typing import Any

import pytest

from verdelta_agent.delta import Change, Delta
from verdelta_controller.inventory.tables import Snapshot
from verdelta_controller.web import timeline

EVE = Change("system.users", "eve", None, {"uid": 1001})
LABAPP = Change("software.dpkg", "labapp:all", {"version": "1.0", "hold": False}, {"version": "1.1", "hold": False})
GONE = Change("system.units", "old.service", {"enabled": "enabled"}, None)


def snapshot(number: int) -> Snapshot:
    return Snapshot(id=number, host_id="h", root=str(number), sections={})


def deployment(first: int | None, last: int | None, state: str = "verified", **more: Any) -> dict[str, Any]:
    return {"before_snapshot": first, "after_snapshot": last, "state": state, "items": [], **more}


def item(outcome: str, change: Change) -> dict[str, Any]:
    return {"outcome": outcome, "section": change.section, "key": change.key, "after": change.after}


def delta(*changes: Change) -> Delta:
    return Delta("1", "2", list(changes), [])


@pytest.mark.parametrize(
    "first, last, state, explains",
    [
        (5, 6, "verified", True),
        (4, 9, "backed_out", True),
        (5, None, "auditing_after", True),
        (5, None, "indeterminate", False),
        (None, None, "pending", False),
        (6, 7, "verified", False),
        (4, 5, "verified", False),
        (6, None, "installing", False),
    ],
)
def test_a_deployment_explains_what_changed_between_its_own_audits(first, last, state, explains):
    found = timeline.explanation(snapshot(5), snapshot(6), [deployment(first, last, state)])
    assert (found is not None) == explains


def test_the_newest_deployment_around_a_change_explains_it():
    newer, older = deployment(5, 6, number=2), deployment(1, 9, number=1)
    assert timeline.explanation(snapshot(5), snapshot(6), [newer, older]) is newer
    assert timeline.explanation(snapshot(2), snapshot(3), [newer, older]) is older


def test_what_nobody_authorised_comes_first():
    around = deployment(1, 2, items=[item("matched", LABAPP), item("unexpected", EVE)])
    shown = timeline.entry(snapshot(2), snapshot(1), delta(LABAPP, GONE, EVE), [around]).changes
    assert [(change.key, change.outcome) for change in shown] == [
        ("eve", "unexpected"),
        ("old.service", None),
        ("labapp:all", "matched"),
    ]


def test_a_verdict_on_another_state_of_a_row_says_nothing_of_this_one():
    later = {**item("matched", LABAPP), "after": {"version": "1.2", "hold": False}}
    shown = timeline.entry(snapshot(2), snapshot(1), delta(LABAPP), [deployment(1, 9, items=[later])]).changes
    assert shown[0].outcome is None


def test_only_the_fields_that_differ_are_shown_of_a_changed_row():
    shown = timeline.entry(snapshot(2), snapshot(1), delta(LABAPP, EVE, GONE), []).changes
    assert {change.key: change.fields for change in shown} == {
        "labapp:all": [("version", "1.0", "1.1", "", "")],
        "eve": [("uid", None, 1001, "", "")],
        "old.service": [("enabled", "enabled", None, "", "")],
    }


def test_the_first_state_of_a_host_has_no_changes():
    first = timeline.entry(snapshot(1), None, None, [deployment(1, 2)])
    assert (first.delta, first.changes, first.deployment) == (None, [], None)


def test_rows_of_one_section_that_follow_each_other_are_one_group():
    changes = timeline.entry(snapshot(2), snapshot(1), delta(EVE, EVE._replace(key="mallory"), GONE), []).changes
    groups = [(name, len(rows)) for name, rows in timeline.by_section(changes)]
    assert groups == [("system.users", 2), ("system.units", 1)]
