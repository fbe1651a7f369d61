"""What may be said of content that is brought in, and which versions may be retired.  Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from ..foundation.errors import GateClosed, InvalidInput

NAME_LIMIT = 200  # characters
SOURCE_LIMIT = 1000


class Origin(NamedTuple):
    """What content was called, where it came from, as whoever brought it said, and who that was."""

    file_name: str
    by: str
    source: str = ""
    supplier: str = ""


class Use(NamedTuple):
    """A release that artifacts belong to."""

    release_id: int
    name: str
    version: str
    state: str

    @property
    def label(self) -> str:
        """Return how people call it."""
        return f"{self.name} {self.version}"


class Holding(NamedTuple):
    """A host on which a release is now, or may be: `certain` when an audit has verified it."""

    host: str
    release_id: int
    rollout_id: int
    state: str
    certain: bool
    since: datetime


class CopyState(StrEnum):
    """What a site has of an artifact."""

    COMPLETE = "complete"
    MISSING = "missing"
    DAMAGED = "damaged"


class Retired(GateClosed):
    """This is retired: the version itself, or every version that uses a file."""


# Where nothing is on its way any more.  A release that is deployed is looked for on its hosts besides.
MAY_RETIRE = frozenset(("built", "rejected", "deployed", "closed", "backed_out", "cancelled"))


def checked_origin(origin: Origin) -> Origin:
    """Return an origin that can be recorded: the name without folders.

    Raises InvalidInput; the source is not repeated in it when there is a password in it.
    """
    name = PurePosixPath(origin.file_name.replace("\\", "/")).name[:NAME_LIMIT]
    if name in ("", ".", "..") or not name.isprintable():
        raise InvalidInput(f"{origin.file_name[:80]!r} is no name of a file")
    for text, limit, what in ((origin.source, SOURCE_LIMIT, "source"), (origin.supplier, NAME_LIMIT, "supplier")):
        if len(text) > limit or (text and not text.isprintable()):
            raise InvalidInput(f"a {what} is one line of at most {limit} characters")
    if _has_password(origin.source):
        raise InvalidInput("the source has a password in it", mend="It is recorded for ever: leave the password out.")
    return origin._replace(file_name=name)


def check_may_retire(use: Use, holdings: Collection[Holding]) -> None:
    """Raise GateClosed while a version is on its way to hosts, or may still be on one."""
    if use.state not in MAY_RETIRE:
        raise GateClosed(f"{use.label} is {use.state}", mend=f"What may be retired is {', '.join(sorted(MAY_RETIRE))}.")
    if holdings:
        names = sorted({holding.host for holding in holdings})
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise GateClosed(f"{use.label} is on {shown}", mend="Roll another version out there, or back this one out.")


def in_use(uses: Sequence[Use], retired: Collection[tuple[str, str]]) -> list[Use]:
    """Return the uses by versions that are not retired."""
    return [use for use in uses if (use.name, use.version) not in retired]


def _has_password(source: str) -> bool:
    try:
        return urlsplit(source).password is not None
    except ValueError:
        return False
