"""Pictures of differences: rows by section, and after a roll-out the verdict on each of them.  Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .render import named, short, value_text
from .signs import BAD, BUSY, GOOD, IDLE, OUTCOMES, UNSURE, Sign, sign_of
from .text import amount, cut, plain

Document = Mapping[str, Any]
Row = Mapping[str, Any]
Names = tuple[Mapping[str, str], Mapping[str, str]]  # of values, by field: before and after

# The fields that say most about a row come first; the rest follow by name.
LEADING = (
    *("vendor", "device", "class", "driver"),
    *("version", "state", "enabled", "active", "kind", "mode", "digest", "sha256"),
    *("uid", "shell", "gid", "home", "members"),
)
FIELDS_SHOWN = 4  # of a row that was added or removed; wide shows all
ACCEPTABLE = ("matched", "waived")
_NO_NAMES: Names = ({}, {})
_COLOURS = {"+": GOOD, "-": BAD, "~": BUSY, "=": IDLE, " ": UNSURE}


class Entry(NamedTuple):
    """One row that is different, or that an authorised change is about."""

    section: str
    mark: str  # + added, - removed, ~ changed, = as it was; ! before it: not as authorised
    key: str
    details: list[tuple[str, str]]  # field and what happened to it; a sentence has no field
    outcome: Sign | None = None


def delta(document: Document, width: int, wide: bool = False) -> RenderableType:
    """Return the difference of two snapshots, and what it does not show."""
    entries = [entry_of_change(change, wide) for change in document["changes"]]
    done = Counter(change["op"] for change in document["changes"])
    sections = len({change["section"] for change in document["changes"]})
    counts = ", ".join(f"{done[op]} {op}" for op in ("added", "changed", "removed"))
    said = f"{counts} in {amount(sections, 'section')}." if entries else "No difference was seen."
    return Group(*_lines(entries, width, wide), Text(f"{said}  {completeness(document)}"))


def verdict(document: Document, compared: Document | None, width: int, wide: bool = False) -> RenderableType:
    """Return the verdict on a host of a roll-out, item by item, and how complete the evidence is."""
    names = {(change["section"], change["key"]): _names(change) for change in compared["changes"]} if compared else {}
    items = document["items"]
    entries = [entry_of_item(item, wide, names.get((item["section"], item["key"]), _NO_NAMES)) for item in items]
    counts = dict(document["counts"])
    if not counts.get("waived"):
        counts.pop("waived", None)
    said = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if name in counts)
    evidence = completeness(compared) if compared is not None else "There are no two snapshots to compare."
    return Group(*_lines(entries, width, wide), Text(f"{said}.  {evidence}"))


def completeness(delta: Document) -> str:
    """Return how complete two snapshots are as evidence."""
    unknown, partial = sorted(delta["unknown"]), sorted(delta.get("partial", ()))
    if not unknown and not partial:
        return f"Both snapshots complete ({amount(delta['sections'], 'section')})."
    said = []
    if unknown:
        said.append(f"{len(unknown)} of {amount(delta['sections'], 'section')} not comparable: {_listed(unknown)}.")
    if partial:
        said.append(f"Read in part only: {_listed(partial)}.")
    return " ".join(said)


def entry_of_change(change: Document, wide: bool) -> Entry:
    """Return a change of a delta."""
    before, after = change["before"], change["after"]
    return Entry(
        change["section"], _mark(before, after), change["key"], what_happened(before, after, wide, _names(change))
    )


def _names(change: Document) -> Names:
    return change.get("before_names", {}), change.get("after_names", {})


def entry_of_item(item: Document, wide: bool, names: Names = _NO_NAMES) -> Entry:
    """Return an item of a verdict: what happened to the row, or what should have."""
    before, after, outcome = item.get("before"), item.get("after"), item["outcome"]
    mark = " " if outcome == "missing" else _mark(before, after)
    held_against = item.get("expectation") is not None and outcome != "matched"
    if held_against or outcome == "waived" or before == after:
        details = [("", item["detail"] if wide else cut(str(item["detail"]), 300))]
    else:
        details = what_happened(before, after, wide, names)
    trouble = "" if outcome in ACCEPTABLE else "!"
    return Entry(item["section"], f"{trouble}{mark}", item["key"], details, sign_of(OUTCOMES, outcome))


def what_happened(before: Row | None, after: Row | None, wide: bool, names: Names = _NO_NAMES) -> list[tuple[str, str]]:
    """Return the fields that are different, each with what was and what is; or the whole row, where it came or went."""
    if before is None or after is None:
        return [("", _whole(before or after or {}, wide, names[1] if before is None else names[0]))]
    fields = [name for name in _ordered({**before, **after}) if before.get(name, _NOTHING) != after.get(name, _NOTHING)]
    return [(plain(field), _moved(field, before, after, names, wide)) for field in fields]


def _moved(field: str, before: Row, after: Row, names: Names, wide: bool) -> str:
    old, new = before.get(field, _NOTHING), after.get(field, _NOTHING)
    if field not in names[0] and field not in names[1]:
        return moved(old, new, wide)
    return f"{_value(old, wide)}{named(names[0], field, wide)} → {_value(new, wide)}{named(names[1], field, wide)}"


def moved(before: object, after: object, wide: bool = False) -> str:
    """Return how a value moved: 1.0 → 1.1; of lists what came and went; of long texts the part that differs."""
    if isinstance(before, list) and isinstance(after, list):
        came = [value_text(item, wide) for item in after if item not in before]
        went = [value_text(item, wide) for item in before if item not in after]
        if came or went:
            return ", ".join([*(f"+{item}" for item in came), *(f"-{item}" for item in went)])
    old, new = _value(before, True), _value(after, True)
    if wide:
        return f"{old} → {new}"
    if short(old) != short(new):
        old, new = short(old), short(new)
    if len(old) > 40 or len(new) > 40:
        shared = max(_shared_start(old, new) - 10, 0)
        if shared > 10:
            old, new = f"…{old[shared:]}", f"…{new[shared:]}"
    return f"{cut(old, 60)} → {cut(new, 60)}"


def _shared_start(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


class _Nothing:
    """The value of a field that is not there."""


_NOTHING = _Nothing()


def _value(value: object, wide: bool) -> str:
    return "not set" if isinstance(value, _Nothing) else value_text(value, wide)


def _whole(row: Row, wide: bool, names: Mapping[str, str]) -> str:
    fields = [name for name in _ordered(row) if wide or _says_something(row[name])]
    shown = fields if wide else fields[:FIELDS_SHOWN]
    said = [f"{plain(field)} {value_text(row[field], wide)}{named(names, field, wide)}" for field in shown]
    return ", ".join([*said, "…"] if len(fields) > len(shown) else said)


def _says_something(value: object) -> bool:
    return not (value is None or value is False or value == "" or value == [])


def _ordered(row: Row) -> list[str]:
    return sorted(row, key=lambda name: (LEADING.index(name) if name in LEADING else len(LEADING), name))


def _mark(before: Row | None, after: Row | None) -> str:
    if before == after:
        return "="
    return "+" if before is None else "-" if after is None else "~"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(plain(name) for name in names)


class _Widths(NamedTuple):
    """Of the columns, the same under every section; `field` is that of the names in front of the details."""

    key: int
    field: int
    detail: int
    outcome: int


def _widths(entries: Sequence[Entry], width: int, wide: bool) -> _Widths:
    outcome = max(len(entry.outcome.word) if entry.outcome else 0 for entry in entries)
    key = max(cell_len(plain(entry.key)) for entry in entries)
    field = max(cell_len(name) for entry in entries for name, _ in entry.details)
    field = field if wide else min(field, 14)
    detail = max(cell_len(line) for entry in entries for line in _details(entry, field))
    if not wide:
        room = max(width - 6 - (outcome + 2 if outcome else 0), 20)  # the marks, and two spaces between columns
        key = min(key, max(room // 2, room - detail))
        detail = min(detail, room - key)
    return _Widths(key, field, detail, outcome)


def _lines(entries: Sequence[Entry], width: int, wide: bool) -> list[RenderableType]:
    """Return the entries under their sections, in columns that are the same in all of them."""
    lines: list[RenderableType] = []
    widths = _widths(entries, width, wide) if entries else _Widths(0, 0, 0, 0)
    for section, group in groupby(entries, key=lambda entry: entry.section):
        grid = _grid(widths)
        for entry in group:
            grid.add_row(*_cells(entry, widths))
        lines += [Text(f"  {plain(section)}", style="bold"), grid]
    return lines


def _grid(widths: _Widths) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=2, no_wrap=True)
    grid.add_column(width=widths.key, overflow="fold")
    grid.add_column(width=widths.detail, overflow="fold")
    if widths.outcome:
        grid.add_column(width=widths.outcome, no_wrap=True)
    return grid


def _cells(entry: Entry, widths: _Widths) -> list[Text]:
    colour = BAD if entry.mark.startswith("!") else _COLOURS[entry.mark]
    cells = [Text(entry.mark, style=colour), Text(plain(entry.key)), Text("\n".join(_details(entry, widths.field)))]
    if entry.outcome:
        cells.append(Text(entry.outcome.word, style=entry.outcome.style))
    return cells


def _details(entry: Entry, field: int) -> list[str]:
    return [f"{name:<{field}}  {plain(what)}" if name else plain(what) for name, what in entry.details]
