"""What is going on right now: the step that each host is at.  In memory: what matters afterwards, the audits tell."""

import threading
import time
from collections import defaultdict

from ..foundation.events import EventBus
from .installers.listener import Step

PAUSE = 0.2  # seconds between two wake-ups of the watchers of one roll-out


class Progress:
    """The last step of each host of each roll-out that is running, and who is to be stopped."""

    def __init__(self, events: EventBus) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._steps: dict[int, dict[str, Step]] = defaultdict(dict)
        self._told: dict[int, float] = {}
        self._cancelled: set[int] = set()

    def note(self, rollout: int, step: Step) -> None:
        """Remember a step, and wake whoever watches, a few times a second at most."""
        with self._lock:
            self._steps[rollout][step.host] = step
            moment = time.monotonic()
            tell = moment - self._told.get(rollout, 0.0) >= PAUSE
            if tell:
                self._told[rollout] = moment
        if tell:
            self._events.publish(f"rollout-{rollout}")

    def steps(self, rollout: int) -> dict[str, Step]:
        """Return the last step of each host."""
        with self._lock:
            return dict(self._steps.get(rollout, {}))

    def cancel(self, rollout: int) -> None:
        """Let the installer of a roll-out stop."""
        with self._lock:
            self._cancelled.add(rollout)

    def is_cancelled(self, rollout: int) -> bool:
        """Return whether the installer of a roll-out is to stop."""
        with self._lock:
            return rollout in self._cancelled

    def forget(self, rollout: int) -> None:
        """Drop what was remembered of a run that has ended."""
        with self._lock:
            self._steps.pop(rollout, None)
            self._told.pop(rollout, None)
            self._cancelled.discard(rollout)
