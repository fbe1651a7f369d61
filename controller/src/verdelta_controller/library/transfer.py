"""Content to and from a controller over its API, however often the connection breaks: both ways go on where they stood.

For the command line, and for a controller that keeps copies at another one.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from ..foundation.errors import (
    Conflict,
    GateClosed,
    InvalidInput,
    NotAllowed,
    NotFound,
    TimedOut,
    Unavailable,
    VerdeltaError,
)
from .store import CHUNK, ChecksumMismatch, write

SMALL = 16 << 20  # bytes up to which content is sent in one go
PART = 64 << 20  # bytes of one part of anything larger
TRIES = 6  # without a byte of progress, after which it is given up; it can be gone on with
PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0)  # seconds before the second try, the third, and so on
LOOK = 0.5  # seconds between two looks at long work

At = Callable[[int], None]  # hears how many bytes are there
ContentFrom = Callable[[int], AbstractContextManager[Iterable[bytes]]]  # the content from an offset on, in pieces


class Remote(Protocol):
    """A controller, asked over its API; what it refuses comes back as the error that it was there."""

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path."""
        ...

    def post(self, path: str, document: Any = None) -> Any:
        """Send a document and return the answer."""
        ...

    def upload(self, path: str, chunks: Iterable[bytes], size: int, **query: Any) -> Any:
        """Send bytes as they are read, and return the answer."""
        ...

    def read(self, path: str, start: int = 0) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        """Yield where the bytes begin that are answered, and the bytes."""
        ...


class Content(NamedTuple):
    """What is sent: its digest and size, what is said of it, and how to read it from an offset on."""

    sha256: str
    size: int
    file_name: str
    read_from: ContentFrom
    source: str = ""
    supplier: str = ""


class _Patience:
    """Counts tries without progress.  What cannot be mended by trying again is not tried again."""

    def __init__(self, pause: Callable[[float], None]) -> None:
        self._pause = pause
        self._failed = 0
        self._reached = -1

    def again(self, error: VerdeltaError, reached: int) -> None:
        """Wait, and return when it is worth trying again.  Raises the error otherwise."""
        self._failed = 1 if reached > self._reached else self._failed + 1
        self._reached = max(self._reached, reached)
        if not isinstance(error, Unavailable | TimedOut | Conflict) or self._failed >= TRIES:
            raise error
        self._pause(PAUSES[min(self._failed, len(PAUSES)) - 1])


def nobody(reached: int) -> None:
    """Hear how many bytes are there, and tell nobody."""


def send(remote: Remote, content: Content, at: At = nobody, pause: Callable[[float], None] = time.sleep) -> None:
    """Bring content into the library of a controller.

    Raises whatever the controller refuses, and Unavailable when it stays away; the same again goes on where it stood.
    """
    order = {"file_name": content.file_name, "size": content.size, "sha256": content.sha256}
    order.update(source=content.source, supplier=content.supplier)
    if content.size <= SMALL:
        _send_whole(remote, content, at)
        return
    patience, reached = _Patience(pause), 0
    while True:
        try:
            upload = remote.post("artifacts/uploads", order)
            reached = upload["offset"]
            at(reached)
            while reached < content.size:
                reached = _send_part(remote, content, upload["id"], reached, at)
            wait(remote, remote.post(f"artifacts/uploads/{upload['id']}/completion"), pause=pause)
            return
        except VerdeltaError as error:
            patience.again(error, reached)


