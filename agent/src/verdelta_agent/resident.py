"""Report again and again, at the pace that the controller sets.

The process that stays does nothing but wait: each report is a child of its own, so that its memory is given back, and
whatever hangs in it (a read from a dead server) ends with it.
"""

import os
import random
import signal
import time
from typing import Callable, Optional

SPLAY = 300.0  # seconds at most before the first report: hosts that start together do not report together
FIRST_RETRY, LAST_RETRY = 60.0, 3600.0  # seconds between two tries where the controller is not reached
PACE = (60, 7 * 86400)  # seconds: what a controller may ask for
CHILD = 1800.0  # seconds that one report may take
NICENESS = 10

STOP = (signal.SIGTERM, signal.SIGINT)
NOW = signal.SIGHUP  # report at once

Report = Callable[[], Optional[int]]  # reports, and returns in how many seconds to report again; None where it failed


def pause(next_poll: Optional[int], failures: int, chance: float) -> float:
    """Return how many seconds to wait before the next report; `chance` is from 0 to 1.

    After a report that was answered: what the controller asked for, give or take a tenth.  After the n-th failure in
    a row: twice as long as after the one before, up to an hour, less up to half.
    """
    if next_poll is not None:
        return min(max(next_poll, PACE[0]), PACE[1]) * (0.9 + 0.2 * chance)
    doubled = FIRST_RETRY * 2.0 ** min(failures - 1, 30)
    return min(doubled, LAST_RETRY) * (1 - 0.5 * chance)


def stay(report: Report, splay: float = SPLAY) -> None:
    """Report until a signal says to stop; SIGHUP asks for a report at once.  Has to be called in the main thread."""
    awaited = {*STOP, NOW, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    failures = 0
    wait = splay * random.SystemRandom().random()
    while not _stopped_within(wait):
        outcome = _in_a_child(report)
        if outcome == _STOPPED:
            return
        failures = failures + 1 if outcome is None else 0
        wait = pause(outcome, failures, random.SystemRandom().random())


_STOPPED = -1


def _stopped_within(seconds: float) -> bool:
    """Wait, and return whether to stop."""
    received = signal.sigtimedwait([*STOP, NOW], seconds)
    return received is not None and received.si_signo in STOP


def _in_a_child(report: Report) -> Optional[int]:
    """Return what a report in a child returned, None where it failed or took too long, _STOPPED where we are to end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(report, writer)
    os.close(writer)
    try:
        outcome = _outcome(child)
        said = os.read(reader, 20) if outcome is None else b""
    finally:
        os.close(reader)
    return outcome if outcome is not None else int(said) if said else None


def _outcome(child: int) -> Optional[int]:
    """Wait for the child's end; it is killed where it takes too long, or we are to stop."""
    until = time.monotonic() + CHILD
    while True:
        left = max(0.0, until - time.monotonic())
        received = signal.sigtimedwait([*STOP, signal.SIGCHLD], left)
        if os.waitpid(child, os.WNOHANG)[0] == child:
            return None
        if received is None or received.si_signo in STOP:
            os.kill(child, signal.SIGKILL)  # a report that is killed is made good by the next one
            os.waitpid(child, 0)
            return None if received is None else _STOPPED


def _be_the_child(report: Report, writer: int) -> None:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        next_poll = report()
        if next_poll is not None:
            os.write(writer, b"%d" % next_poll)
            status = 0
    finally:
        os._exit(status)
