"""How snapshots and deltas are shown: as tables for people, as one JSON document for programs."""

import re
from itertools import groupby
from typing import Any, Callable, Dict, Iterator

from .delta import ADDED, CHANGED, REMOVED, Change, Delta
from .model import FAILED, OK, Rows, Section, Snapshot, compact_encoder

_encode = compact_encoder(", ", ": ")


def as_json(document: Dict[str, Any]) -> str:
    """Return a snapshot's document (see model.document) as JSON, a line for each row: `diff` compares two of them."""
    sections = document["sections"]
    shown = {name: _encode(value) for name, value in document.items() if name != "sections"}
    shown["sections"] = _lines({name: _section_as_json(sections[name]) for name in sections}, " ")
    return _lines(shown, "") + "\n"


def _section_as_json(section: Dict[str, Any]) -> str:
    shown = {name: _encode(section[name]) for name in section if name not in ("rows", "volatile")}
    shown.update((name, _rows_as_json(section[name])) for name in ("rows", "volatile"))
    return _lines(shown, "  ")


def _rows_as_json(rows: Rows) -> str:
    return _lines({key: _encode(row) for key, row in rows.items()}, "   ")


def _lines(encoded: Dict[str, str], indent: str) -> str:
    """Return an object of values that are JSON already, each on a line of its own, in the order of their names."""
    if not encoded:
        return "{}"
    lines = ["%s %s: %s" % (indent, _encode(name), encoded[name]) for name in sorted(encoded)]
    return "{\n%s\n%s}" % (",\n".join(lines), indent)


def as_tables(snapshot: Snapshot) -> Iterator[str]:
    """Yield the lines of every section, and a last one that sums up."""
    sections = snapshot.sections
    for name in sorted(sections):
        yield from _section_as_table(name, sections[name])
    failed = sum(section.status == FAILED for section in sections.values())
    partial = sum(section.status == OK and section.error is not None for section in sections.values())
    yield "%d sections, %d failed, %d partial" % (len(sections), failed, partial)


def _section_as_table(name: str, section: Section) -> Iterator[str]:
    count = "%d" % len(section.rows) if section.status == OK else section.status
    yield plain("%s (%s)%s" % (name, count, ": %s" % section.error if section.error else ""))
    for key, row in sorted(section.rows.items()):
        yield plain("  %s  %s" % (key, _fields(row, _shown)))


def delta_as_json(delta: Delta) -> str:
    """Return a delta as one JSON document, a line for each change."""
    changes = [_encode(dict(change._asdict(), op=change.op)) for change in delta.changes]
    shown = {name: _encode(value) for name, value in delta._asdict().items() if name != "changes"}
    shown["changes"] = "[\n  %s\n ]" % ",\n  ".join(changes) if changes else "[]"
    return _lines(shown, "") + "\n"


SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}
COLOURS = {ADDED: "32", REMOVED: "31", CHANGED: "33"}
KEY_WIDTH = 40
DIGEST = re.compile("[0-9a-f]{64}\\Z")


def delta_as_lines(delta: Delta, coloured: bool) -> Iterator[str]:
    """Yield the lines of a delta: a sign, the key and what differs, by section; a last one that sums up."""
    for section, of_section in groupby(delta.changes, lambda change: change.section):
        changes = list(of_section)
        yield "  " + plain(section)
        width = min(KEY_WIDTH, max(len(plain(change.key)) for change in changes))
        for change in changes:
            line = "%s   %s  %s" % (SIGNS[change.op], plain(change.key).ljust(width), plain(_difference(change)))
            yield "\033[%sm%s\033[0m" % (COLOURS[change.op], line) if coloured else line
    for section in delta.unknown:
        yield plain("?   %s  cannot be compared: it could not be read on both sides" % section)
    yield _sum(delta)


def _difference(change: Change) -> str:
    if change.op != CHANGED:
        return _fields(change.after or change.before or {}, _short)
    before, after = change.before or {}, change.after or {}
    return ", ".join(
        "%s %s → %s" % (name, _short(before.get(name)), _short(after.get(name))) for name in change.fields()
    )


def _short(value: Any) -> str:
    """Return a value as it is shown, a digest by its beginning: who compares two sees that they differ."""
    return "%s…" % value[:12] if isinstance(value, str) and DIGEST.match(value) else _shown(value)


def _sum(delta: Delta) -> str:
    counts = ["%d %s" % (sum(change.op == op for change in delta.changes), op) for op in (ADDED, REMOVED, CHANGED)]
    unknown = len(delta.unknown)
    return "%s, %d section%s unknown" % (", ".join(counts), unknown, "" if unknown == 1 else "s")


def _fields(row: Dict[str, Any], shown: Callable[[Any], str]) -> str:
    return ", ".join("%s %s" % (field, shown(value)) for field, value in sorted(row.items()))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "-" if value is None else str(value)


def plain(line: str) -> str:
    """Return a line without control characters: what a host's data holds must not drive the terminal."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
