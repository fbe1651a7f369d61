"""Report again and again, at the pace that the controller sets.

The process that stays does nothing but wait: each report is a child of its own, so that its memory is given back, and
whatever hangs in it (a read from a dead server) ends with it, or is left behind where not even a kill wakes it up.
"""

import os
import random
import signal
import time
from typing import Callable, List, Optional

SPLAY = 300.0  # seconds at most before the first report: hosts that start together do not report together
FIRST_RETRY, LAST_RETRY = 60.0, 3600.0  # seconds between two tries where the controller is not reached
PACE = (60, 7 * 86400)  # seconds: what a controller may ask for
CHILD = 1800.0  # seconds that one report may take
NICENESS = 10
GRACE = 100  # hundredths of a second for a child to end that has said what came of it
LEFT_BEHIND = 3  # children that sleep for ever and keep their memory; with more, no report is made

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
_sleepers: List[int] = []


def _stopped_within(seconds: float) -> bool:
    """Wait, and return whether to stop."""
    received = signal.sigtimedwait([*STOP, NOW], seconds)
    return received is not None and received.si_signo in STOP


def _in_a_child(report: Report) -> Optional[int]:
    """Return what a report in a child returned, None where it failed or took too long, _STOPPED where we are to end."""
    if _still_there() >= LEFT_BEHIND:
        return None
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(report, writer)
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        return _outcome(child, reader)
    finally:
        os.close(reader)
        _let_go(child)


def _outcome(child: int, reader: int) -> Optional[int]:
    """Wait until the child has said what came of it; it is killed where it takes too long, or we are to stop."""
    until = time.monotonic() + CHILD
    while True:
        received = signal.sigtimedwait([*STOP, signal.SIGCHLD], max(0.0, until - time.monotonic()))
        said = _read(reader)
        if said is not None:
            return int(said) if said.isdigit() else None
        if received is None or received.si_signo in STOP:
            os.kill(child, signal.SIGKILL)  # a report that is killed is made good by the next one
            return None if received is None else _STOPPED


def _read(reader: int) -> Optional[bytes]:
    """Return what the child said; nothing where it ended without a word, and None where it has not ended yet."""
    try:
        return os.read(reader, 20)
    except BlockingIOError:
        return None


def _let_go(child: int) -> None:
    """Wait for a child's end, which is near; one that sleeps for ever, though it was killed, is left behind."""
    for _ in range(GRACE):
        if os.waitpid(child, os.WNOHANG)[0] == child:
            return
        time.sleep(0.01)
    _sleepers.append(child)


def _still_there() -> int:
    """Return how many of the children that were left behind there still are."""
    _sleepers[:] = [child for child in _sleepers if os.waitpid(child, os.WNOHANG)[0] != child]
    return len(_sleepers)


def _be_the_child(report: Report, writer: int) -> None:
    """Report, say what came of it, and end.

    The signal is what the kernel sends at our end; where something sleeps for ever in us, that end never comes.
    """
    said = b"failed"
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        next_poll = report()
        said = b"failed" if next_poll is None else b"%d" % next_poll
    finally:
        os.write(writer, said)
        os.kill(os.getppid(), signal.SIGCHLD)
        os._exit(0)
