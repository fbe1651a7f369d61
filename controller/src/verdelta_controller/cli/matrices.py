"""The picture of what version runs where: components by environment, and the hosts in question.  Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import signs
from .text import amount, plain

Document = Mapping[str, Any]


def matrix(document: Document, every_host: bool = False) -> RenderableType:
    """Return the matrix, below it the hosts that differ (or all of them), and at the end how complete it is."""
    columns = [column for column in document["environments"] if column["hosts"]]
    if not document["components"]:
        return Text("No release has a component of dpkg, rpm or pip yet: verdelta release build")
    if not columns:
        return Text("There is no host yet: verdelta host add --help")
    parts: list[RenderableType] = [_table(document, columns), Text("")]
    hosts = _hosts(document, every_host)
    if hosts is not None:
        parts += [hosts, Text("")]
    return Group(*parts, *_sums(document, columns))


def drifts(document: Document) -> int:
    """Return how often a component on a host is not as last verified."""
    return sum(cell["drift"] for line in document["components"] for cell in line["cells"])


def _table(document: Document, columns: Sequence[Document]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("COMPONENT\n\n", overflow="fold")  # beside headings of three lines
    for column in columns:
        table.add_column(_heading(column, document["at"]), overflow="fold")
    for line in document["components"]:
        cells = {cell["environment"]: cell for cell in line["cells"]}
        table.add_row(_name(line), *(_cell(cells.get(column["environment"])) for column in columns))
    return table


def _name(line: Document) -> Text:
    return Text(plain(line["package"])).append(f"  {plain(line['manager'])}", style="dim")


def _heading(column: Document, at: str) -> Text:
    heading = Text(plain(column["environment"] or "(none)"))
    heading.append(f"\n{amount(column['hosts'], 'host')}", style="dim")
    if column["oldest_audit"] is None:
        return heading.append("\nnever audited", style=signs.UNSURE)
    ages = list(dict.fromkeys(_age(column[end], at) for end in ("newest_audit", "oldest_audit")))
    return heading.append(f"\n{' to '.join(ages)} old", style="dim")


def _cell(cell: Document | None) -> Text:
    if cell is None:
        return Text("-")
    lines = [Text(f"{_versions(one['versions'])}  {one['hosts']}") for one in cell["found"]]
    if cell["not_there"]:
        lines.append(Text(f"not there  {cell['not_there']}"))
    if cell["unknown"]:
        lines.append(Text(f"? unknown  {cell['unknown']}", style=signs.UNSURE))
    if cell["drift"]:
        lines.append(Text(f"! drift  {cell['drift']}", style=signs.BAD))
    return Text("\n").join(lines) if lines else Text("-")


def _hosts(document: Document, every_host: bool) -> RenderableType | None:
    """Return the hosts that are named, one a line; None where there are none."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("ENVIRONMENT", "HOST", "COMPONENT", "AUDITED", "VERIFIED", "", "AUDIT"):
        table.add_column(heading, overflow="fold")
    for line, cell, host in _named(document):
        if host["state"] == "not_applicable" and every_host:
            continue
        age = _age(host["audited_at"], document["at"]) + " old" if host["audited_at"] else "never"
        where = (Text(plain(cell["environment"] or "(none)")), Text(plain(host["host"])))
        table.add_row(*where, _name(line), _found(host), Text(plain(host["expected"] or "-")), _mark(host), Text(age))
    return table if table.row_count else None


def _named(document: Document) -> Iterator[tuple[Document, Document, Document]]:
    for line in document["components"]:
        for cell in line["cells"]:
            for host in cell["hosts"]:
                yield line, cell, host


def _found(host: Document) -> Text:
    return Text(_versions(host["versions"]) if host["versions"] else plain(host["state"]).replace("_", " "))


def _mark(host: Document) -> Text:
    if host["drift"]:
        return Text("! drift", style=signs.BAD)
    return Text("? unknown", style=signs.UNSURE) if host["state"] == "unknown" else Text("")


def _sums(document: Document, columns: Sequence[Document]) -> list[Text]:
    cells = [cell for line in document["components"] for cell in line["cells"]]
    unknown, drift = sum(cell["unknown"] for cell in cells), drifts(document)
    size = f"{amount(len(document['components']), 'component')} in {amount(len(columns), 'environment')}"
    complete = (
        f"unknown in {amount(unknown, 'place')}: never audited, or not to be read" if unknown else "all of it read"
    )
    lines = [Text(f"{size}, computed from audits; {complete}."), Text(f"Not as last verified: {drift or 'none'}.")]
    if left_off := sum(cell["left_off"] for cell in cells):
        lines.append(Text(f"{amount(left_off, 'more line')} with --hosts."))
    if document["left_off"]:
        lines.append(Text(f"{amount(document['left_off'], 'more component')}: name a --release."))
    return lines


def _versions(versions: Sequence[str]) -> str:
    return " + ".join(plain(version) for version in versions)


def _age(moment: str, at: str) -> str:
    """Return how long ago something was: 20 min, 5 h, 3 days."""
    passed = max(datetime.fromisoformat(at) - datetime.fromisoformat(moment), timedelta())
    minutes = int(passed.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
