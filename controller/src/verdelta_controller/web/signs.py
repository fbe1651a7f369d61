"""States as the pages show them: a sign, a word and a tone, never a colour alone.

`sign` is the name of a symbol in signs.svg.html.  The keys are the words of the tables that hold the states; a test
holds this file against them.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple


class Sign(NamedTuple):
    """How a state is shown."""

    sign: str
    word: str
    tone: str


GOOD, BAD, UNSURE, BUSY, IDLE = "good", "bad", "unsure", "busy", "idle"

HOSTS: dict[str, Sign] = {
    "pending": Sign("dot", "waiting", IDLE),
    "auditing_before": Sign("look", "auditing before", BUSY),
    "ready": Sign("look", "ready", BUSY),
    "installing": Sign("play", "installing", BUSY),
    "awaiting_hands": Sign("pause", "awaiting hands", UNSURE),
    "rebooting": Sign("turn", "rebooting", BUSY),
    "auditing_after": Sign("look", "auditing after", BUSY),
    "verified": Sign("check", "verified", GOOD),
    "at_variance": Sign("cross", "at variance", BAD),
    "indeterminate": Sign("question", "indeterminate", UNSURE),
    "failed": Sign("cross", "failed", BAD),
    "backing_out": Sign("back", "backing out", BUSY),
    "backed_out": Sign("back", "backed out", GOOD),
    "back_out_failed": Sign("cross", "back-out failed", BAD),
}
WAVES: dict[str, Sign] = {
    "waiting": Sign("dot", "waiting", IDLE),
    "running": Sign("play", "running", BUSY),
    "passed": Sign("check", "passed", GOOD),
    "paused": Sign("pause", "paused", UNSURE),
    "stopped": Sign("stop", "stopped", UNSURE),
}
ROLLOUTS: dict[str, Sign] = {
    "running": Sign("play", "running", BUSY),
    "suspended": Sign("pause", "suspended", UNSURE),
    "finished": Sign("check", "finished", GOOD),
    "cancelled": Sign("stop", "cancelled", UNSURE),
    "backing_out": Sign("back", "backing out", BUSY),
    "backed_out": Sign("back", "backed out", GOOD),
}
OUTCOMES: dict[str, Sign] = {
    "matched": Sign("check", "matched", GOOD),
    "missing": Sign("missing", "missing", BAD),
    "unexpected": Sign("bang", "unexpected", BAD),
    "drift": Sign("unequal", "drift", UNSURE),
    "waived": Sign("check", "waived", UNSURE),
}
SECTIONS: dict[str, Sign] = {
    "ok": Sign("check", "complete", GOOD),
    "partial": Sign("question", "partial", UNSURE),
    "absent": Sign("dot", "not on this host", IDLE),
    "failed": Sign("cross", "unreadable", BAD),
}
OPERATIONS: dict[str, Sign] = {
    "added": Sign("plus", "added", "added"),
    "removed": Sign("minus", "removed", "removed"),
    "changed": Sign("tilde", "changed", "changed"),
}


def sign_of(table: dict[str, Sign], state: str) -> Sign:
    """Return how a state is shown; one that this version does not know yet is shown as it is."""
    return table.get(state) or Sign("question", state.replace("_", " "), UNSURE)


def in_order(counts: Mapping[str, int]) -> list[tuple[Sign, int]]:
    """Return how many hosts are in which state, in the order of the bar: the good, the bad, and what is to come."""
    tones = (GOOD, BAD, UNSURE, BUSY, IDLE)
    counted = [(sign_of(HOSTS, state), count) for state, count in counts.items() if count]
    return sorted(counted, key=lambda one: (tones.index(one[0].tone), one[0].word))


def shares(counts: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """Return the bar of the states of some hosts: tone, start and width of each stretch, in thousandths.

    What is still to come is left free.
    """
    total, start, found = sum(counts.values()), 0, list[tuple[str, float, float]]()
    for tone, stretch in groupby(in_order(counts), key=lambda one: one[0].tone):
        width = sum(count for _, count in stretch)
        if tone != IDLE:
            found.append((tone, round(start * 1000 / total, 2), round(width * 1000 / total, 2)))
        start += width
    return found
