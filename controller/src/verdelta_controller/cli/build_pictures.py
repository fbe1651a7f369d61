"""verdelta release diff, sbom, lock: what is in packages, as documents and as pictures."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.text import Text

from . import output, signs
from .command import Command, connected
from .render import Column, listing
from .session import Session, path_of
from .text import amount, cut, moment, plain, size

_SIGNS = {"added": ("+", signs.GOOD), "removed": ("-", signs.BAD), "changed": ("~", signs.UNSURE)}


@click.command(
    cls=Command,
    examples="""
    verdelta release diff labapp@1.0 labapp@1.1
    verdelta release diff labapp@1.0 labapp@1.1 -o json
    """,
)
@click.argument("one")
@click.argument("other")
@connected
def diff(session: Session, one: str, other: str) -> int:
    """Show what differs between two packages, such as labapp@1.0 and labapp@1.1.

    Component by component, file by file, change by change. The exit code is 3 when something differs.
    """
    found = session.api.get("release-differences", one=one, other=other)
    session.show(found, lambda: _difference(found, session.wide))
    return 3 if any(found[name] for name in ("components", "playbooks", "changes", "fields")) else 0


@click.command(
    cls=Command,
    examples="""
    verdelta release sbom labapp 1.1 > labapp-1.1.cdx.json
    """,
)
@click.argument("name")
@click.argument("version")
@connected
def sbom(session: Session, name: str, version: str) -> None:
    """Print the bill of materials of a release, as CycloneDX 1.6.

    The same package gives the same document, byte for byte.
    """
    found = session.api.get(path_of("releases", name, version, "sbom"))
    output.show_document(found, "yaml" if session.output == "yaml" else "json")


@click.command(
    cls=Command,
    examples="""
    verdelta release components labapp
    verdelta release components labapp --component liblab
    """,
)
@click.argument("name")
@click.option("--component", default="", help="Only this one.")
@connected
def components(session: Session, name: str, component: str) -> None:
    """Show the way of each component to live operation.

    It begins with development or purchase, as manifests say. A line for each package in which its version, status or
    owner became another one.
    """
    found = session.api.get("release-components", release=name, component=component)
    columns = (
        Column("COMPONENT", lambda one: one["component"]),
        Column("VERSION", lambda one: one["version"]),
        Column("STATUS", lambda one: one["status"] or "not said"),
        Column("OWNER", lambda one: one["owner"]),
        Column("IN RELEASE", lambda one: one["release_version"]),
        Column("BUILT", lambda one: moment(one["built_at"])),
        Column("KIND", lambda one: one["kind"], wide=True),
        Column("PACKAGE", lambda one: one["package"], wide=True),
    )
    session.show(found, lambda: listing(found, columns, session.wide, "It has no components."))


@click.command(cls=Command, examples="verdelta release lock labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def lock(session: Session, name: str, version: str) -> None:
    """Show the final configuration of a release: every component, pinned.

    By its five parts: knowledge, information, hardware, software and infrastructure.
    """
    found = session.api.get(path_of("releases", name, version, "lock"))
    session.show(found, lambda: _configuration(found))


def _configuration(document: Mapping[str, Any]) -> Text:
    components = {component["ref"]: component for component in document["components"]}
    lines = [Text(plain(f"{document['release']} {document['version']}"), style="bold")]
    for part, refs in document["configuration"].items():
        lines.append(Text(f"{part}{'' if refs else ': none'}"))
        lines += [_component_line(components[ref]) for ref in refs]
    return Text("\n").join(lines)


def _component_line(component: Mapping[str, Any]) -> Text:
    told = [component.get(name) for name in ("status", "owner", "licence")]
    files = f"{amount(len(component['files']), 'file')}, {size(component['size'])}" if component.get("files") else ""
    said = ", ".join(plain(one) for one in [*told, files, component.get("sha256", "")[:12]] if one)
    return Text.assemble(f"  {plain(component['name'])} {plain(component['version'])}  ", (said, "dim"))


def _difference(document: Mapping[str, Any], wide: bool) -> Text:
    lines = list(_lines(document, 500 if wide else 60))
    counts = (
        amount(len(document["components"]), "component"),
        amount(len(document["changes"]), "declared change"),
    )
    names = f"{plain(document['one'])} → {plain(document['other'])}"
    last = f"{names}: {', '.join(counts)} differ." if lines else f"{names}: nothing differs."
    return Text("\n").join([*lines, Text(last)])


def _lines(document: Mapping[str, Any], most: int) -> Iterator[Text]:
    for component in document["components"]:
        versions = [component["before"], component["after"]]
        shown = " → ".join(dict.fromkeys(plain(version) for version in versions if version))
        yield _line(component["change"], f"{plain(component['name'])}  {component['kind']}  {shown}")
        yield from _fields([one for one in component["fields"] if one["field"] != "version"], most, "    ")
        yield from _files(component["files"], "    ")
    yield from _files(document["playbooks"], "")
    for change in document["changes"]:
        states = [plain(cut(_short(state), most)) for state in (change["before"], change["after"]) if state is not None]
        yield _line(change["change"], f"{change['section']}  {plain(change['key'])}  {' → '.join(states)}")
    yield from _fields(document["fields"], most, "")


def _fields(fields: list[Mapping[str, Any]], most: int, indent: str) -> Iterator[Text]:
    for one in fields:
        states = [
            cut(_short(state), most) if state is not None else "nothing" for state in (one["before"], one["after"])
        ]
        yield _line("changed", f"{plain(one['field'])}  {plain(' → '.join(states))}", indent)


def _files(files: list[Mapping[str, Any]], indent: str) -> Iterator[Text]:
    for one in files:
        states = [f"{side['sha256'][:12]} {size(side['size'])}" for side in (one["before"], one["after"]) if side]
        yield _line(one["change"], f"{plain(one['path'])}  {' → '.join(states)}", indent)


def _line(change: str, text: str, indent: str = "") -> Text:
    sign, style = _SIGNS[change]
    return Text.assemble((f"{sign} ", style), indent, text)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value)
