"""One audit, as the body of a message: the digests of every section, and the rows that the controller lacks."""

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from .delta import patch
from .gather import Source, collect, find, now, read
from .host import Host
from .kept import Cache
from .memory import Memory, Remembered, Witness
from .model import Digested, Rows, Section, Snapshot, digest_section, root_digest, rows_digest

NOTHING = rows_digest({})


def take(
    host: Host, sources: Sequence[Source], host_id: str, install_lock: Optional[str], memory: Optional[Memory] = None
) -> "Audit":
    """Inventory the host; with an install lock, say whether every step of an install has ended.

    A section that is as `memory` has it is not collected again.  Raises OSError when the lock is not there or cannot be
    taken: an audit that cannot tell says nothing.
    """
    if install_lock is None:
        return _take(host, sources, host_id, None, memory)
    with _alone(install_lock) as idle:
        return _take(host, sources, host_id, idle, memory)


def _take(
    host: Host, sources: Sequence[Source], host_id: str, idle: Optional[bool], memory: Optional[Memory]
) -> "Audit":
    by_name = {source.name: source for source in sources}
    audit = Audit(now(host_id), idle, lambda name: read(host, by_name[name]))
    for source in sources:
        recalled = memory.recall(host, source.name) if memory else None
        if isinstance(recalled, Section):
            audit.add(source.name, recalled)
        elif recalled is not None:
            audit.add_remembered(source.name, recalled)
        else:
            _collect(host, source, audit, memory)
    return audit


def _collect(host: Host, source: Source, audit: "Audit", memory: Optional[Memory]) -> None:
    """Collect one section anew, and remember what it was read from."""
    found = find(host, source)
    if isinstance(found, Section):
        audit.add(source.name, found)
        return
    witness = Witness(host)
    section = collect(witness if memory is not None else host, found)
    audit.add(source.name, section)
    if memory is not None:
        memory.learn(source.name, witness, found.deadline, section, audit.digests[source.name].digest)


class Audit:
    """What one host showed, with its digests.  The rows of what has not changed may be elsewhere, or not at hand."""

    def __init__(self, snapshot: Snapshot, install_idle: Optional[bool], again: Callable[[str], Section]) -> None:
        self.snapshot = snapshot
        self.install_idle = install_idle
        self.digests: Dict[str, Digested] = {name: digest_section(s) for name, s in snapshot.sections.items()}
        self._remembered: Dict[str, Remembered] = {}
        self._again = again

    def add(self, name: str, section: Section) -> None:
        """Take in a section that was collected."""
        self.snapshot.sections[name] = section
        self.digests[name] = digest_section(section)

    def add_remembered(self, name: str, remembered: Remembered) -> None:
        """Take in a section that is as it was."""
        self._remembered[name] = remembered
        self.digests[name] = remembered.digested

    @property
    def root(self) -> str:
        """Return the digest of the whole."""
        return root_digest(self.digests)

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
        changed = [name for name, digested in self.digests.items() if known.get(name) != digested.digest]
        lacking = [name for name in changed if name not in self.snapshot.sections]
        cache = load_cache() if lacking or any(self._has_rows(name) and known.get(name) for name in changed) else {}
        for name in lacking:
            self._add_rows(name, cache.get(name))
        contents = {
            name: _content(self.snapshot.sections[name].rows, known.get(name, ""), cache.get(name))
            for name in changed
            if self._has_rows(name) and known.get(name) != self.digests[name].digest
        }
        return dict(self.summary(), contents=contents, volatile=self._volatile(), challenge=challenge)

    def _has_rows(self, name: str) -> bool:
        return self.digests[name].digest != NOTHING

    def _add_rows(self, name: str, cached: Optional[Rows]) -> None:
        """Find the rows of a section that has not changed, which somebody wants all the same."""
        remembered = self._remembered.pop(name)
        if cached is not None and rows_digest(cached) == remembered.digest:
            self.snapshot.sections[name] = Section(remembered.status, cached, remembered.volatile, remembered.error)
        else:  # whatever became of the cache
            self.add(name, self._again(name))

    def _volatile(self) -> Dict[str, Rows]:
        volatile = {name: section.volatile for name, section in self.snapshot.sections.items()}
        volatile.update((name, remembered.volatile) for name, remembered in self._remembered.items())
        return {name: rows for name, rows in volatile.items() if rows}

    def cache(self, load_cache: Callable[[], Cache]) -> Cache:
        """Return what the next audit may send patches against; of what has not changed, what is there already."""
        cache: Cache = {name: section.rows for name, section in self.snapshot.sections.items()}
        kept: List[str] = [name for name in self._remembered if self._has_rows(name)]
        before = load_cache() if kept else {}
        cache.update((name, before[name]) for name in kept if name in before)
        return cache


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
