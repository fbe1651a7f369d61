"""Text for a terminal: nothing in it acts on the terminal, whatever a host has said."""

from collections.abc import Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def plain(value: object) -> str:
    """Return text in which control characters, and those that are invisible or turn the writing round, are spelt out.

    One line: a line break is spelt out like the rest.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_lines(value: object) -> str:
    """Return text as `plain` does, with its line breaks kept."""
    return "\n".join(plain(line) for line in str(value).split("\n"))


def cut(text: str, length: int) -> str:
    """Return a text of at most `length` characters, which ends in … when there was more."""
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def moment(text: str | None) -> str:
    """Return a moment of the API (RFC 3339, UTC) as people read it: 2026-11-22 02:14:07 UTC."""
    if not text:
        return "never"
    shown = plain(text).replace("T", " ")[:19]
    return f"{shown} UTC"


def amount(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 host, 2 hosts."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def size(count: int) -> str:
    """Return a number of bytes as people read it: 10.0 KiB."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """Return words with commas between them, or the first of them and how many more there are."""
    shown = [plain(word) for word in words[:most]]
    return ", ".join([*shown, f"{len(words) - most} more"] if len(words) > most else shown)
