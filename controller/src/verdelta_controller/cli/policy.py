"""verdelta policy: what releases must have before they may go on."""

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from ..releases import located_yaml
from . import profile, signs
from .command import Group, connected
from .render import Column, listing
from .session import Session, path_of
from .text import moment, plain


@click.group(cls=Group)
def policy() -> None:
    """What releases must have before they may go on.

    That is the release policy: the gates before each state, for each type of release. A release is bound to the
    version that was in force when it was drafted.
    """


@policy.command(
    examples="""
    verdelta policy show > policy.yaml
    verdelta policy show 1
    """
)
@click.argument("number", type=int, required=False)
@connected
def show(session: Session, number: int | None) -> None:
    """Print the policy in force, or version NUMBER, as its author wrote it."""
    found = session.api.get(path_of("policies", number or "in-force"))
    if session.for_people:
        click.echo(found["source"], nl=False)
    else:
        session.show(found, lambda: "")


@policy.command("list", examples="verdelta policy list")
@connected
def list_policies(session: Session) -> None:
    """List the versions of the policy, the one in force first."""
    found = session.api.get("policies")
    columns = (
        Column("VERSION", lambda one: one["number"]),
        Column("POLICY", lambda one: one["name"]),
        Column("PUT", lambda one: moment(one["put_at"])),
        Column("BY", lambda one: one["put_by"]),
        Column("DIGEST", lambda one: one["digest"] if session.wide else one["digest"][:12]),
    )
    session.show(found, lambda: listing(found, columns, session.wide, "There is no policy."))


@policy.command(
    examples="""
    verdelta policy put policy.yaml --dry-run
    verdelta policy put policy.yaml
    """
)
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Check it; send nothing.")
@connected
def put(session: Session, file: str, dry_run: bool) -> None:
    """Put a policy in force, for releases that are drafted from now on.

    `verdelta policy shipped` prints those that come with Verdelta, to begin with.
    """
    from ..releases.policy import load_policy

    source = profile.read_text(Path(file), located_yaml.LIMIT)
    checked = load_policy(source, file)
    if dry_run:
        session.show(checked.document(), lambda: Text(plain(f"✔ {file}: can be put in force"), style=signs.GOOD))
        return
    made = session.api.post("policies", {"name": file[-500:], "policy": source})
    session.show(made, lambda: _put(made))


def _put(made: dict[str, Any]) -> Text:
    return Text(plain(f"✔ {made['name']} is in force, as version {made['number']}"), style=signs.GOOD)


@policy.command(
    examples="""
    verdelta policy shipped
    verdelta policy shipped standard > policy.yaml
    """
)
@click.argument("name", required=False)
def shipped(name: str | None) -> None:
    """List the policies that come with Verdelta, or print one of them."""
    from ..releases.policy import shipped_policies, shipped_policy

    click.echo("\n".join(shipped_policies()) + "\n" if name is None else shipped_policy(name)[0], nl=False)
