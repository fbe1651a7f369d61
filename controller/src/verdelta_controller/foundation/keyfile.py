"""Secret keys in files: 32 random bytes as one line of base64, readable by their owner alone."""

import base64
import binascii
import os
import secrets
from pathlib import Path

from .errors import NotFound, VerdeltaError

SIZE = 32  # bytes of a key


class UnsafeKeyFile(VerdeltaError):
    """A key file cannot be used as it is."""


def load(path: Path) -> bytes:
    """Return the key in a file.  Raises NotFound, and UnsafeKeyFile when others may read it or it holds no key."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1024)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: there is no key here", mend="Restore it from a backup.") from error
    except OSError as error:
        raise UnsafeKeyFile(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise UnsafeKeyFile(f"{path}: others may read this key", mend=f"chmod 600 {path}, if nobody has read it yet.")
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except binascii.Error as error:
        raise UnsafeKeyFile(f"{path}: not a key", mend="Restore it from a backup.") from error
    if len(key) != SIZE:
        raise UnsafeKeyFile(f"{path}: a key of {len(key)} bytes, not {SIZE}", mend="Restore it from a backup.")
    return key


def load_or_create(path: Path) -> bytes:
    """Return the key in a file, made now if there is none; of two that make it at once both get the same.

    Raises UnsafeKeyFile.
    """
    try:
        return load(path)
    except NotFound:
        _create(path)
        return load(path)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(SIZE)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        _link(new, path)
    finally:
        new.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _link(new: Path, path: Path) -> None:
    """Give the file its name, unless somebody else was first: unlike a rename, a link never replaces."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        return
