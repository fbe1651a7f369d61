"""How a snapshot is shown: as tables for people, as one JSON document for programs."""

import json
from typing import Any, Dict, Iterator

from .model import FAILED, OK, Rows, Section, Snapshot

_encode = json.JSONEncoder(sort_keys=True).encode


def as_json(document: Dict[str, Any]) -> str:
    """Return a snapshot's document (see model.document) as JSON, a line for each row: `diff` compares two of them."""
    sections = document["sections"]
    shown = {name: _encode(value) for name, value in document.items()}
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
        fields = ", ".join("%s %s" % (field, _shown(value)) for field, value in sorted(row.items()))
        yield plain("  %s  %s" % (key, fields))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "-" if value is None else str(value)


def plain(line: str) -> str:
    """Return a line without control characters: what a host's data holds must not drive the terminal."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
