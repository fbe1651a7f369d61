"""What hosts said, as text that is safe to look at, and moments as people read them.  Pure; escaping is the template's.

A control character, or one that is invisible or turns the writing round, is spelt out: nobody is to be shown another
text than the one that is there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

SHOWN = 2_000  # characters of one value that a page shows; the API has all of it
AT_ONCE = 300  # of those, how many are shown before somebody asks for the rest

_DIGEST = re.compile(r"[0-9a-f]{40,128}")
_UNITS = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))


class Piece(NamedTuple):
    """Part of a text: as it was said, or a character that had to be spelt out."""

    text: str
    spelt: bool


class Cut(NamedTuple):
    """The beginning of a text, what comes after it, and how many more characters are not shown."""

    head: str
    tail: str
    left: int


def pieces(text: str, lines: bool = False) -> Iterator[Piece]:
    """Yield a text in pieces, those characters spelt out that cannot be seen, or that act on others.

    A line break is one of them: a text with more lines than one could pass for several.  `lines` keeps it, in prose.
    """
    if text.isprintable():
        yield Piece(text, False)
        return
    start = 0
    for place, character in enumerate(text):
        if not (character.isprintable() or (lines and character == "\n")):
            if start < place:
                yield Piece(text[start:place], False)
            yield Piece(character.encode("unicode_escape").decode("ascii"), True)
            start = place + 1
    if start < len(text):
        yield Piece(text[start:], False)


def plain(text: str) -> str:
    """Return a text as `pieces` does, in one piece and one line: for a title, where nothing can be marked."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text
    )


def cut(text: str) -> Cut:
    """Return what is shown of a text at once, what more can be shown, and how much is left out."""
    return Cut(text[:AT_ONCE], text[AT_ONCE:SHOWN], max(len(text) - SHOWN, 0))


def value(said: Any) -> str:
    """Return the value of a field as text: lists with commas, nothing as "none" and an empty text as two quotes."""
    if said is None:
        return "none"
    if isinstance(said, bool):
        return "yes" if said else "no"
    if isinstance(said, list):
        return ", ".join(value(one) for one in said) or "none"
    if isinstance(said, Mapping):
        return json.dumps(said, ensure_ascii=False)
    return str(said) or '""'


def is_digest(said: Any) -> bool:
    """Return whether a value is a digest, which nobody reads to its end."""
    return isinstance(said, str) and _DIGEST.fullmatch(said) is not None


def moment(when: datetime | str | None) -> datetime | None:
    """Return a moment from what the views have of it: text in RFC 3339, or a moment already."""
    return datetime.fromisoformat(when) if isinstance(when, str) else when


def ago(when: datetime, now: datetime) -> str:
    """Return how long ago a moment was: "just now" (also where a clock is ahead of ours), "3 minutes ago"."""
    seconds = (now - when).total_seconds()
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def absolute(when: datetime) -> str:
    """Return a moment in full: "2026-11-22 02:14:07 UTC"."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def amount(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 host", "2,000 hosts"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def element_id(*parts: object) -> str:
    """Return an identifier for an element, made of names that may have any characters that an identifier may not."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found.group()):x}", "-".join(str(part) for part in parts))
