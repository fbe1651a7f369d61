"""Content that arrives in parts: one file an upload, to whose end each part is added.

What is on the disk is what counts: whoever was killed, client or controller, goes on where the file ends.  The whole is
read and verified before it becomes content of the library.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..foundation.errors import Conflict, TooLarge
from ..foundation.ids import new_id
from .store import CHUNK, ArtifactStore, ChecksumMismatch, Source, Step, Stored, errors_wrapped, nothing, write

ABANDONED = 7 * 86400.0  # seconds without a byte after which an upload is given up


class OffsetMoved(Conflict):
    """The upload does not stand where this part begins."""


class Parts:
    """The files of uploads, below the root of a store.  Any number of processes may use them at the same time."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._root = store.root / "uploads"
        self._root.mkdir(parents=True, exist_ok=True, mode=0o750)

    def reached(self, upload: str) -> int:
        """Return how many bytes there are."""
        try:
            found = self._path(upload).lstat()
        except FileNotFoundError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def append(self, upload: str, offset: int, size: int, stream: Source) -> int:
        """Add a part that begins at `offset`, as far as it comes, and return where the upload stands.

        Another one may add to it at the same time: whoever finds that it has moved on is told so.  What came before a
        stream breaks is kept.  Raises OffsetMoved, TooLarge (beyond `size`), StoreUnavailable.
        """
        with self._open(upload, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
            try:
                _check_end(descriptor, offset)
                while chunk := stream.read(CHUNK):
                    if offset + len(chunk) > size:
                        raise TooLarge(f"this goes beyond the {size} bytes that were announced")
                    with errors_wrapped():
                        offset = _add(descriptor, offset, chunk)
            finally:
                with errors_wrapped():
                    os.fsync(descriptor)
        return offset

    def complete(self, upload: str, digest: str, name: str, step: Step = nothing) -> Stored:
        """Make content of an upload that has arrived whole; `discard` it when that is recorded, and not before.

        What is not what was announced is discarded, and begins anew.  Raises ChecksumMismatch, StoreUnavailable.
        """
        second = f"{upload}.{new_id()}"
        with errors_wrapped():
            os.link(self._path(upload), self._path(second), follow_symlinks=False)
        try:
            with self._open(second, os.O_RDONLY) as descriptor:
                return self._store.adopt(descriptor, self._path(second), digest, name, step)
        except ChecksumMismatch:
            self.discard(upload)
            raise
        finally:
            self.discard(second)

    def discard(self, upload: str) -> None:
        """Remove what has arrived."""
        self._path(upload).unlink(missing_ok=True)

    def there(self) -> set[str]:
        """Return the uploads of which something is there."""
        return {path.name for path in self._root.iterdir()}

    def abandoned(self) -> list[str]:
        """Return the uploads to which nothing was added for a week."""
        old = time.time() - ABANDONED
        return [path.name for path in self._root.iterdir() if path.lstat().st_mtime < old]

    @contextmanager
    def _open(self, upload: str, flags: int) -> Iterator[int]:
        with errors_wrapped():
            descriptor = os.open(self._path(upload), flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _path(self, upload: str) -> Path:
        return self._root / upload


def _check_end(descriptor: int, offset: int) -> None:
    reached = os.fstat(descriptor).st_size
    if reached != offset:
        raise OffsetMoved(f"the upload stands at {reached} bytes, not at {offset}", mend="Ask where it is, and go on.")


def _add(descriptor: int, offset: int, chunk: bytes) -> int:
    """Add bytes where the file ends, if that is at `offset`, and return its new end."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        _check_end(descriptor, offset)
        write(descriptor, chunk)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return offset + len(chunk)
