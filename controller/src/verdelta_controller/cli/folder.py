"""The files of a release folder: which of them its manifest names, where they lie, and what they have.

Nothing is left out in silence: a name that cannot be part of a package is an error, and so is a pattern that finds
nothing.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..foundation.errors import InvalidInput, TooLarge
from ..releases.components import PATH
from ..releases.file_claims import MOST_FILES, base_of, fits, is_pattern
from ..releases.lock import NAME as LOCK
from ..releases.manifest import resolve_inside

CHUNK = 1 << 20
DEPTH = 50  # of folders in folders


class File(NamedTuple):
    """A file of the release: as the package names it, where it lies, and what it has; size in bytes."""

    name: str
    path: Path
    sha256: str
    size: int


def files_named(folder: Path, entry: str) -> dict[str, Path]:
    """Return the files that an entry of `files` names, by their names in the package.

    Raises InvalidInput: nothing is there, or something that cannot be part of a package.
    """
    base = base_of(entry) if is_pattern(entry) else entry
    start = folder / base
    if not is_pattern(entry) and not start.is_dir():
        return {entry: resolve_inside(folder, entry)}
    if base and not re.fullmatch(PATH, base):
        resolve_inside(folder, base)
    found: dict[str, Path] = {}
    for name, path, is_file in _walk(folder, base, hidden_matter=not is_pattern(entry)):
        if not is_pattern(entry) or fits(entry, name):
            _check_name(name)
            found[name] = path if is_file else resolve_inside(folder, name)
    if not found:
        raise InvalidInput(f"{entry}: names no file in {folder}", mend="Mend the pattern, or put the files there.")
    return found


def _walk(folder: Path, base: str, *, hidden_matter: bool) -> Iterator[tuple[str, Path, bool]]:
    """Yield everything below a folder that is no folder, in no order, and whether it is a file: it may be a link."""
    root = folder.resolve()
    start = (root / base).resolve()
    if not start.is_relative_to(root):
        raise InvalidInput(f"{base}: a symbolic link leads out of the release folder, to {start}")
    todo, count = [(base, start)], 0
    while todo:
        here, where = todo.pop()
        if here.count("/") > DEPTH:
            raise InvalidInput(f"{here[:200]}: folders more than {DEPTH} deep")
        for entry in _entries(where):
            name = f"{here}/{entry.name}" if here else entry.name
            if (entry.name.startswith(".") and not hidden_matter) or name in (LOCK, "release.yaml"):
                continue
            if entry.is_dir(follow_symlinks=False):
                todo.append((name, Path(entry.path)))
                continue
            count += 1
            if count > MOST_FILES:
                raise TooLarge(f"{base or folder}: more than {MOST_FILES} files", mend="Pack them as an archive.")
            yield name, Path(entry.path), entry.is_file(follow_symlinks=False)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be read: {error.strerror or error}") from error


def _check_name(name: str) -> None:
    shown = name.encode("utf-8", "backslashreplace").decode()
    if not re.fullmatch(PATH, name) or len(name) > 500 or shown != name:
        raise InvalidInput(
            f"{shown[:500]!r} cannot be part of a package: a name that begins with a dot or a dash, is too long,"
            " or has characters that cannot be printed",
            mend="Rename it, pack the folder as an archive, or name the files by a pattern such as app/*.",
        )


def hashed(name: str, path: Path) -> File:
    """Return a file with its digest and size.  Raises InvalidInput."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InvalidInput(f"{path}: not a regular file")
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from error
    return File(name, path, digest.hexdigest(), size)


def chunks_of(file: File, offset: int = 0) -> Iterator[bytes]:
    """Yield the content of a file from an offset on, piece by piece.  Raises InvalidInput."""
    try:
        with file.path.open("rb") as stream:
            stream.seek(offset)
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InvalidInput(f"{file.path}: cannot be read: {error.strerror}") from error