def wait(
    remote: Remote,
    task: dict[str, Any],
    told: Callable[[dict[str, Any]], None] = lambda task: None,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Return the result of long work in a controller, once it has ended; `told` hears how far it is.

    Raises what it failed with, and Unavailable when it was interrupted.
    """
    patience, looks = _Patience(pause), 0
    while task["state"] == "running":
        pause(min(LOOK, 0.02 * 2**looks))
        looks += 1
        try:
            task = remote.get(f"library/tasks/{task['id']}")
            told(task)
        except VerdeltaError as error:
            patience.again(error, task["done"])
    if task["state"] == "interrupted":
        raise Unavailable("the controller was stopped while it worked on this", mend="Ask for the same again.")
    result: dict[str, Any] = task["result"]
    if task["state"] == "failed":
        raise _failed(result)
    return result


def fetch(
    remote: Remote,
    sha256: str,
    size: int,
    target: Path,
    at: At = nobody,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Write content of a controller's library into a file, which is there verified, or not at all.

    What had arrived when it was broken off lies beside it, and is gone on with.
    Raises NotFound, ChecksumMismatch, Conflict (another one fetches the same), InvalidInput (it cannot be written).
    """
    partial = target.with_name(f".{target.name}.{sha256[:16]}.part")
    with _partial(partial) as file:
        patience, reached = _Patience(pause), file.seek(0, os.SEEK_END)
        at(reached)
        while reached != size:
            try:
                reached = _receive(remote, sha256, size, file, at)
                if reached < size:
                    raise Unavailable("the content broke off", mend="Ask for the same again: it goes on from there.")
            except VerdeltaError as error:
                patience.again(error, file.seek(0, os.SEEK_END))
        _check(file, sha256, partial, target)
        with _written(target):
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
            partial.replace(target)


def _send_whole(remote: Remote, content: Content, at: At) -> None:
    with content.read_from(0) as pieces:
        said = {"source": content.source, "supplier": content.supplier}
        query = {name: value for name, value in said.items() if value}
        path = f"artifacts/{_segment(content.file_name)}"
        remote.upload(path, _counted(pieces, 0, content.size, at), content.size, sha256=content.sha256, **query)


def _send_part(remote: Remote, content: Content, upload: str, offset: int, at: At) -> int:
    """Send one part, and return where the upload stands then."""
    size = min(PART, content.size - offset)
    with content.read_from(offset) as pieces:
        path = f"artifacts/uploads/{upload}"
        answer = remote.upload(path, _counted(pieces, offset, size, at), size, offset=offset)
    reached: int = answer["offset"]
    if reached <= offset:
        raise Unavailable(f"the upload stays at {reached} bytes", mend="Ask for the same again: it goes on from there.")
    return reached


def _counted(pieces: Iterable[bytes], offset: int, size: int, at: At) -> Iterator[bytes]:
    """Yield the first `size` bytes of what begins at an offset.  Raises InvalidInput when there are fewer."""
    end = offset + size
    for piece in pieces:
        yield piece[: end - offset]
        offset += len(piece[: end - offset])
        at(offset)
        if offset == end:
            return
    if offset != end:
        raise InvalidInput("the file became shorter while it was read", mend="Begin again when nobody writes to it.")


def _receive(remote: Remote, sha256: str, size: int, file: IO[bytes], at: At) -> int:
    """Add to a file what comes, and return its size.  Raises ChecksumMismatch when more comes than there is."""
    reached = file.seek(0, os.SEEK_END)
    with remote.read(f"artifacts/{sha256}/content", reached if reached < size else 0) as (begins, pieces):
        if begins != reached:
            file.truncate(begins)
            file.seek(begins)
            reached = begins
        for piece in pieces:
            if reached + len(piece) > size:
                raise ChecksumMismatch(f"more than the {size} bytes of {sha256[:16]} came")
            write(file.fileno(), piece)
            reached += len(piece)
            at(reached)
    return reached


def _check(file: IO[bytes], sha256: str, partial: Path, target: Path) -> None:
    """Read the whole anew.  Raises ChecksumMismatch, and removes it, when it is not what it is to be."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        partial.unlink(missing_ok=True)
        raise ChecksumMismatch(
            f"{target}: what came is not what was asked for",
            mend=f"expected sha256 {sha256}, it has {digest.hexdigest()}\n  Nothing was written.  Fetch it again.",
        )


@contextmanager
def _partial(path: Path) -> Iterator[IO[bytes]]:
    """Yield the file in which content arrives, for nobody else at the same time."""
    with _written(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"{path}: another one is fetching this", mend="Wait for it to end.") from error
        with _written(path):
            yield file


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be written: {error.strerror}", mend="Make room, or write elsewhere."
        ) from error


def _failed(result: dict[str, Any]) -> VerdeltaError:
    """Return what long work failed with as the error that it was."""
    kinds = {kind.exit_code: kind for kind in (VerdeltaError, InvalidInput, NotAllowed, GateClosed, TimedOut)}
    kind = kinds.get(result.get("exit_code", 1), VerdeltaError)
    return kind(str(result.get("error")), mend=result.get("mend"))


def _segment(name: str) -> str:
    from urllib.parse import quote

    if name in ("", ".", "..") or "/" in name:
        raise NotFound(f"{name!r} is no name of a file")
    return quote(name, safe="")


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
