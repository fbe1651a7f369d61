"""A time limit on a piece of work, whatever it is waiting for: it is done in a thread, which can be left behind.

A signal would not do: a read from a dead server or a hung device ends for none but the one that ends the process.
"""

import _thread
import sys
from typing import Any, Callable, List, Optional, Tuple, TypeVar

STACK = 8 << 20  # bytes: as much as a process has; some C libraries give a thread a sixtieth of that

Result = TypeVar("Result")


class DeadlineExceeded(BaseException):
    """The time is up.  Not an Exception, so that no handler within the work swallows it."""


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what `work` returns.  Raises DeadlineExceeded once so many seconds have passed, or what `work` raises.

    Work that is late is told to end; if it waits for something that never comes, it is left to the end of the process.
    """
    worker = _idle.pop() if _idle else _Worker()
    result: Result = worker.do(work, seconds)
    _idle.append(worker)
    return result


class _Worker:
    """A thread that does one piece of work after another."""

    def __init__(self) -> None:
        self.work: Optional[Callable[[], Any]] = None
        self.outcome: Tuple[Any, Optional[BaseException]] = (None, None)
        self.given, self.done = _thread.allocate_lock(), _thread.allocate_lock()
        self.given.acquire()
        self.done.acquire()
        self.at_work, self.guard = False, _thread.allocate_lock()
        before = _thread.stack_size(STACK)
        self.identity = _thread.start_new_thread(self._run, ())
        _thread.stack_size(before)

    def do(self, work: Callable[[], Any], seconds: float) -> Any:
        self.work = work
        self.given.release()
        try:
            in_time = self.done.acquire(timeout=seconds)
        except BaseException:  # who stops the agent stops the work
            self._stop()
            raise
        if not in_time:
            self._stop()
            raise DeadlineExceeded()
        result, error = self.outcome
        self.outcome = (None, None)
        if error is not None:
            _idle.append(self)
            raise error
        return result

    def _run(self) -> None:
        while self.given.acquire() and self.work is not None:
            try:
                self.at_work = True
                self.outcome = (self.work(), None)
                with self.guard:  # nobody tells it to end after this, and who did so before is heard in here
                    self.at_work = False
            except BaseException as error:  # noqa: BLE001 - it is raised where the work was wanted
                self.at_work = False
                self.outcome = (None, error)
            self.work = None
            self.done.release()

    def _stop(self) -> None:
        """Have Python raise DeadlineExceeded in the thread, as soon as it runs any of ours."""
        try:
            import ctypes
        except ImportError:  # left out of this Python: the work goes on beside the rest
            return
        number = ctypes.c_ulong if sys.version_info >= (3, 7) else ctypes.c_long
        with self.guard:
            if self.at_work:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(number(self.identity), ctypes.py_object(DeadlineExceeded))


_idle: List[_Worker] = []
