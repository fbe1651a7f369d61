"""Two snapshots of a host as the rules look at them, wherever they lie: in the database, or in a file of evidence.

Pure, so that whoever checks a verdict later, elsewhere, comes to it in the very same way.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from verdelta_agent.delta import Change, Delta
from verdelta_agent.model import Digested, Row

from ..releases.expectations import Expectation, applicable
from . import rules
from .rules import RowsOf
from .verdict import Verdict, gaps_between

SYSTEM = "system.host"  # the section, and the key in it, that say what operating system a host runs
SYSTEM_KEY = "os"


class Seen(NamedTuple):
    """One snapshot: what is known of each section, and the rows of those that are asked for."""

    sections: Mapping[str, Digested]
    rows: RowsOf


def sections_asked_for(changes: Collection[Expectation]) -> AbstractSet[str]:
    """Return the sections whose rows a verdict asks for, whether they changed or not."""
    return {SYSTEM, *(change.section for change in changes)}


def judge(
    changes: Sequence[Expectation],
    before: Seen,
    after: Seen,
    delta: Delta,
    drift: Sequence[Change],
    accepted_gaps: Collection[str],
) -> Verdict:
    """Return the verdict of a host whose install has ended, by those of the authorised changes that are for it."""
    return rules.judge(
        applicable(changes, _system(before)),
        delta,
        before.rows,
        after.rows,
        drift,
        gaps_between(before.sections, after.sections),
        frozenset(accepted_gaps),
    )


def judge_restored(before: Seen, after: Seen, delta: Delta, accepted_gaps: Collection[str]) -> Verdict:
    """Return whether a host is again what it was before the install."""
    return rules.back_out_verdict(delta, gaps_between(before.sections, after.sections), frozenset(accepted_gaps))


def _system(seen: Seen) -> Row | None:
    return seen.rows(SYSTEM).get(SYSTEM_KEY)
