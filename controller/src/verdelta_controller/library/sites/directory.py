"""A directory as a site: another disk, a share.  It is a store like the controller's own."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...foundation.errors import InvalidInput, Unavailable
from ..store import CHUNK, ArtifactStore
from ..tables import Artifact
from ..transfer import ContentFrom
from .port import Place

MARK = "verdelta-library-site"  # a file in it: without it the disk or share is not mounted


class DirectorySite:
    """Copies in a directory, in the form of a store."""

    def __init__(self, place: Place, limit: int) -> None:
        self._root = Path(place.location)
        if not (self._root / MARK).is_file():
            raise Unavailable(
                f"{self._root} is no site of a library", mend=f"Is it mounted? It has a file {MARK} then."
            )
        self._store = ArtifactStore(self._root, limit)
        self._store.sweep()

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of everything that is there."""
        for path in self._store.entries():
            yield path.name, path.lstat().st_size

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterable[bytes]]:
        """Yield the content."""
        with self._store.open(digest) as reader:
            yield iter(lambda: reader.read(CHUNK), b"")

    def write(self, artifact: Artifact, read_from: ContentFrom) -> None:
        """Write a copy under another name, and give it its own when it is whole."""
        with read_from(0) as pieces:
            self._store.add(_Pieces(pieces), artifact.digest, artifact.file_name)

    def close(self) -> None:
        """Hold nothing open between two calls."""


def prepare(place: Place, own: Path) -> None:
    """Mark a directory as a site.  Raises InvalidInput where it cannot be one."""
    root = Path(place.location)
    if not root.is_absolute() or not root.is_dir():
        raise InvalidInput(f"{root}: there is no such directory", mend="Make it, and give its whole path.")
    resolved, library = root.resolve(), own.resolve()
    if resolved == library or library in resolved.parents or resolved in library.parents:
        raise InvalidInput(f"{root}: it is where the library itself is", mend="A copy belongs on another disk.")
    try:
        (root / MARK).touch(mode=0o640)
    except OSError as error:
        raise InvalidInput(f"{root}: cannot be written: {error.strerror}") from error


class _Pieces:
    """Pieces as a file that is read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int, /) -> bytes:
        """Return the next piece, of at most a chunk."""
        return next(self._pieces, b"")
