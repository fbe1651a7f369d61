"""Try the criteria of a package on one host of its rehearsal, and say of each how it came out.

What a host answers is data: a beginning of it is looked at, and nothing of it is followed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from verdelta_agent.model import Row, Sections

from ..fleet.channels import Channel
from ..fleet.tables import Host
from ..foundation.errors import VerdeltaError
from ..releases.acceptance import (
    OUTPUT_LIMIT,
    CommandCriterion,
    HttpCriterion,
    Outcome,
    Result,
    StateCriterion,
    judge_answer,
    judge_command,
    judge_state,
)
from ..releases.test_service import Found
from .seen import SYSTEM, SYSTEM_KEY

PATIENCE = 10.0  # seconds for an answer over HTTP

LoadSections = Callable[[Sequence[str]], Sections]


def sections_of(criteria: Sequence[Any]) -> list[str]:
    """Return the sections of the audit that criteria ask for."""
    return sorted({SYSTEM, *(c.section for c in criteria if isinstance(c, StateCriterion))})


def try_all(criteria: Sequence[Any], host: Host, sections: Sections, channel: Channel) -> list[Found]:
    """Return how those criteria came out that can be tried on a host; `sections` is what it was audited to be."""
    system = sections.get(SYSTEM)
    os_row = system.rows.get(SYSTEM_KEY) if system else None
    tried = ((criterion.id, _try(criterion, host, sections, os_row, channel)) for criterion in criteria)
    return [Found(name, host.name, result) for name, result in tried if result is not None]


def _try(criterion: Any, host: Host, sections: Sections, os_row: Row | None, channel: Channel) -> Result | None:
    """Return how a criterion came out; None when it is not for this host, or not for any."""
    if isinstance(criterion, StateCriterion):
        return judge_state(criterion, sections, os_row)
    if isinstance(criterion, CommandCriterion):
        return _command(criterion, channel)
    if isinstance(criterion, HttpCriterion):
        return _answer(criterion, host)
    return None


def _command(criterion: CommandCriterion, channel: Channel) -> Result:
    try:
        done = channel.run(criterion.run, timeout=float(criterion.timeout))
    except VerdeltaError as error:
        return Result(Outcome.UNKNOWN, error.message)
    return judge_command(criterion, done.status, done.output[:OUTPUT_LIMIT].decode(errors="replace"))


def _answer(criterion: HttpCriterion, host: Host) -> Result:
    address = "127.0.0.1" if host.reach == "local" else host.address
    if not address:
        return Result(Outcome.UNKNOWN, "the controller does not know the host's address")
    shown = f"[{address}]" if ":" in address else address
    url = f"http{'s' if criterion.tls else ''}://{shown}:{criterion.port}{criterion.path}"
    try:
        # A test host's own certificate is no secret's guard: nothing is sent to it.
        with (
            httpx.Client(verify=False, trust_env=False, timeout=PATIENCE, follow_redirects=False) as client,  # noqa: S501
            client.stream("GET", url) as answer,
        ):
            text = b""
            for piece in answer.iter_bytes():
                text += piece
                if len(text) >= OUTPUT_LIMIT:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Result(Outcome.FAILED, f"{url}: {type(error).__name__}: {error}"[:300])
    return judge_answer(criterion, answer.status_code, text[:OUTPUT_LIMIT].decode(errors="replace"))
