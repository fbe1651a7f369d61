"""verdelta credential: the SSH keys that hosts are reached with."""

import sys
from pathlib import Path

import click

from . import profile, render
from .command import Group, connected
from .session import Session

KEY_LIMIT = 20_000


@click.group(cls=Group)
def credential() -> None:
    """The SSH keys that hosts are reached with.

    They are kept sealed by the controller, and shown to nobody.
    """


@credential.command(
    examples="""
    ssh-keygen -t ed25519 -N '' -f verdelta-key
    verdelta credential add deploy-key --private-key verdelta-key
    """
)
@click.argument("name")
@click.option(
    "--private-key", required=True, metavar="FILE", help="The private key, without passphrase; - reads stdin."
)
@connected
def add(session: Session, name: str, private_key: str) -> None:
    """Give the controller an SSH private key, with which it reaches hosts.

    Make one for it alone: its public half goes into authorized_keys on the hosts.
    """
    text = sys.stdin.read(KEY_LIMIT) if private_key == "-" else profile.read_text(Path(private_key), KEY_LIMIT)
    made = session.api.post("credentials", {"name": name, "private_key": text})
    session.show(made, lambda: render.credentials([made]))


@credential.command("list", examples="verdelta credential list")
@connected
def list_credentials(session: Session) -> None:
    """List the credentials, without their secrets."""
    found = session.api.get("credentials")
    session.show(found, lambda: render.credentials(found, session.wide))
