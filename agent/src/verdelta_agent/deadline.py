"""A time limit on a piece of work, whatever it is waiting for: an alarm from the kernel."""

import signal
import threading
import time
from types import FrameType
from typing import Callable, Optional, TypeVar

AGAIN = 1.0  # seconds until the alarm rings once more: an exception in a destructor or a callback is lost

Result = TypeVar("Result")


class DeadlineExceeded(BaseException):
    """The time is up.  Not an Exception, so that no handler within the work swallows it."""


class NotInMainThread(BaseException):
    """Only the main thread of a process gets signals: elsewhere there would be no deadline, and nobody would know."""


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what `work` returns.  Raises DeadlineExceeded once so many seconds have passed, and NotInMainThread.

    The handler and the timer that were there before are there again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        raise NotInMainThread()
    rings = [True]

    def ring(number: int, frame: Optional[FrameType]) -> None:
        if rings:
            raise DeadlineExceeded()

    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    handler = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            return work()
        finally:
            rings.clear()
    finally:  # also when it rang in the line above
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), interval)
