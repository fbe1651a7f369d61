"""verdelta evidence, and verdelta rollout export: what auditors keep elsewhere, and whether the log holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group as Together
from rich.console import RenderableType
from rich.text import Text

from ..foundation.errors import InvalidInput
from . import profile, signs
from .command import Command, Group, connected
from .session import PATIENCE, Session, path_of
from .text import amount, plain, size


@click.group(cls=Group)
def evidence() -> None:
    """The log of evidence: its key, checkpoints, whether it holds.

    Whoever keeps the key and a checkpoint now and then where the controller cannot change them finds out when history
    was rewritten.
    """


@evidence.command(examples="verdelta evidence key > controller.pub")
@connected
def key(session: Session) -> None:
    """Print the public key that evidence is checked with."""
    found = session.api.get("evidence/key")
    session.show_alone(found, found["key"])


@evidence.command(examples="verdelta evidence checkpoint > 2026-11-22.checkpoint")
@connected
def checkpoint(session: Session) -> None:
    """Print the signed state of the log as it is now, to be kept elsewhere."""
    found = session.api.get("evidence/checkpoint")
    if session.for_people:
        click.echo(found["checkpoint"], nl=False)  # to the byte: it is signed
    else:
        session.show(found, lambda: "")


@evidence.command(
    examples="""
    verdelta evidence check
    verdelta evidence check --checkpoint 2026-11-22.checkpoint
    """
)
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    metavar="FILE",
    help="A checkpoint that was kept, with which the log has to agree; may be given several times.",
)
@connected
def check(session: Session, files: tuple[str, ...]) -> int:
    """Let the controller compute its whole log anew, and hold it against checkpoints that were kept.

    Exit code 1 when it does not hold. To check without trusting the controller: verdelta verify.
    """
    kept = [profile.read_text(Path(file)) for file in files]
    found = session.api.post("evidence/check", {"checkpoints": kept}, patience=PATIENCE)
    session.show(found, lambda: _log(found, len(kept)))
    return 0 if found["holds"] else 1


def _log(found: Mapping[str, Any], kept: int) -> RenderableType:
    """Return whether the log holds, and against how many checkpoints it was held."""
    if not found["holds"]:
        where = "" if found["first_broken"] is None else f" from entry {found['first_broken']} on"
        return Text(f"✖ does not hold{where}: {plain(found['reason'])}", style=signs.BAD)
    line = Text(f"✔ holds: {amount(found['entries'], 'entry', 'entries')}, root {plain(found['root'])}", signs.GOOD)
    if kept:
        return Together(line, Text(f"It agrees with {amount(kept, 'checkpoint')} kept elsewhere."))
    return Together(line, Text("Whether it was written anew as a whole, only a kept --checkpoint tells."))


@click.command(
    cls=Command,
    examples="""
    verdelta rollout export 12 --file rollout-12.evidence.json
    verdelta rollout export 12 > rollout-12.evidence.json
    """,
)
@click.argument("number", metavar="ID", type=int)
@click.option("--file", "target", default="-", metavar="FILE", help="Where to; standard output by default.")
@connected
def export(session: Session, number: int, target: str) -> None:
    """Write all that proves a roll-out into one file, which `verdelta verify` checks without this controller."""
    _write(session, session.api.fetch(path_of("rollouts", number, "evidence")), target)


@click.group("export", cls=Group)
def exports() -> None:
    """Files for others: the evidence of a release, checked anywhere."""


@exports.command(
    "evidence",
    examples="""
    verdelta export evidence labapp 1.1 --file labapp-1.1.evidence.json
    verdelta export evidence labapp 1.1 > labapp-1.1.evidence.json
    """,
)
@click.argument("name")
@click.argument("version")
@click.option("--file", "target", default="-", metavar="FILE", help="Where to; standard output by default.")
@connected
def export_evidence(session: Session, name: str, version: str, target: str) -> None:
    """Write all that proves a release into one file, which `verdelta verify` checks without this controller.

    Manifest, lock, bill of materials, sign-offs, rehearsals, roll-outs with the hosts' signed audits, and the proofs
    that all of it is in the log: an in-toto statement in a DSSE envelope.
    """
    _write(session, session.api.fetch(path_of("releases", name, version, "evidence")), target)


def _write(session: Session, content: bytes, target: str) -> None:
    """Write a file of evidence where it was asked for.  Raises InvalidInput."""
    try:
        with click.open_file(target, "wb", atomic=target != "-") as stream:
            stream.write(content)
    except OSError as error:
        raise InvalidInput(f"{target}: cannot be written: {error.strerror}", mend="Give another --file.") from error
    if target != "-":
        session.say(f"{target}: {size(len(content))}. Check it anywhere: verdelta verify {target} --key controller.pub")
