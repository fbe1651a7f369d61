"""One audit, as the body of a message: the digests of every section, and the rows that the controller lacks."""

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence

from .delta import patch
from .gather import Source, gather
from .host import Host
from .kept import Cache
from .model import Digested, Rows, Snapshot, digest_sections, root_digest, rows_digest


def take(host: Host, sources: Sequence[Source], host_id: str, install_lock: Optional[str]) -> "Audit":
    """Inventory the host; with an install lock, say whether every step of an install has ended.

    Raises OSError when the lock is not there or cannot be taken: an audit that cannot tell says nothing.
    """
    if install_lock is None:
        return Audit(gather(host, sources, host_id), None)
    with _alone(install_lock) as idle:
        return Audit(gather(host, sources, host_id), idle)


class Audit:
    """A snapshot with its digests."""

    def __init__(self, snapshot: Snapshot, install_idle: Optional[bool]) -> None:
        self.snapshot = snapshot
        self.install_idle = install_idle
        self.digests: Mapping[str, Digested] = digest_sections(snapshot.sections)
        self.root = root_digest(self.digests)

    def summary(self) -> Dict[str, Any]:
        """Return the body of a check-in: root and digests, no rows."""
        body: Dict[str, Any] = {
            "taken_at": self.snapshot.taken_at,
            "agent": self.snapshot.agent,
            "root": self.root,
            "sections": {name: _summary(digested) for name, digested in self.digests.items()},
        }
        if self.install_idle is not None:
            body["install_idle"] = self.install_idle
        return body

    def body(self, known: Mapping[str, str], load_cache: Callable[[], Cache], challenge: str) -> Dict[str, Any]:
        """Return the body of an audit message.

        Rows of a section whose digest is in `known` are left out; where `known` names another state that the cache
        still has, a patch against it is sent, and all rows otherwise.  The cache is loaded when there is a use for it.
        """
        changed = {
            name: section.rows
            for name, section in self.snapshot.sections.items()
            if section.rows and known.get(name) != self.digests[name].digest
        }
        cache = load_cache() if any(known.get(name) for name in changed) else {}
        contents = {name: _content(rows, known.get(name, ""), cache.get(name)) for name, rows in changed.items()}
        volatile = {name: section.volatile for name, section in self.snapshot.sections.items() if section.volatile}
        return dict(self.summary(), contents=contents, volatile=volatile, challenge=challenge)

    def cache(self) -> Cache:
        """Return what the next audit may send patches against."""
        return {name: section.rows for name, section in self.snapshot.sections.items()}


def _summary(digested: Digested) -> Dict[str, Any]:
    shown = {"status": digested.status, "digest": digested.digest}
    if digested.error is not None:
        shown["error"] = digested.error
    return shown


def _content(rows: Rows, known: str, cached: Optional[Rows]) -> Dict[str, Any]:
    if known and cached is not None and rows_digest(cached) == known:  # whatever became of the cache meanwhile
        return dict(patch(cached, rows), base=known)
    return {"rows": rows}


@contextmanager
def _alone(path: str) -> Iterator[bool]:
    """Hold the install lock while the host is audited; yields whether it could be had.

    Every step of an install holds it shared, so "could not be had" means that a step is still running.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if stat.S_IFMT(os.fstat(descriptor).st_mode) not in (stat.S_IFDIR, stat.S_IFREG):
            raise OSError(errno.EINVAL, "the install lock is neither a file nor a directory", path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            idle = True
        except BlockingIOError:
            idle = False
        yield idle
    finally:
        os.close(descriptor)
