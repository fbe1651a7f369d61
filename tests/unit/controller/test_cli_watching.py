"""What whoever waits for a roll-out sees, also while the controller is away."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.views import EVE, UPGRADE, host, rollout, wave

from verdelta_controller.cli import watching
from verdelta_controller.cli.session import Session
from verdelta_controller.foundation.errors import NotFound, TimedOut, Unavailable

RUNNING = rollout("running", wave(1, "running", host("a", "installing")))
FINISHED = rollout("finished", wave(1, "passed", host("a", "verified", [UPGRADE])))
SUSPENDED = rollout("suspended", wave(1, "paused", host("a", "at_variance", [EVE])))


class Streams:
    """An API whose streams are given beforehand: one list of views or errors a connection."""

    def __init__(self, *connections: Sequence[Any]) -> None:
        self.connections = list(connections)

    def stream(self, path: str, silence: float) -> Iterator[Any]:
        assert path == "rollouts/12/events"
        for one in self.connections.pop(0):
            if isinstance(one, BaseException):
                raise one
            yield one


class Clock:
    """Time passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


def watch(*connections: Sequence[Any], timeout: float | None = None, output: str = "table") -> int:
    session = Session(output)
    session.__dict__["api"] = Streams(*connections)
    return watching.watch(session, 12, timeout)


def test_it_is_watched_until_it_rests_and_ends_with_what_that_means(capsys: pytest.CaptureFixture[str]):
    assert watch([RUNNING, FINISHED]) == 0
    assert watch([RUNNING, SUSPENDED]) == 3

    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "roll-out 12: labapp 1.1 → 1 host",
        "▶ wave 1 running",
        "▶ a                     installing",
        "✔ a                     verified",
        "✔ wave 1 passed",
    ]


def test_a_controller_that_was_killed_and_came_back_is_waited_for(capsys: pytest.CaptureFixture[str]):
    gone = Unavailable("no controller answers")

    assert watch([RUNNING, gone], [gone], [gone], [RUNNING], [RUNNING, FINISHED]) == 0

    said = capsys.readouterr()
    assert said.err.count("the controller does not answer for now") == 2
    assert said.out.count("installing") == 1  # what was told already is not told again


def test_a_controller_that_stays_away_ends_the_wait(clock: Clock):
    gone = Unavailable("no controller answers")

    with pytest.raises(Unavailable):
        watch([RUNNING, gone], *([gone] for _ in range(1000)))
    assert clock.now - 1000 == pytest.approx(watching.PATIENCE, abs=2 * watching.PAUSE)


def test_a_controller_that_never_answered_is_not_waited_for(clock: Clock):
    with pytest.raises(Unavailable):
        watch([Unavailable("no controller answers")])
    assert clock.now == 1000


def test_an_unknown_rollout_is_not_waited_for():
    with pytest.raises(NotFound):
        watch([NotFound("there is no roll-out 12")])


def test_the_wait_ends_when_its_time_is_over_and_says_that_the_rollout_goes_on():
    with pytest.raises(TimedOut) as caught:
        watch(*([RUNNING] for _ in range(100)), timeout=30)

    assert caught.value.exit_code == 6
    assert caught.value.message == "roll-out 12 is still running"
    assert caught.value.mend == "It goes on. verdelta rollout status 12 -w"


def test_a_rollout_that_rests_at_the_last_moment_is_not_timed_out(clock: Clock):
    assert watch([RUNNING], [FINISHED], timeout=watching.PAUSE) == 0


def test_whoever_presses_ctrl_c_learns_that_the_rollout_goes_on(capsys: pytest.CaptureFixture[str]):
    assert watch([RUNNING, KeyboardInterrupt()]) == 130
    assert "the roll-out goes on" in capsys.readouterr().err


def test_programs_get_the_last_document_and_nothing_else(capsys: pytest.CaptureFixture[str]):
    import json

    assert watch([RUNNING, SUSPENDED], output="json") == 3
    assert json.loads(capsys.readouterr().out) == SUSPENDED
