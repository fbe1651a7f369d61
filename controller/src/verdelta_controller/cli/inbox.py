"""verdelta inbox: all that waits for you; and how much that is, wherever you are."""

import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..foundation.errors import VerdeltaError
from . import profile
from .command import Command, connected
from .session import Session
from .text import amount, moment, plain

if TYPE_CHECKING:
    from .client import Api


@click.command(
    cls=Command,
    examples="""
    verdelta inbox
    verdelta inbox -o json
    """,
)
@connected
def inbox(session: Session) -> None:
    """Show all that waits for you, with the command for each.

    What has waited longest comes first: gates of releases that a role of yours is to meet, reviews, waivers, releases
    that can go on, roll-outs that are suspended, bookings that conflict, roles lent to you that end soon. What cannot
    be yours, since you stand on another side of the release, is left out.
    """
    found = session.api.get("inbox")
    session.show(found, lambda: picture(found))


def picture(document: dict[str, Any]) -> RenderableType:
    """Return the picture of an inbox: two lines an entry, so that its command can be copied whole."""
    if document["note"]:
        return Text(plain(document["note"]))
    if not document["entries"]:
        return Text("Nothing waits for you.")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for entry in document["entries"]:
        role = f"{entry['role']}{' (lent)' if entry['lent'] else ''}, " if entry["role"] else ""
        table.add_row(Text(plain(entry["release"]) or "-"), Text(plain(entry["what"])))
        table.add_row("", Text(f"{plain(role)}since {moment(entry['since'])[:16]} UTC", style="dim"))
        table.add_row("", Text(plain(f"→ {entry['action']}"), style="cyan"))
    return Group(table, Text(waiting(document["count"])))


def waiting(count: int) -> str:
    """Return how much waits, as a sentence."""
    return (
        f"{amount(count, 'thing')} {'waits' if count == 1 else 'wait'} for you." if count else "Nothing waits for you."
    )


def count_of(api: "Api") -> int | None:
    """Return how much waits for whoever asks, None where that cannot be had now.

    It is said beside something else, which has been done: that fails for no such reason.
    """
    try:
        return int(api.glance("inbox/count")["count"])
    except VerdeltaError:
        return None


def remind(session: Session) -> None:
    """Tell a person at a terminal, after something else, that something waits for her."""
    if not (session.for_people and sys.stdout.isatty() and sys.stderr.isatty()) or session.has_own_token:
        return
    if profile.read_login(session.profile_path) is not None and (count := count_of(session.api)):
        session.say(f"{waiting(count)}  verdelta inbox")
