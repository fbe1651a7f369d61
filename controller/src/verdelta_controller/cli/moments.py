"""Moments on the command line: ISO 8601, with a zone or in that of this machine, which is then said."""

from datetime import UTC, datetime

from ..foundation.errors import InvalidInput
from .session import Session

LONGEST = 40  # characters
_MEND = "Write it as 2026-12-01T09:00, with Z or +01:00 behind it where another zone than this machine's is meant."


def parse(session: Session, option: str, text: str) -> datetime:
    """Return a moment, in UTC.  Without a zone it is one of this machine's, and a person is told which.

    Raises InvalidInput for what is none, and for a time of day that the local clock has twice or never.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(text)
        given = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= len("2026-12-01"):
            raise InvalidInput(f"{option}: {text[:40]!r} is a day; the time of day is missing", mend=_MEND)
        if given.tzinfo is None:
            given = _local(option, given)
            session.say(f"{option}: taken as local time, {given:%Y-%m-%d %H:%M %Z (UTC%z)}")
        return given.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"{option}: {text[:40]!r} is no moment", mend=_MEND) from error


def _local(option: str, given: datetime) -> datetime:
    first, second = (given.replace(fold=fold).astimezone() for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise InvalidInput(
            f"{option}: the local clock is changed at {given:%Y-%m-%d %H:%M}: that time is there twice, or never",
            mend="Give the zone: 2026-12-01T09:00+01:00",
        )
    return first
