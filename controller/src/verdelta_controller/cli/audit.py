"""verdelta audit and verdelta inventory: what hosts look like, asked anew or as last known."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Group
from rich.text import Text

from ..foundation.errors import InvalidInput
from . import deltas, output, parallel, render
from .command import Command, connected
from .session import PATIENCE, Session, path_of
from .text import plain


@click.command(
    cls=Command,
    examples="""
    verdelta audit web-07
    verdelta audit web-07 web-08 --changes
    verdelta audit --group web --environment live
    """,
)
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--group", default="", help="The hosts of this group.")
@click.option("--environment", default="", help="The hosts of this environment.")
@click.option("--changes", is_flag=True, help="Print what changed since the last known state, row by row.")
@connected
def audit(session: Session, hosts: tuple[str, ...], group: str, environment: str, changes: bool) -> int:
    """Ask hosts for a fresh, signed audit, and say what changed.

    One line a host: the root of its state, the sections that were read, and what is different from its last known
    state. Exit code 3 when something changed; 1 when a host could not be audited, or not be compared.
    """
    chosen = {host["name"]: host for host in choose(session, hosts, group, environment)}

    def accepted(document: Mapping[str, Any]) -> Sequence[str]:
        gaps: Sequence[str] = chosen[document["host"]]["accepted_gaps"]
        return gaps

    documents, errors = parallel.each(
        session,
        "auditing",
        list(chosen),
        lambda name: session.api.post(path_of("hosts", name, "audits"), patience=PATIENCE),
        lambda document: render.audit(document, accepted(document), session.wide),
    )
    if not session.for_people:
        session.show(documents, lambda: Text(""))
    elif changes:
        for document in documents:
            if document["delta"] is not None and document["delta"]["changes"]:
                output.show(_changes(document, session.wide), wide=session.wide)
    found = [(document["delta"], accepted(document)) for document in documents if document["delta"] is not None]
    changed = any(delta["changes"] for delta, _ in found)
    return parallel.exit_code(errors, 3 if changed else int(any(render.unseen(*one) for one in found)))


def choose(session: Session, names: Sequence[str], group: str, environment: str) -> list[Mapping[str, Any]]:
    """Return the hosts that are meant, before anything is done to any.  Raises InvalidInput."""
    if not (names or group or environment):
        raise InvalidInput("no host was named", mend="Name hosts, a --group or an --environment.")
    if not names:
        found: list[Mapping[str, Any]] = session.api.get("hosts", group=group, environment=environment)
        return found
    hosts = [session.api.get(path_of("hosts", name)) for name in dict.fromkeys(names)]
    chosen = [
        host
        for host in hosts
        if (not group or group in host["groups"]) and (not environment or host["environment"] == environment)
    ]
    if not chosen:
        raise InvalidInput(f"none of the hosts that are named is in {group or environment}")
    return chosen


def _changes(document: Mapping[str, Any], wide: bool) -> Group:
    width = output.console().width
    return Group(Text(f"\n{plain(document['host'])}", style="bold"), deltas.delta(document["delta"], width, wide))


@click.command(
    cls=Command,
    examples="""
    verdelta inventory web-07
    verdelta inventory web-07 software.dpkg system.units
    verdelta inventory web-07 hardware -o json
    """,
)
@click.argument("host")
@click.argument("sections", nargs=-1, metavar="[SECTION]...")
@connected
def inventory(session: Session, host: str, sections: tuple[str, ...]) -> None:
    """Show what a host looks like, section by section.

    It is the last known state; `verdelta audit` asks for a fresh one. A section is named in full, or by its first
    part: hardware, software, system. With -o wide also what is volatile (free space, uptime) and never compared.
    """
    named = _named(session, host, sections) if sections else []
    found = session.api.get(path_of("hosts", host, "inventory"), section=named)
    session.show(found, lambda: render.inventory(found, session.wide))


def _named(session: Session, host: str, wanted: Sequence[str]) -> list[str]:
    """Return the host's sections that are meant.  Raises InvalidInput, which names the nearest."""
    states = session.api.get(path_of("hosts", host, "snapshots"), limit=1)
    known = sorted(states[0]["sections"]) if states else []
    for name in wanted:
        if known and not any(_is_in(section, name) for section in known):
            names = [*known, *{section.partition(".")[0] for section in known}]
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            mend = f"did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
            raise InvalidInput(f"{host} has no section {name!r}", mend=mend)
    return [section for section in known if any(_is_in(section, name) for name in wanted)]


def _is_in(section: str, name: str) -> bool:
    return section == name or section.startswith(f"{name}.")
