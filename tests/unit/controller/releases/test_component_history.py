"""The way of a component is what its packages say, carried on by the release that it is in."""

from datetime import UTC, datetime, timedelta

from verdelta_controller.releases.component_history import Built, history
from verdelta_controller.releases.components import Component
from verdelta_controller.releases.rules import ReleaseState

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def built(hours: int, state: ReleaseState | None, version: str = "1.1", **component: str) -> Built:
    given = {"kind": "external-software", "name": "labapp", "version": version, **component}
    return Built(version, f"{hours:064x}", NOON + timedelta(hours=hours), state, (Component.model_validate(given),))


def test_each_step_is_shown_once_in_the_order_of_time():
    steps = history(
        [
            built(3, ReleaseState.DEPLOYED, "1.2"),
            built(1, None, "1.1", status="in-development"),
            built(2, None, "1.1", status="in-development"),
        ]
    )
    assert [(step.version, step.status) for step in steps] == [("1.1", "in-development"), ("1.2", "live")]


def test_a_release_carries_its_components_on_and_never_back():
    assert [step.status for step in history([built(1, ReleaseState.ACCEPTED, status="purchased")])] == ["tested"]
    assert [step.status for step in history([built(1, ReleaseState.ACCEPTED, status="live")])] == ["live"]
    assert [step.status for step in history([built(1, ReleaseState.BUILT)])] == [""]


def test_one_component_can_be_asked_for():
    assert history([built(1, None)], "another") == []
    assert [step.component for step in history([built(1, None)], "labapp")] == ["labapp"]
