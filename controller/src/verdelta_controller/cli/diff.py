"""verdelta diff: what is different on a host, between two of its states or after a roll-out."""

from collections.abc import Mapping
from typing import Any

import click

from ..foundation.errors import GateClosed, InvalidInput
from . import deltas, output, render, signs
from .command import Command, connected
from .session import Session, path_of
from .signs import sign_of

Document = Mapping[str, Any]


@click.command(
    cls=Command,
    examples="""
    verdelta diff web-07
    verdelta diff web-07 --before 12 --after 15
    verdelta diff web-07 --rollout 12
    """,
)
@click.argument("host")
@click.option("--before", type=int, metavar="STATE", help="The earlier state: a number of `verdelta host show`.")
@click.option("--after", type=int, metavar="STATE", help="The later state; the newest one by default.")
@click.option("--rollout", type=int, metavar="ID", help="What a roll-out changed there, with the verdict on each row.")
@connected
def diff(session: Session, host: str, before: int | None, after: int | None, rollout: int | None) -> int:
    """Show what is different on a host: between two states, or after a roll-out.

    Without options, between its last two states. `+` added, `-` removed, `~` changed, `=` as it was, `!` not as
    authorised; the last line says how complete the evidence is. Exit code 3 when there are differences, 0 when there
    are none, 1 when there are none and not everything could be compared.
    """
    if rollout is None:
        found = session.api.get(path_of("hosts", host, "delta"), before=before, after=after)
        session.show(found, lambda: deltas.delta(found, output.console().width, session.wide))
        accepted = session.api.get(path_of("hosts", host))["accepted_gaps"] if found["unknown"] else []
        return 3 if found["changes"] else int(bool(render.unseen(found, accepted)))
    if before is not None or after is not None:
        raise InvalidInput("--rollout names the two states itself", mend="Leave --before and --after out.")
    document = session.api.get(path_of("rollouts", rollout, "hosts", host))
    return show_verdict(session, document, rollout)


def show_verdict(session: Session, document: Document, rollout: int) -> int:
    """Print the verdict on a host, and return the exit code of what is different.  Raises GateClosed before it is."""
    if document["state"] not in (*VERDICTS, "indeterminate", "failed"):
        word = sign_of(signs.HOSTS, document["state"]).word
        raise GateClosed(
            f"{document['host']} has no verdict yet: {word}", mend=f"Watch it: verdelta rollout status {rollout} -w"
        )
    compared = delta_of(session, document)
    session.show(document, lambda: deltas.verdict(document, compared, output.console().width, session.wide))
    if any(item["outcome"] != "matched" or item["before"] != item["after"] for item in document["items"]):
        return 3
    return 0 if document["state"] in PROVED else 1


PROVED = ("verified", "backed_out")
VERDICTS = (*PROVED, "at_variance", "back_out_failed")


def delta_of(session: Session, document: Document) -> Document | None:
    """Return what the two snapshots of a verdict differ in, or None where there are not two."""
    before, after = document["before_snapshot"], document["after_snapshot"]
    if before is None or after is None or not session.for_people:
        return None
    found: Document = session.api.get(path_of("hosts", document["host"], "delta"), before=before, after=after)
    return found
