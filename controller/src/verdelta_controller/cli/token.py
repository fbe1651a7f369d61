"""verdelta token: the API tokens of people and programs."""

import click

from . import render
from .command import Group, connected
from .session import Session, path_of
from .text import moment

ROLES = (
    "administrator", "release-manager", "build-manager", "test-manager", "tester", "business-approver",
    "change-manager", "deployment-staff", "technician", "auditor",
)  # fmt: skip


@click.group(cls=Group)
def token() -> None:
    """The API tokens of people and programs.

    A role says what a token is for: an auditor reads, deployment staff audit and roll out, a release manager builds
    and authorises as well, an administrator does everything. No token signs, whatever its role: people do. The other
    roles are build-manager, test-manager, tester, business-approver, change-manager and technician.
    """


@token.command(
    examples="""
    verdelta token create ci --role deployment-staff --days 90
    verdelta token create ci --role deployment-staff > ci.token
    """
)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), metavar="ROLE", required=True, help="What it is for.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="Days until it expires.")
@connected
def create(session: Session, name: str, role: str, days: int) -> None:
    """Make a token, and print it: this once.

    The token stands alone on standard output. Give it to a program in VERDELTA_TOKEN or in a file (--token-file).
    """
    made = session.api.post("tokens", {"name": name, "role": role, "days": days})
    session.say(f"{made['name']} ({made['role']}), valid until {moment(made['expires_at'])}; it is not shown again.")
    session.show_alone(made, made["secret"])


@token.command("list", examples="verdelta token list")
@connected
def list_tokens(session: Session) -> None:
    """List the tokens, without their secrets."""
    found = session.api.get("tokens")
    session.show(found, lambda: render.tokens(found, session.wide))


@token.command(examples="verdelta token revoke ci")
@click.argument("name")
@connected
def revoke(session: Session, name: str) -> None:
    """End a token, and the page sessions that were opened with it; at once and for ever."""
    session.api.delete(path_of("tokens", name))
    session.say(f"{name} is revoked.")
