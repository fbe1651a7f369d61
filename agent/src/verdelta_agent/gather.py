"""Run the collectors, each under its own deadline.  Failure is data: it stays inside the section that failed."""

import time
from typing import Sequence

from . import __version__
from .deadline import DeadlineExceeded, within
from .host import Host
from .model import STATUSES, Collector, Rows, Section, Sections, Snapshot, check_rows, failed

ROWS = 500000  # of one section; more is an error of that section, not a message that nobody can take in
REASON = 1000  # characters of an error text


def gather(host: Host, collectors: Sequence[Collector], host_id: str = "") -> Snapshot:
    """Return a snapshot of `host`: every section is there, as read, absent or failed.

    Raises NotInMainThread in a thread that gets no signals, where no deadline would hold.
    """
    taken_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sections: Sections = {collector.name: collect(host, collector) for collector in collectors}
    return Snapshot(host_id, taken_at, __version__, sections)


def collect(host: Host, collector: Collector) -> Section:
    """Return one section; whatever goes wrong in it is its reason to be failed and disturbs no other."""
    try:
        return within(collector.deadline, lambda: _checked(collector.collect(host)))
    except DeadlineExceeded:
        return failed("deadline: not read within %g s" % collector.deadline)
    except PermissionError as error:
        return failed("permission: %s" % _plain(str(error)))
    except OSError as error:
        return failed("unreadable: %s" % _plain(str(error)))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever data does to a parser, the other sections stand
        return failed("parse: %s: %s" % (type(error).__name__, _plain(str(error))))


def _checked(section: Section) -> Section:
    """Return the section if it can be hashed, signed and taken in as it is.  Raises ValueError."""
    if section.status not in STATUSES:
        raise ValueError("there is no status %r" % section.status)
    for rows in (section.rows, section.volatile):
        _check(rows)
    return section if section.error is None else section._replace(error=_plain(section.error))


def _check(rows: Rows) -> None:
    if len(rows) > ROWS:
        raise ValueError("%d rows, at most %d" % (len(rows), ROWS))
    check_rows(rows)


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")[:REASON]
