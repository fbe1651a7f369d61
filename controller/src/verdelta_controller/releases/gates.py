"""Hold a release against its policy: a checklist of what is met, what is not, and who has to act next.

Pure: the facts are values, and the moment is passed in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from ..access.rules import Role
from . import policy as gate
from .known_errors import Severity
from .manifest import Manifest, ReleaseType
from .policy import Policy
from .rules import ReleaseState
from .sides import SIGNED_BY, Purpose

# The states that gates stand before, in the order in which a release comes to them.
ORDER = (
    ReleaseState.BUILT,
    ReleaseState.IN_TEST,
    ReleaseState.ACCEPTED,
    ReleaseState.AUTHORISED,
    ReleaseState.DEPLOYING,
    ReleaseState.CLOSED,
)
_SEVERITIES = list(Severity)


class GateStatus(StrEnum):
    """Whether a gate lets a release through."""

    MET = "met"
    NOT_MET = "not_met"
    WAIVED = "waived"
    OWED = "owed"  # of a state that was left out: it has to be made good before the release is closed


OPEN = (GateStatus.NOT_MET, GateStatus.OWED)


@dataclass(frozen=True)
class Signed:
    """A sign-off that is valid: it binds the package as it is."""

    purpose: Purpose
    by: str
    at: datetime


@dataclass(frozen=True)
class Recorded:
    """What somebody recorded about this package, the newest of its kind."""

    of: str
    passed: bool
    by: str
    at: datetime


@dataclass(frozen=True)
class Rehearsed:
    """The newest rehearsal of this package: its roll-out, and whether everything came out as it should."""

    rollout: int
    passed: bool | None  # None: it is under way
    detail: str
    by: str
    at: datetime
    open_criteria: Sequence[str] = ()  # without a result


@dataclass(frozen=True)
class Accepted:
    """The rehearsed change that was accepted: its digest, by whom and when."""

    digest: str
    by: str
    at: datetime


@dataclass(frozen=True)
class OpenError:
    """A known error that is open."""

    title: str
    severity: Severity


@dataclass(frozen=True)
class Waived:
    """A gate that a second person let a release through, until then."""

    gate: str
    reason: str
    by: str
    at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Facts:
    """All that gates look at."""

    label: str  # name and version
    type: ReleaseType
    state: ReleaseState
    built_by: str = ""
    manifest: Manifest | None = None  # None: there is no package yet
    builder_tests: tuple[bool, str, datetime] | None = None  # passed, in words, when
    rehearsal: Rehearsed | None = None
    rehearsed_change: Accepted | None = None
    known_errors: Sequence[OpenError] = ()
    records: Sequence[Recorded] = ()
    sign_offs: Sequence[Signed] = ()
    waivers: Sequence[Waived] = ()
    deployed: Sequence[datetime] = ()  # when other releases of this type and service went out
    passed_states: frozenset[ReleaseState] = field(default=frozenset())  # that it has been in, with this package


@dataclass(frozen=True)
class Finding:
    """What became of one gate: whether it is met, by what, and otherwise what has to be done next."""

    met: bool
    evidence: str
    by: str = ""
    at: datetime | None = None
    action: str = ""


@dataclass(frozen=True)
class Checked:
    """One line of the checklist."""

    before: ReleaseState
    gate: str
    status: GateStatus
    evidence: str
    by: str = ""
    at: datetime | None = None
    action: str = ""  # the next command, where something is left to do
    action_for: str = ""  # the role that it is for

    def document(self) -> dict[str, Any]:
        """Return the line as JSON."""
        return {
            "before": self.before.value,
            "gate": self.gate,
            "status": self.status.value,
            "evidence": self.evidence,
            "by": self.by,
            "at": self.at.isoformat() if self.at else None,
            "action": self.action,
            "action_for": self.action_for,
        }


def checklist(policy: Policy, facts: Facts, now: datetime) -> list[Checked]:
    """Return every gate of a release, in the order in which it comes to them.  Raises InvalidInput (type unknown)."""
    kind = policy.of(facts.type)
    return [_line(policy, one, state, facts, now) for state in ORDER for one in kind.gates(state)]


def in_the_way(lines: Sequence[Checked], wanted: ReleaseState) -> list[Checked]:
    """Return the lines that keep a release from a state: its gates, and, before it is closed, all that it owes."""
    return [
        line
        for line in lines
        if (line.before is wanted and line.status in OPEN)
        or (wanted is ReleaseState.CLOSED and line.status is GateStatus.OWED)
    ]


def left_out(policy: Policy, facts: Facts, wanted: ReleaseState) -> list[ReleaseState]:
    """Return the states that a release has to go through first, and neither has nor may leave out."""
    kind = policy.of(facts.type)
    between = [state for state in (ReleaseState.IN_TEST, ReleaseState.ACCEPTED) if _comes_before(state, wanted)]
    return [state for state in between if state not in facts.passed_states and state.value not in kind.skips]


def _comes_before(state: ReleaseState, wanted: ReleaseState) -> bool:
    return wanted in ORDER and ORDER.index(state) < ORDER.index(wanted)


def _line(policy: Policy, one: Any, state: ReleaseState, facts: Facts, now: datetime) -> Checked:
    found = _FINDERS[type(one)](one, facts, policy, now)
    if found.met:
        return Checked(state, one.name, GateStatus.MET, found.evidence, found.by, found.at)
    waiver = next((w for w in facts.waivers if w.gate == one.name and w.expires_at > now), None)
    if waiver is not None:
        said = f"{waiver.reason} (until {waiver.expires_at:%Y-%m-%d})"
        return Checked(state, one.name, GateStatus.WAIVED, said, waiver.by, waiver.at)
    status = GateStatus.OWED if _was_left_out(policy, facts, state) else GateStatus.NOT_MET
    return Checked(state, one.name, status, found.evidence, found.by, found.at, found.action, _task_of(one))


def _was_left_out(policy: Policy, facts: Facts, state: ReleaseState) -> bool:
    """Return whether a release has gone past a state that it may leave out."""
    beyond = facts.state not in (ReleaseState.DRAFT, ReleaseState.BUILT, ReleaseState.REJECTED, ReleaseState.IN_TEST)
    skipped = state.value in policy.of(facts.type).skips and state not in facts.passed_states
    return beyond and skipped and facts.state is not ReleaseState.CANCELLED


def _task_of(one: Any) -> str:
    if isinstance(one, gate.SignOff):
        return SIGNED_BY[one.of].value
    if isinstance(one, gate.Record):
        return one.by.value
    return role_of(type(one)).value


def role_of(kind: type) -> Role:
    """Return whose task a kind of gate is, unless a gate says so itself."""
    return _TASKS.get(kind, Role.RELEASE_MANAGER)


_TASKS: dict[type, Role] = {
    gate.BuilderTests: Role.BUILD_MANAGER,
    gate.Criteria: Role.BUILD_MANAGER,
    gate.BackOut: Role.BUILD_MANAGER,
    gate.Document: Role.BUILD_MANAGER,
    gate.Rehearsal: Role.TEST_MANAGER,
    gate.RehearsedChange: Role.TEST_MANAGER,
    gate.KnownErrors: Role.BUILD_MANAGER,
}


def _builder_tests(one: gate.BuilderTests, facts: Facts, policy: Policy, now: datetime) -> Finding:
    build = "verdelta release build"
    if facts.builder_tests is None:
        return Finding(False, "the builder has not tested this package", action=f"{build} (with `tests` in it)")
    passed, said, at = facts.builder_tests
    return Finding(passed, said, facts.built_by, at, "" if passed else build)


def _criteria(one: gate.Criteria, facts: Facts, policy: Policy, now: datetime) -> Finding:
    count = len(facts.manifest.acceptance) if facts.manifest else 0
    said = f"{count} in the package" if count else "the package says nothing of what it will be accepted by"
    return Finding(
        count >= one.at_least, said, facts.built_by, action="Write `acceptance` into release.yaml, and build again."
    )


def _rehearsal(one: gate.Rehearsal, facts: Facts, policy: Policy, now: datetime) -> Finding:
    command = f"verdelta release test {facts.label}"
    run = facts.rehearsal
    if run is None:
        return Finding(False, "this package was not rehearsed", action=command)
    if run.passed is None:
        return Finding(
            False, f"roll-out {run.rollout} is under way", run.by, run.at, f"verdelta rollout status {run.rollout} -w"
        )
    return Finding(run.passed, f"roll-out {run.rollout}: {run.detail}", run.by, run.at, "" if run.passed else command)


def _rehearsed_change(one: gate.RehearsedChange, facts: Facts, policy: Policy, now: datetime) -> Finding:
    found = facts.rehearsed_change
    if found is None:
        return Finding(False, "not reviewed yet", action=f"verdelta release rehearsed {facts.label}")
    return Finding(True, f"accepted as {found.digest[:12]}", found.by, found.at)


def _back_out(one: gate.BackOut, facts: Facts, policy: Policy, now: datetime) -> Finding:
    there = facts.manifest is not None and facts.manifest.back_out is not None
    said = "back_out is in the manifest" if there else "the package cannot be taken back"
    return Finding(there, said, facts.built_by, action="Write `back_out` into release.yaml, and build again.")


def _known_errors(one: gate.KnownErrors, facts: Facts, policy: Policy, now: datetime) -> Finding:
    least = _SEVERITIES.index(one.severity)
    found = [error for error in facts.known_errors if _SEVERITIES.index(error.severity) >= least]
    said = f"{len(found)} open" + (f": {found[0].title}" if found else "")
    return Finding(len(found) <= one.at_most, said, action=f"verdelta release known-errors {facts.label}")


def _document(one: gate.Document, facts: Facts, policy: Policy, now: datetime) -> Finding:
    components = facts.manifest.components if facts.manifest else []
    found = next((c for c in components if c.document == one.of), None)
    if found is None:
        action = f"Add a component with `document: {one.of}` to release.yaml, and build again."
        return Finding(False, f"the package holds no {one.of}", action=action)
    return Finding(True, f"{found.label} {found.version}", facts.built_by)


def _record(one: gate.Record, facts: Facts, policy: Policy, now: datetime) -> Finding:
    command = f"verdelta release record {facts.label} {one.of} --passed"
    found = next((record for record in facts.records if record.of == one.of), None)
    if found is None:
        return Finding(False, "not recorded for this package", action=command)
    said = "recorded as passed" if found.passed else "recorded as failed"
    return Finding(found.passed, said, found.by, found.at, "" if found.passed else command)


def _sign_off(one: gate.SignOff, facts: Facts, policy: Policy, now: datetime) -> Finding:
    found = sorted((signed for signed in facts.sign_offs if signed.purpose is one.of), key=lambda signed: signed.at)
    people = list(dict.fromkeys(signed.by for signed in found))
    met = len(people) >= one.at_least
    said = "signed" if met else f"{len(people)} of {one.at_least} signed" if one.at_least > 1 else "not signed"
    action = "" if met else f"verdelta release sign {facts.label} {one.of.value}"
    return Finding(met, said, ", ".join(people), found[-1].at if found else None, action)


def _no_freeze(one: gate.NoFreeze, facts: Facts, policy: Policy, now: datetime) -> Finding:
    today = now.date()
    for freeze in policy.freezes:
        if freeze.begins <= today <= freeze.ends and facts.type not in freeze.except_for:
            until = f"{freeze.ends + timedelta(days=1):%Y-%m-%d}"
            return Finding(False, f"{freeze.name}, until {freeze.ends:%Y-%m-%d}", action=f"Wait for {until}.")
    return Finding(True, "no freeze is in force")


def _frequency(one: gate.Frequency, facts: Facts, policy: Policy, now: datetime) -> Finding:
    since = now - timedelta(days=one.days)
    recent = sorted(moment for moment in facts.deployed if moment > since)
    said = f"{len(recent)} in {one.days} days, at most {one.at_most}"
    if len(recent) < one.at_most:
        return Finding(True, said)
    free = recent[len(recent) - one.at_most] + timedelta(days=one.days)
    return Finding(False, said, action=f"Wait for {free:%Y-%m-%d %H:%M} UTC.")


_FINDERS: dict[type, Callable[[Any, Facts, Policy, datetime], Finding]] = {
    gate.BuilderTests: _builder_tests,
    gate.Criteria: _criteria,
    gate.Rehearsal: _rehearsal,
    gate.RehearsedChange: _rehearsed_change,
    gate.BackOut: _back_out,
    gate.KnownErrors: _known_errors,
    gate.Document: _document,
    gate.Record: _record,
    gate.SignOff: _sign_off,
    gate.NoFreeze: _no_freeze,
    gate.Frequency: _frequency,
}
