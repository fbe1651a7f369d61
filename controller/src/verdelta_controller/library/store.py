"""The content of the definitive media library: files on disk, named by the SHA-256 of what is in them.

    sha256/ab/abcdef…      content that was verified when it came in, read-only, and is verified at every read
    incoming/              what is still arriving; whoever is killed leaves it here, never above
    uploads/               what arrives in parts (parts.py)
    quarantine/<digest>    what arrived with another digest than was expected of it

Content is moved to its name in one step, after it is on the disk whole: it is there as it should be, or not at all.
Nothing is ever unpacked.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from ..foundation.errors import InvalidInput, NotFound, TooLarge, Unavailable, VerdeltaError

LIMIT = 16 * 1024**3  # bytes of one artifact
CHUNK = 1024 * 1024
OPEN = 250  # files that are written before the disk is waited for
AT_ONCE = 16  # files that are flushed to the disk together: it takes them in one go
STALE = 3600.0  # seconds without a byte after which something in incoming/ is what a killed process left behind

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ChecksumMismatch(InvalidInput):
    """The checksum is not the expected one."""


class ContentDamaged(VerdeltaError):
    """An artifact in the library is not what it was."""


class StoreUnavailable(Unavailable):
    """The library cannot be written or read."""


Step = Callable[[int], None]  # hears how many bytes were read


def nothing(count: int) -> None:
    """Hear how many bytes were read, and tell nobody."""


class Source(Protocol):
    """Whatever bytes are read from: a file, an upload."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


class Stored(NamedTuple):
    """Content of the library; size in bytes."""

    digest: str
    size: int


class Report(NamedTuple):
    """What a check of everything found: digests that are as they should be, damaged ones, and names that are none."""

    intact: list[Stored]
    damaged: list[str]
    foreign: list[str]
    quarantined: list[str]


