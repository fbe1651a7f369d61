"""What happened to a row, and what would have been authorised, as the words of an item."""

from collections.abc import Collection, Iterator, Sequence

from verdelta_agent.delta import Change
from verdelta_agent.model import Row

from ..releases.expectations import Expectation, Mismatch, is_pattern, said

_NAMED = 4  # fields or keys that a sentence names; the rest is counted


def happened(change: Change, expectation: Expectation | None = None) -> str:
    """Return what happened to a row: "version 1.0 → 1.1", "added", "added: version 1.0" (as authorised), "removed"."""
    if change.after is None:
        return "removed"
    if change.before is None:
        state = authorised_state(change.after, expectation) if expectation else ""
        return f"added: {state}" if state else "added"
    return _moves(change, change.fields())


def complaints(change: Change, wrong: Sequence[Mismatch], unnamed: Sequence[str]) -> Iterator[str]:
    """Yield what is not as authorised of a row that changed: `wrong` states, and fields that may not change."""
    for mismatch in wrong:
        yield f"{_found(change, mismatch.field)}, authorised {mismatch.authorised}"
    if unnamed:
        yield f"{_moves(change, unnamed)}, not authorised"


def is_instead(row: Row, mismatch: Mismatch) -> str:
    """Return what a row has, and what is authorised: "version is 1.0, authorised 1.1"."""
    return f"{mismatch.field} is {_value(row, mismatch.field)}, authorised {mismatch.authorised}"


def authorised_state(row: Row, expectation: Expectation) -> str:
    """Return the fields of a row that an expectation names, with their values; "" when it names none."""
    fields = expectation.after if isinstance(expectation.after, dict) else {}
    return ", ".join(few([f"{name} {_value(row, name)}" for name in fields]))


def named(keys: Sequence[str], expectation: Expectation) -> str:
    """Return which rows are meant, where the key alone does not say it."""
    return f": {', '.join(few(keys))}" if is_pattern(expectation.key) else ""


def few(words: Collection[str]) -> list[str]:
    """Return the words, or the first of them and how many more there are."""
    listed = list(words)
    return listed if len(listed) <= _NAMED else [*listed[:_NAMED], f"{len(listed) - _NAMED} more"]


def _found(change: Change, field: str) -> str:
    """Return what became of a field, or, of no field, of the row."""
    if change.after is None or not field:
        return happened(change)
    if change.before is None:
        return f"added with {field} {_value(change.after, field)}"
    if field in change.fields():
        return _moves(change, [field])
    return f"{field} is {_value(change.after, field)}"


def _moves(change: Change, fields: Collection[str]) -> str:
    before, after = change.before or {}, change.after or {}
    return ", ".join(few([f"{name} {_value(before, name)} → {_value(after, name)}" for name in fields]))


def _value(row: Row, name: str) -> str:
    return said(row[name]) if name in row else "not set"
