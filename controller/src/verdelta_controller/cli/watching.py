"""Watch a roll-out as it goes: a live tree on a terminal, one line a change elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..foundation.errors import TimedOut, Unavailable
from . import journal, output, tree
from .session import Session, path_of
from .signs import UNSURE

PATIENCE = 300.0  # seconds in which a controller that went away may come back
PAUSE = 2.0  # seconds between two attempts to reach it again
SILENCE = 60.0  # seconds without a word after which the connection is taken for dead; the controller speaks every 15

GOING_ON = ("running", "backing_out")
INTERRUPTED = 130
LOST = "‖ the controller does not answer for now; asking again"

Document = Mapping[str, Any]


class Reporter(Protocol):
    """Shows a roll-out each time that it changed."""

    def show(self, view: Document) -> None:
        """Show how it stands now."""

    def lose(self) -> None:
        """Show that the controller does not answer, for now."""

    def close(self) -> None:
        """Leave the last state on the screen."""


def watch(session: Session, rollout: int, timeout: float | None) -> int:
    """Show a roll-out until it rests, and return its exit code.  Raises TimedOut, Unavailable."""
    reporter = _reporter(session)
    view: Document = {}
    try:
        for view in _views(session, rollout, timeout, reporter.lose):
            reporter.show(view)
    except KeyboardInterrupt:
        view = {}
    finally:
        reporter.close()
    if not view:
        session.say(f"No longer watched; the roll-out goes on. verdelta rollout status {rollout} -w")
        return INTERRUPTED
    if not session.for_people:
        session.show(view, lambda: "")
    return exit_code(view)


def exit_code(view: Document) -> int:
    """Return what a roll-out that rests means to whoever waited for it.

    0 finished or backed out; 3 when differences, and nothing else, hold it up; 1 for all that failed or is not proved.
    """
    if view["state"] in ("finished", "backed_out"):
        return 0
    states = {host["state"] for wave in view["waves"] for host in wave["hosts"]}
    differs = "at_variance" in states and not states & {"failed", "indeterminate", "back_out_failed"}
    return 3 if view["state"] == "suspended" and differs else 1


def _views(session: Session, rollout: int, timeout: float | None, lose: Callable[[], None]) -> Iterator[Document]:
    """Yield the roll-out at each change until it rests, over as many connections as it takes.

    A controller that was killed and started again carries the roll-out on, and so does whoever watches it.
    Raises TimedOut, Unavailable.
    """
    ends = math.inf if timeout is None else time.monotonic() + timeout
    path, state, heard_at = path_of("rollouts", rollout, "events"), "", 0.0
    while True:
        try:
            for view in session.api.stream(path, max(min(SILENCE, ends - time.monotonic()), 0.1)):
                state, heard_at = str(view["state"]), time.monotonic()
                yield view
                if state not in GOING_ON:
                    return
                if time.monotonic() >= ends:
                    break
        except (TimedOut, Unavailable):
            if not state or time.monotonic() - heard_at > PATIENCE:
                raise
        if time.monotonic() >= ends:
            raise TimedOut(
                f"roll-out {rollout} is still {state.replace('_', ' ')}",
                mend=f"It goes on. verdelta rollout status {rollout} -w",
            )
        lose()
        time.sleep(PAUSE)


def _reporter(session: Session) -> Reporter:
    if not session.for_people:
        return _Silent()
    return _Tree(session.wide) if sys.stdout.isatty() else _Lines()


class _Tree:
    """The live tree."""

    def __init__(self, wide: bool) -> None:
        self._console = output.console()
        self._wide = wide
        self._picture: RenderableType = Text("")
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def show(self, view: Document) -> None:
        width, height = self._console.size
        self._picture = tree.rollout(view, width, height, self._wide)
        self._live.update(self._picture, refresh=True)

    def lose(self) -> None:
        self._live.update(Group(self._picture, Text(""), Text(LOST, style=UNSURE)), refresh=True)

    def close(self) -> None:
        self._live.stop()


class _Lines:
    """One line a change."""

    def __init__(self) -> None:
        self._last: Document | None = None
        self._lost = False

    def show(self, view: Document) -> None:
        for line in journal.news(self._last, view):
            output.show(line)
        self._last, self._lost = view, False

    def lose(self) -> None:
        if not self._lost:
            output.show(Text(LOST, style=UNSURE), error=True)
        self._lost = True

    def close(self) -> None:
        """Nothing is held back."""


class _Silent:
    """For programs, which get the document at the end."""

    def show(self, view: Document) -> None:
        """Say nothing."""

    def lose(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is held back."""
