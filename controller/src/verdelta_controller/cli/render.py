"""Pictures of what the API answers: lists, and one thing with its facts.  Pure: a document in, a renderable out."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import signs
from .signs import Sign, sign_of
from .text import amount, cut, moment, plain, size

Document = Mapping[str, Any]
_DIGEST = re.compile(r"[0-9a-f]{32,}")
STATES_SHOWN = 5  # of a host's past states; wide shows all


class Column(NamedTuple):
    """One column of a list; `wide` is only there when everything is asked for."""

    heading: str
    cell: Callable[[Document], object]
    wide: bool = False


def listing(rows: Sequence[Document], columns: Sequence[Column], wide: bool, nothing: str) -> RenderableType:
    """Return a list as a table, or the sentence that says that there is nothing."""
    if not rows:
        return Text(nothing)
    shown = [column for column in columns if wide or not column.wide]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(column.heading, overflow="fold", no_wrap=wide)
    for row in rows:
        table.add_row(*(as_text(column.cell(row)) for column in shown))
    return table


def facts(pairs: Iterable[tuple[str, object]]) -> RenderableType:
    """Return names and values, one a line."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, as_text(value))
    return grid


def as_text(value: object) -> Text:
    """Return a value as text on which nothing of it acts: neither control characters nor markup."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Sign):
        return signed(value)
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(", ".join(plain(item) for item in value) or "-")
    return Text(plain(value) if value not in (None, "") else "-")


def signed(sign: Sign) -> Text:
    """Return a state as its sign and its word."""
    return Text(f"{sign.sign} {sign.word}", style=sign.style)


# -- hosts


def hosts(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of hosts."""
    columns = (
        Column("HOST", lambda host: host["name"]),
        Column("REACH", lambda host: host["reach"]),
        Column("AGENT", lambda host: host["agent"]),
        Column("ADDRESS", _address),
        Column("ENVIRONMENT", lambda host: host["environment"]),
        Column("GROUPS", lambda host: host["groups"]),
        Column("USER", lambda host: host["user"], wide=True),
        Column("ROOT", lambda host: "by sudo" if host["become"] else "-", wide=True),
        Column("PYTHON", lambda host: host["python"], wide=True),
        Column("HOST KEY", lambda host: host["host_key_fingerprint"], wide=True),
        Column("ACCEPTED GAPS", lambda host: host["accepted_gaps"], wide=True),
    )
    return listing(documents, columns, wide, "There is no host yet: verdelta host add --help")


