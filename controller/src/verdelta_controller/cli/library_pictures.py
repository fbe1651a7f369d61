"""Pictures of the library: its lists, one artifact with all that is known of it, checks and sites.  Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from . import signs
from .render import Column, facts, listing
from .signs import sign_of
from .text import moment, plain, size

Document = Mapping[str, Any]


def artifacts(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of artifacts."""
    columns = (
        Column("FILE", lambda one: one["file_name"]),
        Column("SIZE", lambda one: size(one["size"])),
        Column("SHA256", lambda one: one["sha256"] if wide else one["sha256"][:12]),
        Column("BROUGHT IN", lambda one: moment(one["added_at"])),
        Column("BY", lambda one: one["added_by"]),
        Column("ARCHIVED", lambda one: moment(one["archived_at"]) if one["archived_at"] else "", wide=True),
    )
    return listing(documents, columns, wide, "The library is empty: verdelta library add FILE")


def added(document: Document, known: bool) -> Text:
    """Return one line about a file that was brought in."""
    line = f"{plain(document['file_name'])}  {size(document['size'])}  sha256 {plain(document['sha256'])}  "
    return Text.assemble(("✔ ", signs.GOOD), line, ("in the library" if known else "brought in", "dim"))


def artifact(document: Document) -> RenderableType:
    """Return an artifact and all that is known of it."""
    here = "yes" if document["is_here"] else "in the archive" if document["archived_at"] else "no: missing"
    pairs: list[tuple[str, object]] = [
        ("file", document["file_name"]),
        ("sha256", document["sha256"]),
        ("size", size(document["size"])),
        ("on the controller", here),
    ]
    pairs += [("brought in", _arrival(one)) for one in document["arrivals"]]
    pairs += [("used by", _use(one)) for one in document["releases"]] or [("used by", "no release")]
    pairs += [("on host", _holding(one)) for one in document["hosts"]]
    pairs += [("copy at", f"{one['site']}  {_copied(one)}") for one in document["sites"]]
    return facts(pairs)


def _arrival(one: Document) -> str:
    said = f"{moment(one['arrived_at'])} by {one['brought_by']}"
    said += f" from {one['source']}" if one["source"] else ""
    return said + (f", supplied by {one['supplier']}" if one["supplier"] else "")


def _use(one: Document) -> Text:
    state = sign_of(signs.RELEASES, one["state"])
    name = plain(f"{one['name']} {one['version']}  ")
    retired = "  (retired)" if one["retired"] else ""
    return Text.assemble(name, (f"{state.sign} {state.word}", state.style), retired)


def _holding(one: Document) -> Text:
    state = sign_of(signs.HOSTS, one["state"])
    where = plain(f"{one['host']}  {one['release']}  ")
    doubt = "" if one["certain"] else "  not proved"
    return Text.assemble(where, (f"{state.sign} {state.word}", state.style), f"  {moment(one['since'])}{doubt}")


def _copied(one: Document) -> str:
    return f"{one['state']}, read back {moment(one['verified_at'])}"
