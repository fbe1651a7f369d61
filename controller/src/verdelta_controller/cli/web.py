"""verdelta web: the pages in a browser."""

import click

from .command import Group, connected
from .session import Session


@click.group(cls=Group)
def web() -> None:
    """The pages in a browser."""


@web.command(examples="verdelta web link")
@connected
def link(session: Session) -> None:
    """Print a link that opens the pages, once, within a quarter of an hour.

    Whoever opens it first is let in as the holder of your token: it is for your own browser.
    """
    made = session.api.post("page-links")
    session.show_alone(made, f"{session.api.url}{made['path']}")
