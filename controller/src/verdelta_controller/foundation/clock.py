"""The one clock.  Rules get a moment passed in; services ask here."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment in UTC, with its time zone."""
    return datetime.now(UTC)
