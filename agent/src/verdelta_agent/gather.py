"""Run the collectors, each under its own deadline.  Failure is data: it stays inside the section that failed."""

import time
from typing import Sequence, Union

from . import __version__
from .collectors import Entry
from .deadline import DeadlineExceeded, within
from .host import Host
from .model import STATUSES, Collector, Rows, Section, Snapshot, absent, check_rows, failed

Source = Union[Entry, Collector]  # what a section is read by

ROWS = 500000  # of one section; more is an error of that section, not a message that nobody can take in
REASON = 1000  # characters of an error text
PATIENCE = 5.0  # seconds to look whether what a section needs is there, and to import its collector

# What is below these is there only while they are mounted: without, nothing is known, not even what is absent.
MOUNTED = {"/sys/": "/sys/devices", "/proc/": "/proc/self"}


def gather(host: Host, sources: Sequence[Source], host_id: str = "") -> Snapshot:
    """Return a snapshot of `host`: every section is there, as read, absent or failed."""
    snapshot = now(host_id)
    snapshot.sections.update((source.name, read(host, source)) for source in sources)
    return snapshot


def now(host_id: str) -> Snapshot:
    """Return a snapshot of this moment in which there are no sections yet."""
    return Snapshot(host_id, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), __version__, {})


def read(host: Host, source: Source) -> Section:
    """Return one section.  What this host does not have is absent without its collector being imported."""
    collector = find(host, source)
    return collector if isinstance(collector, Section) else collect(host, collector)


def find(host: Host, source: Source) -> Union[Collector, Section]:
    """Return what collects a section on this host, or the section where there is nothing to collect."""
    if isinstance(source, Collector):
        return source
    if source.live and not host.running:
        return absent("not part of a system that is not running")
    try:
        collector = within(PATIENCE, lambda: source.load() if _has_one(host, source.needs) else None)
    except DeadlineExceeded:
        return failed("deadline: not found within %g s" % PATIENCE)
    except OSError as error:
        return _failed(error)
    return absent("there is no %s" % " or ".join(source.needs)) if collector is None else collector


def _has_one(host: Host, needs: Sequence[str]) -> bool:
    return not needs or any(host.exists(path) or not _is_mounted(host, path) for path in needs)


def _is_mounted(host: Host, path: str) -> bool:
    return all(host.exists(inside) for prefix, inside in MOUNTED.items() if path.startswith(prefix))


def collect(host: Host, collector: Collector) -> Section:
    """Return one section; whatever goes wrong in it is its reason to be failed and disturbs no other."""
    try:
        return within(collector.deadline, lambda: _checked(collector.collect(host)))
    except DeadlineExceeded:
        return late(collector.deadline)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever data does to a parser, the other sections stand
        return _failed(error)


def late(deadline: float) -> Section:
    """Return a section that was not read within so many seconds."""
    return failed("deadline: not read within %g s" % deadline)


def _failed(error: BaseException) -> Section:
    if isinstance(error, PermissionError):
        return failed("permission: %s" % _plain(str(error)))
    if isinstance(error, OSError):
        return failed("unreadable: %s" % _plain(str(error)))
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
