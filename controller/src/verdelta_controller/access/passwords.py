"""Passwords, hashed by argon2id as pwdlib recommends it (RFC 9106, the second recommended set of parameters)."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from pwdlib import PasswordHash

from ..foundation.errors import Unavailable
from .people_rules import PASSWORD_MOST, is_text, normal

AT_ONCE = 4  # hashes computed at the same time: each takes 64 MiB, and whoever asks has not said who it is
PATIENCE = 20.0  # seconds that somebody waits for their turn

# The hash of a password that was thrown away, with today's parameters: nobody's, and as costly to compare with.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$sY80gLfUOCb10kYiJ2dGuQ$rntsHq50OvJBPpuL+d4y0MvnaEg8b5EXJgS8YPSFVBk"

_HASHING = PasswordHash.recommended()
_TURNS = BoundedSemaphore(AT_ONCE)


def hash_of(password: str) -> str:
    """Return what is stored of a password that was checked before.  Raises Unavailable."""
    with _turn():
        return _HASHING.hash(normal(password))


def is_right(password: str, stored: str | None) -> bool:
    """Return whether `stored` was made of this password; where there is none it takes as long.  Raises Unavailable."""
    whole = len(password) <= PASSWORD_MOST and is_text(password)
    with _turn():
        same = _HASHING.verify(normal(password) if whole else "", stored or NOBODY)
    return same and whole and stored is not None


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURNS.acquire(timeout=PATIENCE):
        raise Unavailable("too many people log in at this moment", mend="Ask again.")
    try:
        yield
    finally:
        _TURNS.release()
