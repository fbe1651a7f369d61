"""The error text of a section that was read, though not whole: what is missing from it, and how much."""

from typing import Iterable, Optional

SHOWN = 5  # names in one text; the others are counted


def missing(reason: str, names: Iterable[str]) -> Optional[str]:
    """Return "reason: a, b and 3 more", or None where nothing is missing."""
    listed = list(names)
    if not listed:
        return None
    more = " and %d more" % (len(listed) - SHOWN) if len(listed) > SHOWN else ""
    return "%s: %s%s" % (reason, ", ".join(listed[:SHOWN]), more)


def together(*reasons: Optional[str]) -> Optional[str]:
    """Return the reasons that there are as one text, or None where there is none."""
    return "; ".join(reason for reason in reasons if reason is not None) or None
