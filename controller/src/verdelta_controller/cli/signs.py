"""States as people see them: a sign, a word and a colour, never a colour alone."""

from typing import NamedTuple


class Sign(NamedTuple):
    """How a state is shown."""

    sign: str
    word: str
    style: str


GOOD, BAD, UNSURE, BUSY, IDLE = "green", "red", "yellow", "cyan", "dim"

OK = Sign("✔", "ok", GOOD)
WRONG = Sign("✖", "wrong", BAD)
WARNING = Sign("!", "warning", UNSURE)
SKIPPED = Sign("·", "skipped", IDLE)
FAILED = Sign("✖", "failed", BAD)
UNCHANGED = Sign("✔", "no change", GOOD)
CHANGED = Sign("!", "changed", UNSURE)
FIRST = Sign("✔", "first audit", GOOD)
INCOMPLETE = Sign("?", "incomplete", UNSURE)

# The keys are the API's words; a test holds them against the controller's own tables.
HOSTS: dict[str, Sign] = {
    "pending": Sign("·", "waiting", IDLE),
    "auditing_before": Sign("◌", "auditing before", BUSY),
    "ready": Sign("◌", "ready", BUSY),
    "installing": Sign("▶", "installing", BUSY),
    "awaiting_hands": Sign("‖", "awaiting hands", UNSURE),
    "rebooting": Sign("↻", "rebooting", BUSY),
    "auditing_after": Sign("◌", "auditing after", BUSY),
    "verified": Sign("✔", "verified", GOOD),
    "at_variance": Sign("✖", "at variance", BAD),
    "indeterminate": Sign("?", "indeterminate", UNSURE),
    "failed": Sign("✖", "failed", BAD),
    "backing_out": Sign("↶", "backing out", BUSY),
    "backed_out": Sign("↶", "backed out", GOOD),
    "back_out_failed": Sign("✖", "back-out failed", BAD),
}
WAVES: dict[str, Sign] = {
    "waiting": Sign("·", "waiting", IDLE),
    "running": Sign("▶", "running", BUSY),
    "passed": Sign("✔", "passed", GOOD),
    "paused": Sign("‖", "paused", UNSURE),
    "stopped": Sign("■", "stopped", UNSURE),
}
ROLLOUTS: dict[str, Sign] = {
    "running": Sign("▶", "running", BUSY),
    "suspended": Sign("‖", "suspended", UNSURE),
    "finished": Sign("✔", "finished", GOOD),
    "cancelled": Sign("■", "cancelled", UNSURE),
    "backing_out": Sign("↶", "backing out", BUSY),
    "backed_out": Sign("↶", "backed out", GOOD),
}
RELEASES: dict[str, Sign] = {
    "draft": Sign("·", "draft", IDLE),
    "built": Sign("·", "built", BUSY),
    "in_test": Sign("◌", "in test", BUSY),
    "accepted": Sign("✔", "accepted", GOOD),
    "rejected": Sign("✖", "rejected", BAD),
    "authorised": Sign("✔", "authorised", GOOD),
    "deploying": Sign("▶", "deploying", BUSY),
    "suspended": Sign("‖", "suspended", UNSURE),
    "deployed": Sign("✔", "deployed", GOOD),
    "early_life_support": Sign("✔", "early life support", GOOD),
    "closed": Sign("■", "closed", IDLE),
    "backing_out": Sign("↶", "backing out", BUSY),
    "backed_out": Sign("↶", "backed out", GOOD),
    "cancelled": Sign("■", "cancelled", UNSURE),
}
GATES: dict[str, Sign] = {
    "met": Sign("✔", "met", GOOD),
    "not_met": Sign("✖", "not met", BAD),
    "waived": Sign("!", "waived", UNSURE),
    "owed": Sign("✖", "owed", UNSURE),
}
CRITERIA: dict[str, Sign] = {
    "passed": Sign("✔", "passed", GOOD),
    "failed": Sign("✖", "failed", BAD),
    "unknown": Sign("?", "unknown", UNSURE),
    "open": Sign("·", "no result", IDLE),
}
OUTCOMES: dict[str, Sign] = {
    "matched": Sign(" ", "matched", GOOD),
    "unexpected": Sign("!", "unexpected", BAD),
    "missing": Sign("!", "missing", BAD),
    "drift": Sign("!", "drift", UNSURE),
    "waived": Sign(" ", "waived", UNSURE),
}


def sign_of(table: dict[str, Sign], state: str) -> Sign:
    """Return how a state is shown; one of a newer controller is shown as it is."""
    return table.get(state) or Sign("?", "".join(c for c in state if c.isprintable()).replace("_", " "), UNSURE)
