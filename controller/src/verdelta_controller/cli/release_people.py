"""verdelta release …: who does what in a release, what people sign, and what they put on record."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group as Together
from rich.text import Text

from ..foundation.errors import InvalidInput
from . import moments, profile, signs
from .command import Command, connected
from .release_test import bring_in
from .render import Column, listing
from .session import Session, is_interactive, path_of
from .text import moment, plain

PURPOSES = ("acceptance", "business", "implementation", "change")
DUTIES = ("release-manager", "build-manager", "test-manager", "tester", "business-approver", "change-manager")
SEVERITIES = ("low", "medium", "high", "critical")


# -- signing


@click.command(
    cls=Command,
    examples="""
    verdelta release sign labapp 1.1 acceptance
    verdelta release sign labapp 1.1 business --code-file code
    """,
)
@click.argument("name")
@click.argument("version")
@click.argument("purpose", type=click.Choice(PURPOSES))
@click.option("--code-file", metavar="FILE", help="File with a code of your second step, for scripts; - reads stdin.")
@connected
def sign(session: Session, name: str, version: str, purpose: str, code_file: str | None) -> None:
    """Sign a release, with a code of your second step.

    You sign as the person that you logged in as. What you sign is shown first, in words. The signature binds the
    package and what it may change: it is void when either changes. acceptance is signed by the test manager, business
    by the business approver, implementation by the release manager, change by the change manager; nobody signs on two
    sides of one release.
    """
    binding = session.api.get(path_of("releases", name, version, "sign-offs", purpose, "statement"))
    session.say(plain(binding["statement"]))
    order = {"subject": binding["subject"], "code": _code(code_file)}
    signed = session.api.post(path_of("releases", name, version, "sign-offs", purpose), order)
    line = f"✔ {name} {version} is signed for {purpose} by {signed['by']}"
    session.show(signed, lambda: Text(plain(line), style=signs.GOOD))


def _code(file: str | None) -> str:
    """Return a code of the second step: it is never an argument, which others on the machine could read."""
    if file == "-":
        return sys.stdin.read(100).strip()
    if file:
        return profile.read_text(Path(file), 100).strip()
    if not is_interactive():
        raise InvalidInput("a signature takes a code of your second step", mend="Give it: --code-file FILE")
    return str(click.prompt("Code of your second step, to sign this", hide_input=True, err=True)).strip()


@click.command("sign-offs", cls=Command, examples="verdelta release sign-offs labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def sign_offs(session: Session, name: str, version: str) -> None:
    """List what was signed, by whom, and whether it still holds."""
    found = session.api.get(path_of("releases", name, version, "sign-offs"))
    columns = (
        Column("FOR", lambda one: one["purpose"]),
        Column("BY", lambda one: one["by"] + (" (lent role)" if one["lent"] else "")),
        Column("SIGNED", lambda one: moment(one["signed_at"])),
        Column("PACKAGE", lambda one: one["package"] if session.wide else one["package"][:12]),
        Column("HOLDS", lambda one: f"void: {one['void_reason']}" if one["voided_at"] else "yes"),
        Column("STATEMENT", lambda one: one["statement"], wide=True),
    )
    session.show(found, lambda: listing(found, columns, session.wide, "Nobody has signed it yet."))


# -- duties


@click.command(cls=Command, examples="verdelta release people labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def people(session: Session, name: str, version: str) -> None:
    """List who stands on which side of a release."""
    found = session.api.get(path_of("releases", name, version, "people"))
    session.show(found, lambda: _people(found, session.wide))


def _people(found: list[dict[str, Any]], wide: bool) -> Any:
    columns = (
        Column("PERSON", lambda one: one["person"]),
        Column("SIDE", lambda one: one["side"]),
        Column("DUTIES", lambda one: one["duties"]),
        Column("SINCE", lambda one: moment(one["since"])),
        Column("BY", lambda one: one["reason"]),
    )
    return listing(found, columns, wide, "Nobody has done anything for it yet.")


@click.command(cls=Command, examples="verdelta release appoint labapp 1.1 tess test-manager")
@click.argument("name")
@click.argument("version")
@click.argument("person")
@click.argument("role", type=click.Choice(DUTIES))
@connected
def appoint(session: Session, name: str, version: str, person: str, role: str) -> None:
    """Appoint a person to a duty in a release.

    From then on nobody else does it. Who makes a release does not test it: a person on one side is refused on
    another, for good.
    """
    found = session.api.post(path_of("releases", name, version, "people"), {"person": person, "role": role})
    session.show(found, lambda: _people(found, session.wide))


# -- records


@click.command(
    cls=Command,
    examples="""
    verdelta release record labapp 1.1 security-scan --passed --report scan.sarif
    verdelta release record labapp 1.1 training --passed --note "12 of 12 attended"
    """,
)
@click.argument("name")
@click.argument("version")
@click.argument("what")
@click.option("--passed/--failed", "passed", required=True, help="How it came out.")
@click.option("--note", default="", help="What there is to say of it.")
@click.option("--report", metavar="FILE", help="A file that shows it; it is kept in the library.")
@connected
def record(session: Session, name: str, version: str, what: str, passed: bool, note: str, report: str | None) -> None:
    """Put on record that something was done.

    It is something that the policy asks for, and it counts for the present package alone.
    """
    order: dict[str, Any] = {"of": what, "passed": passed, "note": note}
    if report:
        order["artifact"] = bring_in(session, Path(report))
    made = session.api.post(path_of("releases", name, version, "records"), order)
    session.show(made, lambda: Text(plain(f"✔ {what} is recorded, by {made['recorded_by']}"), style=signs.GOOD))


@click.command("known-errors", cls=Command, examples="verdelta release known-errors labapp 1.1")
@click.argument("name")
@click.argument("version")
@connected
def known_errors(session: Session, name: str, version: str) -> None:
    """List the known errors, with how to live with them."""
    found = session.api.get(path_of("releases", name, version, "known-errors"))
    columns = (
        Column("NUMBER", lambda one: one["id"]),
        Column("SEVERITY", lambda one: one["severity"]),
        Column("STATE", lambda one: one["state"]),
        Column("TITLE", lambda one: one["title"]),
        Column("WORKAROUND", lambda one: one["workaround"]),
        Column("RESOLUTION", lambda one: one["resolution"], wide=True),
        Column("FOUND BY", lambda one: one["found_by"], wide=True),
    )
    session.show(found, lambda: listing(found, columns, session.wide, "No error is known."))


@click.command(
    "known-error",
    cls=Command,
    examples="""
    verdelta release known-error labapp 1.1 "loses its settings" --severity high --workaround "keep a copy"
    """,
)
@click.argument("name")
@click.argument("version")
@click.argument("title")
@click.option("--severity", type=click.Choice(SEVERITIES), required=True, help="How much it hurts.")
@click.option("--workaround", default="", help="How to live with it.")
@click.option("--component", default="", help="The component that has it.")
@connected
def known_error(
    session: Session, name: str, version: str, title: str, severity: str, workaround: str, component: str
) -> None:
    """Write down an error that was found."""
    order = {"title": title, "severity": severity, "workaround": workaround, "component": component}
    made = session.api.post(path_of("releases", name, version, "known-errors"), order)
    session.show(made, lambda: Text(plain(f"✔ known error {made['id']}: {title}"), style=signs.GOOD))


@click.command(
    cls=Command,
    examples="""
    verdelta release resolve 3 --fixed "built anew with the settings kept"
    verdelta release resolve 3 --accepted "nobody uses it before March"
    """,
)
@click.argument("number", type=int)
@click.option("--fixed", metavar="TEXT", help="How it was mended.")
@click.option("--accepted", metavar="TEXT", help="Why it is accepted as it is.")
@connected
def resolve(session: Session, number: int, fixed: str | None, accepted: str | None) -> None:
    """Say that a known error is fixed, or accepted as it is."""
    if bool(fixed) == bool(accepted):
        raise InvalidInput("an error is fixed or accepted", mend='Say which: --fixed "how", or --accepted "why"')
    order = {"state": "fixed" if fixed else "accepted", "resolution": fixed or accepted}
    done = session.api.post(path_of("known-errors", number, "resolution"), order)
    session.show(done, lambda: Text(plain(f"✔ known error {number} is {done['state']}"), style=signs.GOOD))


# -- waivers


@click.command(
    cls=Command,
    examples="""
    verdelta release waive labapp 2.0 "document design" --reason "as 1.0" --until 2026-12-24T00:00:00Z
    """,
)
@click.argument("name")
@click.argument("version")
@click.argument("gate")
@click.option("--reason", required=True, help="Why the release may go without it.")
@click.option("--until", required=True, metavar="MOMENT", help="When the waiver ends, such as 2027-01-15T08:00.")
@connected
def waive(session: Session, name: str, version: str, gate: str, reason: str, until: str) -> None:
    """Ask for a gate to be waived.

    It is waived once a second person grants it. A sign-off is never waived.
    """
    order = {"gate": gate, "reason": reason, "expires_at": moments.parse(session, "--until", until).isoformat()}
    made = session.api.post(path_of("releases", name, version, "waivers"), order)
    session.show(made, lambda: _asked(made))


def _asked(made: Mapping[str, Any]) -> Together:
    first = Text(plain(f"✔ waiver {made['id']} of {made['gate']} is asked for"), style=signs.GOOD)
    return Together(first, Text(f"A second person grants it: verdelta release grant {made['id']}"))


@click.command(cls=Command, examples="verdelta release grant 2")
@click.argument("number", type=int)
@connected
def grant(session: Session, number: int) -> None:
    """Grant a waiver that somebody else asked for."""
    done = session.api.post(path_of("waivers", number, "grant"))
    line = f"✔ {done['gate']} is waived until {moment(done['expires_at'])}, by {done['granted_by']}"
    session.show(done, lambda: Text(plain(line), style=signs.GOOD))


@click.command(cls=Command, examples="verdelta release waivers labapp 2.0")
@click.argument("name")
@click.argument("version")
@connected
def waivers(session: Session, name: str, version: str) -> None:
    """List the waivers, asked for and granted."""
    found = session.api.get(path_of("releases", name, version, "waivers"))
    columns = (
        Column("NUMBER", lambda one: one["id"]),
        Column("GATE", lambda one: one["gate"]),
        Column("REASON", lambda one: one["reason"]),
        Column("ASKED BY", lambda one: one["asked_by"]),
        Column("GRANTED BY", lambda one: one["granted_by"] or "nobody yet"),
        Column("UNTIL", lambda one: moment(one["expires_at"])),
    )
    session.show(found, lambda: listing(found, columns, session.wide, "No waiver was asked for."))
