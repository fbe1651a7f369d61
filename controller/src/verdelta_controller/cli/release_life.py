"""verdelta release …: a release from draft to closed, and its checklist."""

from itertools import groupby
from typing import Any

import click
from rich.console import Group as Together
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from . import moments, signs
from .command import Command, connected
from .session import Session, confirm, path_of
from .text import amount, moment, plain

TYPES = ("major", "minor", "emergency")


@click.command(
    cls=Command,
    examples="""
    verdelta release draft labapp 1.2 --type minor --service lab
    verdelta release draft labapp 2.0 --type major --service lab --planned-for 2027-01-15T08:00:00+01:00
    """,
)
@click.argument("name")
@click.argument("version")
@click.option("--type", "kind", type=click.Choice(TYPES), required=True, help="How much it brings, and how fast.")
@click.option("--service", required=True, help="The service that it belongs to.")
@click.option("--planned-for", metavar="MOMENT", help="When it is to be deployed, such as 2027-01-15T08:00.")
@connected
def draft(session: Session, name: str, version: str, kind: str, service: str, planned_for: str | None) -> None:
    """Begin to plan a release, before anything is built.

    From here on it is bound to the policy in force, and `release gates` shows what it will need.
    """
    order = {"name": name, "version": version, "type": kind, "service": service}
    if planned_for:
        order["planned_for"] = moments.parse(session, "--planned-for", planned_for).isoformat()
    made = session.api.post("releases/drafts", order)
    session.show(made, lambda: _line(made, "drafted", f"verdelta release gates {name} {version}"))


@click.command(
    cls=Command,
    examples="""
    verdelta release gates labapp 1.1
    verdelta release gates labapp 1.1 --open
    """,
)
@click.argument("name")
@click.argument("version")
@click.option("--open", "only_open", is_flag=True, help="Only what is left to do.")
@connected
def gates(session: Session, name: str, version: str, only_open: bool) -> int:
    """Show what a release must have, and whose turn it is.

    Gate by gate, before each state: met, not met or waived, by what and whom. Exit code 3 while a gate is not met.
    """
    found = session.api.get(path_of("releases", name, version, "gates"))
    left = [gate for gate in found["gates"] if gate["status"] in ("not_met", "owed")]
    session.show(found, lambda: checklist(found, left if only_open else found["gates"], len(left)))
    return 3 if left else 0


def checklist(document: dict[str, Any], shown: list[dict[str, Any]], left: int) -> RenderableType:
    """Return the picture of a checklist, state by state."""
    head = Text(plain(f"{document['release']} {document['version']}"), style="bold")
    head.append(plain(f"  {document['state'].replace('_', ' ')}, by the policy {document['policy']}"), style="none")
    head.append(f" (version {document['policy_version']})")
    table = Table.grid(padding=(0, 2))
    for before, lines in groupby(shown, lambda line: str(line["before"])):
        table.add_row(Text(f"before {before.replace('_', ' ')}", style="dim"))
        for line in lines:
            sign = signs.sign_of(signs.GATES, line["status"])
            said = plain(line["evidence"]) + (f", {plain(line['by'])}" if line["by"] else "")
            said += f", {moment(line['at'])[:16]}" if line["at"] else ""
            table.add_row(Text(f"  {sign.sign} {plain(line['gate'])}", style=sign.style), Text(sign.word), Text(said))
            if line["action"]:
                table.add_row("", "", Text(plain(f"→ {line['action_for']}: {line['action']}"), style="cyan"))
    if not document["gates"]:
        table.add_row(Text("The policy asks for nothing: nobody else looks at this release."))
    total = len(document["gates"])
    last = Text(f"{amount(total - left, 'gate')} of {total} met or waived" if total else "")
    if not left and document["state"] in ("built", "accepted"):
        last.append(plain(f"\nNext: verdelta release authorise {document['release']} {document['version']}"))
    return Together(head, table, last)


@click.command(cls=Command, examples='verdelta release reject labapp 1.1 --reason "loses its settings"')
@click.argument("name")
@click.argument("version")
@click.option("--reason", required=True, help="Why it cannot be accepted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def reject(session: Session, name: str, version: str, reason: str, yes: bool) -> None:
    """Send a release that is in test back to be built anew.

    Whatever was signed of it is void. Write down what is wrong with `release known-error` first.
    """
    confirm(f"Reject {name} {version}?", yes=yes)
    done = session.api.post(path_of("releases", name, version, "rejection"), {"reason": reason})
    session.show(done, lambda: _line(done, "rejected", "verdelta release build"))


@click.command(cls=Command, examples="verdelta release close labapp 1.1")
@click.argument("name")
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def close(session: Session, name: str, version: str, yes: bool) -> None:
    """Close a release that is deployed, and owes nothing."""
    confirm(f"Close {name} {version}? Nothing of it can be changed afterwards.", yes=yes)
    done = session.api.post(path_of("releases", name, version, "closure"))
    session.show(done, lambda: _line(done, "closed"))


@click.command(cls=Command, examples="verdelta release cancel labapp 1.1 --yes")
@click.argument("name")
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def cancel(session: Session, name: str, version: str, yes: bool) -> None:
    """Give a release up that was not deployed."""
    confirm(f"Cancel {name} {version}? It cannot be taken up again.", yes=yes)
    done = session.api.post(path_of("releases", name, version, "cancellation"))
    session.show(done, lambda: _line(done, "cancelled"))


def _line(document: dict[str, Any], what: str, following: str = "") -> Text:
    line = Text(plain(f"✔ {document['name']} {document['version']} is {what}"), style=signs.GOOD)
    if following:
        line.append("\n").append(plain(f"Next: {following}"), style="none")
    return line
