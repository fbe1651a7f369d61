"""Run the collectors, each under its own deadline.  Failure is data: it stays inside the section that failed."""

import signal
import threading
import time
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, Optional, Sequence

from . import __version__
from .host import Host
from .model import Collector, Section, Sections, Snapshot, failed

ROWS = 500000  # of one section; more is an error of that section, not a message that nobody can take in


class DeadlineExceeded(BaseException):
    """The collector's time is up.  Not an Exception, so that no collector's own handler swallows it."""


def gather(host: Host, collectors: Sequence[Collector], host_id: str = "") -> Snapshot:
    """Return a snapshot of `host`: every section is there, as read, absent or failed."""
    taken_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sections: Sections = {collector.name: collect(host, collector) for collector in collectors}
    return Snapshot(host_id, taken_at, __version__, sections)


def collect(host: Host, collector: Collector) -> Section:
    """Return one section; whatever goes wrong in it is its reason to be failed and disturbs no other."""
    try:
        with _deadline(collector.deadline):
            section = collector.collect(host)
    except DeadlineExceeded:
        return failed("deadline: not read within %g s" % collector.deadline)
    except PermissionError as error:
        return failed("permission: %s" % _said(error))
    except OSError as error:
        return failed("unreadable: %s" % _said(error))
    except Exception as error:  # noqa: BLE001 - whatever a host's data does to a parser, the other sections stand
        return failed("parse: %s: %s" % (type(error).__name__, _said(error)))
    if len(section.rows) > ROWS:
        return failed("too many rows: %d, at most %d" % (len(section.rows), ROWS))
    return section


def _said(error: BaseException) -> str:
    return str(error).encode("utf-8", "backslashreplace").decode("utf-8")[:300]


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded in the block after so many seconds.  Only the main thread gets signals: none elsewhere."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Optional[FrameType]) -> None:
        raise DeadlineExceeded()

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
