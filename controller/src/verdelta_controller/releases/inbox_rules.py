"""What of a release waits for whom: its gates whose turn has come, and the next step once they are met.

Pure: facts and moments in, lines out.  A gate waits for somebody only when it could be met by her now: a signature
waits until all that it rests on is there, a review until a rehearsal has ended, and what only time can mend for nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from ..access.rules import Role
from . import gates
from .gates import ORDER, Checked, Facts, GateStatus
from .policy import Policy
from .rules import RELEASE_STATES, ReleaseState
from .sides import Side, side_of

_S = ReleaseState
_TIME_ALONE = ("no-freeze", "frequency")  # gates that nobody can do anything about
_OUT = (_S.DEPLOYED, _S.EARLY_LIFE_SUPPORT, _S.BACKED_OUT)
_STANDS_BEYOND = {  # the gate that a release has gone through last, by where it stands
    _S.DEPLOYING: _S.DEPLOYING,
    _S.SUSPENDED: _S.DEPLOYING,
    _S.BACKING_OUT: _S.DEPLOYING,
    **dict.fromkeys(_OUT, _S.DEPLOYING),
    _S.REJECTED: _S.BUILT,
}
ENDED = frozenset((_S.CLOSED, _S.CANCELLED))


class Kind(StrEnum):
    """What it is that waits."""

    GATE = "gate"
    OWED = "owed"
    BUILD = "build"
    CRITERIA = "criteria"
    REVIEW = "review"
    WAIVER = "waiver"
    AUTHORISE = "authorise"
    DEPLOY = "deploy"
    CLOSE = "close"
    ROLLOUT = "rollout"
    BOOKING = "booking"
    LOAN = "loan"


@dataclass(frozen=True)
class Entry:
    """One thing that waits for somebody: what, about which release, since when, in which role, and what to run."""

    kind: Kind
    what: str
    since: datetime
    action: str
    release: str = ""  # name and version
    role: Role | None = None  # in which it waits for her; None: for her whatever she is
    lent: bool = False  # whether that role is lent to her


class Task(NamedTuple):
    """What a release waits for, and from which role; `purpose` where it is a signature."""

    kind: Kind
    role: Role
    what: str
    since: datetime
    action: str
    purpose: str = ""


@dataclass(frozen=True)
class Standing:
    """How one person stands in a release."""

    roles: Mapping[Role, str | None]  # that she holds now, and (her identity) who lent it
    person: str
    sides: Mapping[str, Side]  # on which people stand, as far as they matter here
    appointed: Mapping[Role, Collection[str]]
    signed: Collection[str] = ()  # purposes that she has signed already, and validly

    def may_take(self, task: Task) -> bool:
        """Return whether a task can be hers.

        She holds its role; if others were appointed to it, she or who lent it to her is among them; and neither of
        the two stands on another side of this release.
        """
        if task.role not in self.roles or task.purpose in self.signed:
            return False
        acting = {self.person, self.roles[task.role]} - {None}
        appointed, side = self.appointed.get(task.role, ()), side_of(task.role)
        if appointed and acting.isdisjoint(appointed):
            return False
        return side is None or all(self.sides.get(one or "", side) is side for one in acting)


def tasks(policy: Policy, facts: Facts, begun_at: datetime, now: datetime) -> list[Task]:
    """Return what a release waits for now.  `begun_at` is when its package was built, or, before that, it was drafted.

    Raises InvalidInput (the policy does not know its type).
    """
    if facts.state in ENDED:
        return []
    if facts.state in (_S.DRAFT, _S.REJECTED):
        what = "it was rejected, and waits for a new package" if facts.state is _S.REJECTED else "it is to be built"
        return [Task(Kind.BUILD, Role.BUILD_MANAGER, what, begun_at, "verdelta release build")]
    lines = gates.checklist(policy, facts, now)
    found: list[Task] = []
    for line in _whose_turn_it_is(policy, facts, lines):
        found += _criteria(facts) if line.gate == "rehearsal" else []
        found += [_task(line, lines, begun_at)] if _can_be_done(line, facts) else []
    return found + _steps(policy, facts, lines, begun_at)


def entries(tasks: Sequence[Task], standing: Standing, release: str) -> list[Entry]:
    """Return what of a release waits for one person; what waits for her in two roles, once."""
    hers: dict[tuple[Kind, str, str], Entry] = {}
    for task in tasks:
        if standing.may_take(task):
            lent = standing.roles[task.role] is not None
            entry = Entry(task.kind, task.what, task.since, task.action, release, task.role, lent)
            hers.setdefault((task.kind, task.what, task.action), entry)
    return list(hers.values())


def _whose_turn_it_is(policy: Policy, facts: Facts, lines: Sequence[Checked]) -> list[Checked]:
    """Return the open gates before the next state, and before those after it where the next may be left out or is free.

    What is owed is always among them.
    """
    found = [line for line in lines if line.status is GateStatus.OWED]
    for state in ORDER[_place(facts.state) + 1 :]:
        if state is _S.CLOSED and facts.state not in _OUT:
            break
        closed = [line for line in lines if line.before is state and line.status is GateStatus.NOT_MET]
        found += [line for line in closed if _is_ready(line, closed)]
        if closed and state.value not in policy.of(facts.type).skips:
            break
    return found


def _place(state: ReleaseState) -> int:
    return ORDER.index(_STANDS_BEYOND.get(state, state))


def _is_ready(line: Checked, closed: Sequence[Checked]) -> bool:
    """Return whether a gate could be met now: a signature comes after all that it rests on."""
    return not _purpose(line) or all(_purpose(other) for other in closed)


def _criteria(facts: Facts) -> list[Task]:
    """Return what testers have to tell of the newest rehearsal, once that has ended."""
    run = facts.rehearsal
    if run is None or run.passed is None or not run.open_criteria:
        return []
    what = f"without a result: {', '.join(run.open_criteria)}"
    command = f"verdelta release criteria {facts.label}"
    return [Task(Kind.CRITERIA, role, what, run.at, command) for role in (Role.TESTER, Role.TEST_MANAGER)]


def _can_be_done(line: Checked, facts: Facts) -> bool:
    kind, run = line.gate.split(" ")[0], facts.rehearsal
    if kind in _TIME_ALONE:
        return False
    if kind == "rehearsal":
        return run is None or (run.passed is not None and not run.open_criteria)
    return kind != "rehearsed-change" or (run is not None and run.passed is not None)


def _purpose(line: Checked) -> str:
    kind, _, purpose = line.gate.partition(" ")
    return purpose if kind == "sign-off" else ""


def _task(line: Checked, lines: Sequence[Checked], begun_at: datetime) -> Task:
    kind = Kind.OWED if line.status is GateStatus.OWED else Kind.GATE
    if line.gate == "rehearsed-change":
        kind = Kind.REVIEW
    what = f"{line.gate}: {line.evidence}" + (", owed" if line.status is GateStatus.OWED else "")
    return Task(kind, Role(line.action_for), what, _since(line, lines, begun_at), line.action, _purpose(line))


def _since(line: Checked, lines: Sequence[Checked], begun_at: datetime) -> datetime:
    """Return when a gate's turn came: with the newest of all that was done before it."""
    done = [
        other.at
        for other in lines
        if other.at is not None
        and (ORDER.index(other.before) < ORDER.index(line.before) or (_purpose(line) and other.before is line.before))
    ]
    return max([begun_at, *done, *([line.at] if line.at else [])])