class ArtifactStore:
    """Files by the digest of their content, below `root`.  Any number of processes may use it at the same time."""

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.root = root
        self.limit = limit
        self._incoming = root / "incoming"
        self._quarantine = root / "quarantine"
        for folder in (root / "sha256", self._incoming, self._quarantine):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)

    def add(self, stream: Source, expected_sha256: str | None = None, name: str = "artifact") -> Stored:
        """Take content in and return its digest; content that is there already is not there twice.

        `name` is what people call it, for errors.  Content with another digest than the expected one goes into
        quarantine.  Raises ChecksumMismatch, TooLarge, StoreUnavailable, and whatever the stream raises.
        """
        expected = _checked(expected_sha256.lower()) if expected_sha256 is not None else None
        with self._arriving() as (descriptor, temporary):
            stored = self._copy(stream, descriptor, name)
            self._adopt(temporary, stored.digest, expected, name)
        return stored

    def adopt(self, descriptor: int, path: Path, expected: str, name: str, step: Step = nothing) -> Stored:
        """Read a whole file of this file system, open for reading, and make it content, as `add` does.

        Nobody may write to it any more.  `step` hears how many bytes were read.
        Raises ChecksumMismatch (it is in quarantine then), StoreUnavailable.
        """
        digest, size = hashlib.sha256(), 0
        with errors_wrapped():
            while chunk := os.read(descriptor, CHUNK):
                digest.update(chunk)
                size += len(chunk)
                step(len(chunk))
            os.fchmod(descriptor, 0o440)
            os.fsync(descriptor)
        self._adopt(path, digest.hexdigest(), _checked(expected), name)
        return Stored(digest.hexdigest(), size)

    def _adopt(self, temporary: Path, digest: str, expected: str | None, name: str) -> None:
        """Move a file to where it belongs: among the content, or into quarantine.  Raises ChecksumMismatch."""
        if expected in (None, digest):
            self._settle(temporary, self._path(digest))
            return
        self._settle(temporary, self._quarantine / digest)
        raise ChecksumMismatch(
            f"{name}: checksum does not match the manifest",
            mend=f"expected sha256 {expected}, the file has {digest}\n"
            "  It is in quarantine.  Replace the file, or mend the manifest if the new content is intended.",
        )

    def add_many(self, files: Sequence[tuple[str, str, bytes | memoryview]]) -> None:
        """Take many small contents in, each with its digest and what people call it; the disk is waited for once.

        Raises ChecksumMismatch, and then nothing was taken in; StoreUnavailable.
        """
        for expected, name, content in files:
            found = hashlib.sha256(content).hexdigest()
            if found != _checked(expected):
                raise ChecksumMismatch(
                    f"{name}: checksum does not match the manifest",
                    mend=f"expected sha256 {expected}, the file has {found}",
                )
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(0, len(files), OPEN):
                self._add_some(files[first : first + OPEN], pool)

    def _add_some(self, files: Sequence[tuple[str, str, bytes | memoryview]], pool: Executor) -> None:
        beginning = f"{self._incoming}/{secrets.token_hex(16)}-"  # text, because a Path for each would cost half of it
        arrived = {f"{beginning}{number}": file for number, file in enumerate(files)}
        with errors_wrapped(), contextlib.ExitStack() as opened:
            try:
                descriptors = [_written(opened, name, content) for name, (_, _, content) in arrived.items()]
                list(pool.map(_flush, [descriptors[first::AT_ONCE] for first in range(AT_ONCE)]))
                folders = {digest[:2] for digest, _, _ in files}
                for folder in folders:
                    (self.root / "sha256" / folder).mkdir(mode=0o750, exist_ok=True)
                for name, (digest, _, _) in arrived.items():
                    os.rename(name, f"{self.root}/sha256/{digest[:2]}/{digest}")  # noqa: PTH104
                flushed = [self.root / "sha256", *(self.root / "sha256" / folder for folder in folders)]
                list(pool.map(_flush_folder, flushed))
            except BaseException:
                for name in arrived:
                    Path(name).unlink(missing_ok=True)
                raise

    def open(self, digest: str) -> "VerifyingReader":
        """Return a reader whose end is an error when the content is not that of the digest.

        Whoever must not act on the beginning of damaged content takes `verified_path`.  Raises NotFound.
        """
        return VerifyingReader(self._opened(digest), digest)

    def verified_path(self, digest: str, step: Step = nothing) -> Path:
        """Return the path of content that has just been read and verified whole.  Raises NotFound, ContentDamaged."""
        with self.open(digest) as reader:
            while chunk := reader.read(CHUNK):
                step(len(chunk))
        return self._path(digest)

    def has(self, digest: str) -> bool:
        """Return whether the content is there; it is not read."""
        return self._path(digest).is_file()

    def delete(self, digest: str) -> None:
        """Remove content.  Raises NotFound."""
        path = self._path(digest)
        try:
            path.unlink()
        except FileNotFoundError as error:
            raise _not_there(digest) from error
        _flush_folder(path.parent)

    def entries(self) -> list[Path]:
        """Return every file that lies where content does, whatever it is, in order."""
        return sorted(entry for entry in (self.root / "sha256").rglob("*") if entry.is_symlink() or not entry.is_dir())

    def verify_all(self, step: Step = nothing) -> Report:
        """Read everything and return what is damaged, what does not belong here, and what is in quarantine."""
        intact, damaged, foreign = [], [], []
        for path in self.entries():
            if path.is_symlink() or not _DIGEST.fullmatch(path.name) or path != self._path(path.name):
                foreign.append(str(path.relative_to(self.root)))
                continue
            try:
                self.verified_path(path.name, step)
                intact.append(Stored(path.name, path.stat().st_size))
            except (ContentDamaged, StoreUnavailable):
                damaged.append(path.name)
            except (FileNotFoundError, NotFound):
                continue  # deleted in the meantime
        return Report(intact, damaged, foreign, sorted(entry.name for entry in self._quarantine.iterdir()))

    def sweep(self) -> int:
        """Remove what killed processes left behind, and return how many files that were."""
        stale = [path for path in self._incoming.iterdir() if time.time() - path.lstat().st_mtime > STALE]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    @contextlib.contextmanager
    def _arriving(self) -> Iterator[tuple[int, Path]]:
        """Yield a file of its own in incoming/, open for writing, which is gone afterwards unless it was moved."""
        with errors_wrapped():
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            yield descriptor, Path(name)
        finally:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)

    def _copy(self, stream: Source, descriptor: int, name: str) -> Stored:
        """Write the stream to the disk, whole and flushed, and return its digest."""
        digest, size = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > self.limit:
                raise TooLarge(f"{name}: larger than {self.limit} bytes", mend="The limit is a setting of the library.")
            digest.update(chunk)
            with errors_wrapped():
                write(descriptor, chunk)
        with errors_wrapped():
            os.fchmod(descriptor, 0o440)
            os.fsync(descriptor)
        return Stored(digest.hexdigest(), size)

    def _settle(self, temporary: Path, path: Path) -> None:
        """Move verified content to its name; content that was there under it is the same, or was damaged."""
        with errors_wrapped():
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o750, exist_ok=True)
                _flush_folder(path.parent.parent)
            temporary.replace(path)
            _flush_folder(path.parent)

    def _path(self, digest: str) -> Path:
        return self.root / "sha256" / _checked(digest)[:2] / digest

    def _opened(self, digest: str) -> IO[bytes]:
        try:
            return os.fdopen(os.open(self._path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)
        except FileNotFoundError as error:
            raise _not_there(digest) from error
        except OSError as error:
            raise StoreUnavailable(f"the library's artifact {digest[:16]} cannot be read: {error}") from error


class VerifyingReader(io.RawIOBase):
    """Reads content to its end, and raises ContentDamaged there when the digest is another one.

    Only forwards: what was not read was not verified.
    """

    def __init__(self, file: IO[bytes], digest: str) -> None:
        self._file = file
        self._expected = digest
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except OSError as error:
            raise StoreUnavailable(f"the library's artifact {self._expected[:16]} cannot be read: {error}") from error
        if not data and len(buffer) and self._digest.hexdigest() != self._expected:
            raise ContentDamaged(
                f"the library's artifact {self._expected[:16]} is damaged",
                mend=f"its name is sha256 {self._expected}, its content has {self._digest.hexdigest()}\n"
                "  Add the file again, or restore it from a backup, and have the disk checked.",
            )
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _checked(digest: str) -> str:
    """Return the digest; a name that is none never becomes a path."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest[:80]!r} is no SHA-256 in hexadecimal digits")
    return digest


def _not_there(digest: str) -> NotFound:
    return NotFound(f"the library has no artifact {digest[:16]}…", mend="Add the file, or build the release again.")


def write(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _written(opened: contextlib.ExitStack, name: str, content: bytes | memoryview) -> int:
    """Write a new file, and return it still open, until `opened` closes it: it is not flushed yet."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o440)
    opened.callback(os.close, descriptor)
    write(descriptor, content)
    return descriptor


def _flush(descriptors: Sequence[int]) -> None:
    """Make sure that what was written outlives a power cut."""
    for descriptor in descriptors:
        os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    """Make sure that a new name in a folder outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def errors_wrapped() -> Iterator[None]:
    """Say what the disk refuses in our own words.  Raises StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"the library cannot be written: {error.strerror or error}", mend="Make room, or mend the permissions."
        ) from error
