"""Pictures of the library: its lists, one artifact with all that is known of it, checks and sites.  Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from . import signs
from .render import Column, facts, listing
from .signs import sign_of
from .text import amount, moment, plain, size

Document = Mapping[str, Any]
SHOWN = 20  # names of one kind of finding


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
    line = f"{plain(document['file_name'])}  {size(document['size'])}  sha256 {plain(document['sha256'][:12])}  "
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


# -- checks and sites


def check(document: Document) -> RenderableType:
    """Return what a check of the whole library found."""
    head = f"{amount(document['intact'], 'file')} intact, {size(document['bytes'])}"
    if not document["wrong"]:
        lines = [Text(f"✔ {head}", style=signs.GOOD)]
    else:
        lines = [Text(f"✖ {head}; {document['wrong']} not as they should be", style=signs.BAD)]
    lines += _named(document, "damaged", "verdelta library restore, or add FILE --again")
    lines += _named(document, "missing", "verdelta library restore, or add FILE")
    lines += _named(document, "foreign", "nobody brought it in: look where it comes from")
    lines += _named(document, "quarantined", "it was refused when it came in")
    return Group(*lines)


def site_report(site: str, document: Document) -> RenderableType:
    """Return what a site holds."""
    wrong = document["missing"]["count"] + document["damaged"]["count"] + len(document["failed"])
    head = f"{plain(site)}: {amount(document['complete'], 'file')} complete, {size(document['bytes'])}"
    copied = f"; {document['copied']} copied now" if document["copied"] else ""
    lines = [Text(f"{'✖' if wrong else '✔'} {head}{copied}", style=signs.BAD if wrong else signs.GOOD)]
    lines += _named(document, "missing", f"verdelta library replicate {plain(site)}")
    lines += _named(document, "damaged", f"verdelta library replicate {plain(site)}")
    lines += _named(document, "extra", "not of this library")
    lines += [Text(f"  failed  {plain(digest[:12])}  {plain(why)}") for digest, why in document["failed"].items()]
    return Group(*lines)


def sites(documents: Sequence[Document], wide: bool = False) -> RenderableType:
    """Return the list of sites."""
    columns = (
        Column("SITE", lambda one: one["name"]),
        Column("KIND", lambda one: one["kind"]),
        Column("LOCATION", lambda one: one["location"]),
        Column("COMPLETE", lambda one: one["report"].get("complete", "")),
        Column("MISSING", lambda one: _count(one, "missing")),
        Column("DAMAGED", lambda one: _count(one, "damaged")),
        Column("EXTRA", lambda one: _count(one, "extra")),
        Column("LOOKED AT", lambda one: moment(one["report"].get("at"))),
    )
    return listing(documents, columns, wide, "There is no site: verdelta library site add")


def retired(document: Document) -> RenderableType:
    """Return what was retired."""
    name = plain(f"{document['name']} {document['version']}")
    lines = [Text(f"✔ {name} is retired: {amount(len(document['artifacts']), 'artifact')}", style=signs.GOOD)]
    if document["kept"]:
        lines.append(Text(f"  {len(document['kept'])} more are used by versions that are not retired."))
    if document["artifacts"]:
        lines.append(Text(f"To free the space: verdelta library archive SITE --release {name}"))
    return Group(*lines)


def archived(document: Document) -> Text:
    """Return what went to the archive."""
    said = f"✔ {amount(document['archived'], 'artifact')} at {document['site']}, {size(document['freed'])} freed here"
    return Text(plain(said), style=signs.GOOD)


def restored(document: Document) -> Text:
    """Return what came back."""
    said = f"✔ {document['sha256'][:12]}, {size(document['size'])}, is back from {document['site']}, verified"
    return Text(plain(said), style=signs.GOOD)


def _named(document: Document, kind: str, mend: str) -> list[Text]:
    """Return the names of one kind of finding, and what to do about them."""
    found = document[kind]
    if not found["count"]:
        return []
    shown = [Text(f"    {plain(name)}") for name in found["first"][:SHOWN]]
    more = [Text(f"    and {found['count'] - len(shown)} more")] if found["count"] > len(shown) else []
    return [Text(f"  {found['count']} {kind}: {mend}"), *shown, *more]


def _count(site: Document, kind: str) -> object:
    return site["report"][kind]["count"] if site["report"] else ""


# -- one artifact's facts


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
