"""verdelta verify: check a file of evidence on a machine that has nothing but the file and a public key."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..foundation.errors import InvalidInput
from . import profile
from .command import OUTPUTS, Command
from .session import Session

if TYPE_CHECKING:
    from ..foundation.notes import NoteVerifier


@click.command(
    cls=Command,
    examples="""
    verdelta verify labapp-1.1.evidence.json --key controller.pub
    verdelta verify rollout-12.evidence.json --key controller.pub -o json
    """,
)
@click.argument("file")
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="FILE",
    help="File with the controller's public key, or the key itself (name+hash+key). May be given several times.",
)
@click.option(
    *("-o", "--output"),
    type=click.Choice(OUTPUTS),
    default="table",
    metavar="FORM",
    help="table, wide (everything, uncut), json or yaml.",
)
def verify(file: str, keys: tuple[str, ...], output: str) -> int:
    """Check evidence with nothing but its file and a public key.

    No controller is asked. Every signature, digest and proof is checked, and each verdict is worked out anew from
    what the hosts' agents have signed. The exit code is 0 when all of it holds, and 1 when anything does not; whether
    hosts are verified is another question, which the evidence answers.

    Get the key from whom you trust, not with the file: verdelta evidence key.
    """
    from ..rollouts import bundle_check, release_evidence, release_evidence_check
    from . import proof

    data = _read(file)
    check = release_evidence_check.verify if release_evidence.is_of_a_release(data) else bundle_check.verify
    report = check(data, trusted_keys(keys))
    session = Session(output)
    session.show(report.document(), lambda: proof.report(report, session.wide))
    return 0 if report.holds else 1


def trusted_keys(given: Sequence[str]) -> "list[NoteVerifier]":
    """Return the keys in files, one a line, or given as they are.  Raises InvalidInput."""
    from ..foundation.notes import NoteVerifier

    found = []
    for one in given:
        path = Path(one)
        written = one if one.count("+") >= 2 and not path.exists() else profile.read_text(path)
        lines = [line for line in written.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            raise InvalidInput(f"{one}: there is no key in it", mend="verdelta evidence key > controller.pub")
        try:
            found += [NoteVerifier.parse(line) for line in lines]
        except InvalidInput as error:
            raise InvalidInput(
                f"{one[:200]}: {error.message}", mend="verdelta evidence key > controller.pub"
            ) from error
    return found


def _read(file: str) -> bytes:
    from ..rollouts.release_evidence import LIMIT

    try:
        with Path(file).open("rb") as opened:
            return opened.read(LIMIT + 1)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror or error}") from error
