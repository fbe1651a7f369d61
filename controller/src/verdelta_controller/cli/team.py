"""verdelta team: people who do something together."""

import click

from . import render_people as render
from .command import Group, connected
from .session import Session, path_of


@click.group(cls=Group)
def team() -> None:
    """Teams: people who do something together.

    A team looks after an environment, or stands in: a role can be lent to everybody in it.
    """


@team.command(examples='verdelta team add deputies --purpose "stand in for release managers" --member bob')
@click.argument("name")
@click.option("--purpose", default="", help="What it is for, in a line.")
@click.option("--member", "members", multiple=True, metavar="PERSON", help="Who is in it.")
@connected
def add(session: Session, name: str, purpose: str, members: tuple[str, ...]) -> None:
    """Add a team."""
    made = session.api.post("teams", {"name": name, "purpose": purpose, "members": list(members)})
    session.show(made, lambda: render.teams([made]))


@team.command("list", examples="verdelta team list")
@connected
def list_teams(session: Session) -> None:
    """List the teams and who is in them."""
    found = session.api.get("teams")
    session.show(found, lambda: render.teams(found, session.wide))


@team.command(
    examples="""
    verdelta team members deputies
    verdelta team members deputies --add carol --remove bob
    """
)
@click.argument("name")
@click.option("--add", "coming", multiple=True, metavar="PERSON", help="Who comes into it.")
@click.option("--remove", "going", multiple=True, metavar="PERSON", help="Who goes.")
@connected
def members(session: Session, name: str, coming: tuple[str, ...], going: tuple[str, ...]) -> None:
    """Show who is in a team, or change it.

    A role that was lent to the team before stays with those it was lent to.
    """
    path = path_of("teams", name)
    changes = {"add": list(coming), "remove": list(going)}
    found = session.api.patch(path, changes) if coming or going else session.api.get(path)
    session.show(found, lambda: render.teams([found], session.wide))