def host(document: Document, states: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return one host and the states that it was in, the newest first."""
    pinned = document["host_key_fingerprint"]
    about = facts(
        [
            ("host", document["name"]),
            ("reached by", document["reach"]),
            ("address", _address(document)),
            ("user", f"{document['user'] or '-'}{', root by sudo' if document['become'] else ''}"),
            ("agent", document["agent"]),
            ("python", document["python"]),
            ("host key", f"{pinned}, pinned {moment(document['host_key_pinned_at'])}" if pinned else None),
            ("environment", document["environment"]),
            ("groups", document["groups"]),
            ("accepted gaps", document["accepted_gaps"]),
            ("added", moment(document["created_at"])),
        ]
    )
    columns = (
        Column("STATE", lambda state: state["id"]),
        Column("SINCE", lambda state: moment(state["received_at"])),
        Column("CONFIRMED", lambda state: moment(state["confirmed_at"])),
        Column("ROOT", lambda state: state["root"] if wide else state["root"][:12]),
        Column("SECTIONS", sections_read),
    )
    shown = states if wide else states[:STATES_SHOWN]
    mend = f"It was never audited: verdelta audit {plain(document['name'])}"
    return Group(about, Text(""), listing(shown, columns, wide, mend))


def _address(host: Document) -> str:
    if not host["address"]:
        return ""
    return str(host["address"]) if host["port"] == 22 else f"{host['address']} port {host['port']}"


def credentials(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of credentials."""
    columns = (
        Column("CREDENTIAL", lambda one: one["name"]),
        Column("FINGERPRINT", lambda one: one["fingerprint"]),
        Column("ADDED", lambda one: moment(one["created_at"])),
    )
    return listing(documents, columns, wide, "There is no credential yet: verdelta credential add --help")


# -- audits


def audit(document: Document, accepted: Sequence[str], wide: bool = False) -> Text:
    """Return one line about a fresh audit."""
    delta, root = document["delta"], str(document["snapshot"]["root"])
    if delta is None:
        sign, what = signs.FIRST, ""
    elif delta["changes"]:
        sign, what = signs.CHANGED, f": {amount(len(delta['changes']), 'row')}"
    elif unseen(delta, accepted):
        sign, what = signs.INCOMPLETE, f": cannot compare {', '.join(unseen(delta, accepted))}"
    else:
        sign, what = signs.UNCHANGED, ""
    return host_line(
        document["host"],
        sign,
        f"{sign.word}{what}",
        f"{plain(root if wide else root[:12])}  {sections_read(document['snapshot'])}",
    )


def host_line(name: str, sign: Sign, text: str, more: str = "") -> Text:
    """Return one line about one host: sign, name, what there is to say."""
    line = Text.assemble((sign.sign, sign.style), f" {plain(name):<20}  ")
    if more:
        line.append(f"{more}  ")
    return line.append(text, style=sign.style)


def unseen(delta: Document, accepted: Sequence[str]) -> list[str]:
    """Return the sections that could not be compared and that nobody has accepted to do without."""
    return [plain(name) for name in delta["unknown"] if name not in accepted]


def sections_read(snapshot: Document) -> str:
    """Return how many sections there are, and which of them could not be read."""
    failed = [plain(name) for name, section in sorted(snapshot["sections"].items()) if section["status"] == "failed"]
    total = amount(len(snapshot["sections"]), "section")
    return f"{total}, unreadable: {', '.join(failed)}" if failed else total


def inventory(document: Document, wide: bool = False) -> RenderableType:
    """Return the sections of a host with their rows."""
    lines: list[Text] = []
    for name, section in sorted(document["sections"].items()):
        count = amount(len(section["rows"]), "row") if section["status"] == "ok" else section["status"]
        error = f": {plain(section['error'])}" if section["error"] else ""
        lines.append(Text(f"{plain(name)}  {plain(count)}{error}", style="bold"))
        for key, row in sorted(section["rows"].items()):
            shown = {**row, **section["volatile"].get(key, {})} if wide else row
            said = row_text(shown, wide, section.get("names", {}).get(key, {}))
            lines.append(Text.assemble("  ", plain(key), "  ", (said, "dim")))
    lines.append(Text(f"state {document['root'][:12]}, taken {moment(document['taken_at'])} by the host's clock"))
    return Group(*lines)


def row_text(row: Document, wide: bool, names: Mapping[str, str]) -> str:
    """Return the fields of a row on one line, with the names of those values that have one."""
    return ", ".join(
        f"{plain(field)} {value_text(value, wide)}{named(names, field, wide)}" for field, value in sorted(row.items())
    )


def named(names: Mapping[str, str], field: str, wide: bool = False) -> str:
    """Return the name of a field's value as it stands behind it, or "" where it has none."""
    name = plain(names.get(field, ""))
    return f" ({name if wide else cut(name, 60)})" if name else ""


def value_text(value: object, wide: bool = False) -> str:
    """Return a value of a row; a digest is told by its first digits, and a long text is cut, unless all is wanted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        text = "[" + ", ".join(value_text(item, wide) for item in value) + "]"
    else:
        text = "none" if value is None else plain(value) or '""'
    return text if wide else cut(short(text), 60)


def short(text: str) -> str:
    """Return a digest by its first digits, and any other text as it is."""
    return f"{text[:12]}…" if _DIGEST.fullmatch(text) else text


# -- releases


def releases(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of releases."""
    columns = (
        Column("RELEASE", lambda one: one["name"]),
        Column("VERSION", lambda one: one["version"]),
        Column("STATE", lambda one: sign_of(signs.RELEASES, one["state"])),
        Column("TYPE", lambda one: one["type"]),
        Column("SERVICE", lambda one: one["service"]),
        Column("DRAFTED", lambda one: moment(one["drafted_at"])),
        Column("BY", lambda one: one["drafted_by"], wide=True),
        Column("PACKAGE", lambda one: one["digest"], wide=True),
    )
    return listing(documents, columns, wide, "There is no release yet: verdelta release build --help")


def release(document: Document, wide: bool = False) -> RenderableType:
    """Return one release, and what it may change."""
    manifest = document["manifest"] or {}
    authorised = document["authorised_at"]
    built = f"{moment(document['built_at'])} by {document['built_by']}" if manifest else "not yet"
    about = facts(
        [
            ("release", f"{document['name']} {document['version']}"),
            ("state", sign_of(signs.RELEASES, document["state"])),
            ("service", f"{document['service']}, {document['type']}"),
            *([("about", manifest["description"])] if "description" in manifest else []),
            ("package", document["digest"] or "none yet"),
            ("built", built),
            ("authorised", f"{moment(authorised)} by {document['authorised_by']}" if authorised else "not yet"),
            ("install", _step(manifest["install"]) if manifest else "-"),
            ("back-out", _step(manifest["back_out"]) if "back_out" in manifest else "none"),
            ("files", Text("\n".join(_files(document["files"], wide)) or "-")),
        ]
    )
    return Group(about, Text(""), authorised_changes(document["changes"], wide)) if manifest else about


def authorised_changes(changes: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return what a release may change: every row that it names, and the state afterwards."""
    columns = (
        Column("MAY CHANGE", lambda change: change["section"]),
        Column("ROW", lambda change: change["key"]),
        Column("AFTERWARDS", lambda change: _after(change["after"], wide)),
        Column(
            "ON", lambda change: _after(change.get("on", "all"), wide), wide=not any("on" in one for one in changes)
        ),
    )
    return listing(changes, columns, wide, "It may change nothing.")


def _after(state: object, wide: bool) -> str:
    if not isinstance(state, Mapping):
        return plain(state)
    return ", ".join(f"{plain(name)} {_matcher(value, wide)}" for name, value in state.items())


def _matcher(value: object, wide: bool) -> str:
    if not isinstance(value, Mapping):
        return value_text(value, wide)
    if "pattern" in value:
        return plain(value["pattern"])
    return " ".join(f"{plain(name).replace('_', ' ')} {value_text(bound, wide)}" for name, bound in value.items())


def _step(step: Document) -> str:
    given = ", ".join(f"{plain(name)} {value_text(value)}" for name, value in step.get("with", {}).items())
    return f"{plain(step['playbook'])}{f' with {given}' if given else ''}"


def _files(files: Mapping[str, str], wide: bool) -> list[str]:
    return [f"{plain(path)}  {plain(digest if wide else digest[:12])}" for path, digest in sorted(files.items())]


def upload_line(path: str, count: int, known: bool) -> Text:
    """Return one line about one file of a release."""
    return Text.assemble(
        ("✔ ", signs.GOOD), plain(path), f"  {size(count)}  ", ("in the library" if known else "brought in", "dim")
    )


# -- roll-outs


def rollouts(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of roll-outs."""
    columns = (
        Column("ROLL-OUT", lambda one: one["id"]),
        Column("RELEASE", lambda one: f"{one['release']} {one['version']}"),
        Column("STATE", lambda one: sign_of(signs.ROLLOUTS, one["state"])),
        Column("FOR", lambda one: one["purpose"]),
        Column("STARTED", lambda one: moment(one["created_at"])),
        Column("BY", lambda one: one["created_by"]),
        Column("ENDED", lambda one: moment(one["ended_at"]) if one["ended_at"] else "-", wide=True),
    )
    return listing(documents, columns, wide, "There is no roll-out yet: verdelta rollout start --help")


def planned(waves: Sequence[Sequence[Document]]) -> RenderableType:
    """Return the waves of a roll-out that is not begun: who is in which."""
    rows = [{"number": number, "hosts": [host["name"] for host in wave]} for number, wave in enumerate(waves, 1)]
    columns = (
        Column("WAVE", lambda wave: wave["number"]),
        Column("HOSTS", lambda wave: len(wave["hosts"])),
        Column("NAMES", lambda wave: wave["hosts"]),
    )
    return listing(rows, columns, False, "There is no host.")


# -- access


def tokens(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of tokens."""
    columns = (
        Column("TOKEN", lambda one: one["name"]),
        Column("ROLE", lambda one: one["role"]),
        Column(
            "STATE",
            lambda one: Sign("■", "revoked", signs.IDLE) if one["revoked_at"] else Sign("✔", "valid", signs.GOOD),
        ),
        Column("MADE", lambda one: moment(one["created_at"])),
        Column("EXPIRES", lambda one: moment(one["expires_at"])),
    )
    return listing(documents, columns, wide, "There is no token.")