def _steps(policy: Policy, facts: Facts, lines: Sequence[Checked], begun_at: datetime) -> list[Task]:
    """Return the next step in a release's life, where every gate before it is met."""
    newest = max([begun_at, *(line.at for line in lines if line.at is not None)])
    label = facts.label
    found = []
    if _is_open(policy, facts, lines, _S.AUTHORISED):
        command = f"verdelta release authorise {label}"
        found.append(Task(Kind.AUTHORISE, Role.RELEASE_MANAGER, "it can be authorised", newest, command))
    if facts.state is _S.AUTHORISED and _is_open(policy, facts, lines, _S.DEPLOYING):
        command = f"verdelta rollout start {label}"
        found.append(Task(Kind.DEPLOY, Role.DEPLOYMENT_STAFF, "it can be deployed", newest, command))
    if _is_open(policy, facts, lines, _S.CLOSED):
        command = f"verdelta release close {label}"
        found.append(Task(Kind.CLOSE, Role.RELEASE_MANAGER, "it is deployed, and can be closed", newest, command))
    return found


def _is_open(policy: Policy, facts: Facts, lines: Sequence[Checked], wanted: ReleaseState) -> bool:
    """Return whether a release could enter a state now."""
    follows = wanted in RELEASE_STATES.allowed(facts.state)
    return follows and not gates.in_the_way(lines, wanted) and not gates.left_out(policy, facts, wanted)
