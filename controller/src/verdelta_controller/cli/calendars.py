"""Pictures of environments and their bookings: lists, and a calendar with conflicts marked.  Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from . import signs
from .render import Column, facts, listing, signed
from .signs import Sign, sign_of
from .text import amount, moment, plain

Document = Mapping[str, Any]

DAY = timedelta(days=1)
FREE, SHARED, ALONE, CONFLICT = "·", "▒", "█", "!"
BOOKINGS: dict[str, Sign] = {
    "planned": Sign("·", "planned", signs.IDLE),
    "running": Sign("▶", "running", signs.BUSY),
    "over": Sign("■", "over", signs.IDLE),
    "cancelled": Sign("■", "cancelled", signs.UNSURE),
}
_STYLES = {FREE: signs.IDLE, SHARED: signs.BUSY, ALONE: signs.BUSY, CONFLICT: signs.BAD}


def environments(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the environments, in the order in which a release passes them."""
    columns = (
        Column("ENVIRONMENT", lambda one: one["name"]),
        Column("STAGE", lambda one: one["stage"]),
        Column("HOSTS", lambda one: one["hosts"] or "0"),
        Column("TEAM", lambda one: one["team"]),
        Column("DESCRIPTION", lambda one: one["description"]),
        Column("ADDED", lambda one: moment(one["created_at"]), wide=True),
    )
    return listing(documents, columns, wide, "There is no environment: verdelta environment add --help")


def environment(document: Document, bookings: Sequence[Document], begins: datetime, weeks: int) -> RenderableType:
    """Return one environment, and its calendar."""
    about = facts(
        [
            ("environment", document["name"]),
            ("stage", document["stage"]),
            ("hosts", document["hosts"] or "0"),
            ("team", document["team"]),
            ("description", document["description"]),
        ]
    )
    return Group(about, Text(""), calendar(bookings, begins, weeks))


def booking(document: Document) -> RenderableType:
    """Return one booking."""
    return facts(
        [
            ("booking", document["number"]),
            ("environment", document["environment"]),
            ("state", sign_of(BOOKINGS, document["state"])),
            ("for", document["booked_for"]),
            ("purpose", _purpose(document)),
            ("from", moment(document["begins_at"])),
            ("to", moment(document["ends_at"])),
            ("others", "are kept out" if document["exclusive"] else "may be there too"),
            ("conflicts with", _conflicts(document)),
            ("booked by", f"{document['booked_by']}, {moment(document['booked_at'])}"),
            *(
                [("closed by", f"{document['closed_by']}, {moment(document['closed_at'])}")]
                if _closed(document)
                else []
            ),
        ]
    )


def bookings(documents: Sequence[Document]) -> RenderableType:
    """Return bookings as a list with everything in it."""
    columns = (
        Column("BOOKING", lambda one: one["number"]),
        Column("ENVIRONMENT", lambda one: one["environment"]),
        Column("STATE", lambda one: sign_of(BOOKINGS, one["state"])),
        Column("FOR", lambda one: one["booked_for"]),
        Column("PURPOSE", _purpose),
        Column("FROM", lambda one: moment(one["begins_at"])),
        Column("TO", lambda one: moment(one["ends_at"])),
        Column("EXCLUSIVE", lambda one: one["exclusive"]),
        Column("CONFLICTS", _conflicts),
        Column("BOOKED BY", lambda one: one["booked_by"]),
    )
    return listing(documents, columns, True, "Nothing is booked.")


def calendar(documents: Sequence[Document], begins: datetime, weeks: int) -> RenderableType:
    """Return the bookings of some weeks from a day on as a picture: a line for each, a sign for each day (of UTC).

    Each environment has a part; below them stands every conflict in words.
    """
    if not documents:
        return Text(f"Nothing is booked in {amount(weeks, 'week')} from {begins:%Y-%m-%d} on.")
    days = [begins + number * DAY for number in range(7 * weeks)]
    parts: list[RenderableType] = []
    width = max(len(str(one["number"])) for one in documents)
    for name in dict.fromkeys(one["environment"] for one in documents):
        parts += _part(name, [one for one in documents if one["environment"] == name], days, width)
    pairs = list(_pairs(documents))
    parts += [Text(_in_words(one, other), style=signs.BAD) for one, other in pairs]
    key = f"{ALONE} exclusive  {SHARED} others may be there too  {CONFLICT} conflict"
    parts.append(Text(f"{amount(len(documents), 'booking')}, {amount(len(pairs), 'conflict')}.  {key}.  Days of UTC."))
    return Group(*parts)


def _part(name: str, documents: Sequence[Document], days: Sequence[datetime], width: int) -> list[RenderableType]:
    by_number = {one["number"]: one for one in documents}
    heading = "".join(f"{day:%d %b}".ljust(7) for day in days[::7]).rstrip()
    lines: list[RenderableType] = [Text(plain(name), style="bold"), Text(f"{'':{width + 4}}{heading}", style="dim")]
    for one in documents:
        others = [by_number[number] for number in one["conflicts"] if number in by_number]
        line = Text(f"  {one['number']:>{width}}  ")
        for day in days:
            sign = _sign(one, others, day)
            line.append(sign, style=_STYLES[sign])
        line.append("  ").append(signed(sign_of(BOOKINGS, one["state"])))
        line.append(f"  {plain(one['booked_for'])}: {plain(_purpose(one))}")
        lines.append(line)
    return [*lines, Text("")]


def _sign(one: Document, others: Sequence[Document], day: datetime) -> str:
    begins, ends = _period(one)
    if not (begins < day + DAY and day < ends):
        return FREE
    for other in others:
        from_then, until_then = _period(other)
        if max(begins, from_then, day) < min(ends, until_then, day + DAY):
            return CONFLICT
    return ALONE if one["exclusive"] else SHARED


def _pairs(documents: Sequence[Document]) -> Iterator[tuple[Document, Document]]:
    by_number = {one["number"]: one for one in documents}
    for one in documents:
        for number in one["conflicts"]:
            if one["number"] < number and number in by_number:
                yield one, by_number[number]


def _in_words(one: Document, other: Document) -> str:
    begins, ends = max(one["begins_at"], other["begins_at"]), min(one["ends_at"], other["ends_at"])
    who = f"{plain(one['booked_for'])} and {plain(other['booked_for'])}"
    which = f"{CONFLICT} {one['number']} and {other['number']} conflict in {plain(one['environment'])}"
    return f"{which}: {who}, {moment(begins)} to {moment(ends)}"


def _period(document: Document) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(document["begins_at"]), datetime.fromisoformat(document["ends_at"])


def _purpose(document: Document) -> str:
    release = f" ({document['release']} {document['version']}".rstrip() + ")" if document["release"] else ""
    return f"{document['purpose']}{release}"


def _conflicts(document: Document) -> list[str]:
    return [str(number) for number in document["conflicts"]]


def _closed(document: Document) -> bool:
    return document["closed_at"] is not None
