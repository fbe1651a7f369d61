"""A release as a small model: what may be done to it by whom, and what it is then.

Written from what is promised, not from the code.
`refuses_…` returns the errors that an action may end with, none when it has to succeed; the method of the same name
without it says what is so afterwards.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from verdelta_controller.access.rules import Actor, Role
from verdelta_controller.foundation.errors import Conflict, GateClosed, InvalidInput, NotAllowed
from verdelta_controller.releases.duties import OtherSide
from verdelta_controller.releases.manifest import ReleaseType
from verdelta_controller.releases.rules import ReleaseState as S
from verdelta_controller.releases.sides import SIGNED_BY, Purpose, Side, side_of

Refusals = set[type[Exception]]
Change = tuple[str, ...]  # what a rehearsed change says, in short


class Content(NamedTuple):
    """What is in a package, as far as gates look at it."""

    number: int
    back_out: bool = True
    criteria: bool = True


CONTENTS = (Content(1), Content(2), Content(3, back_out=False), Content(4, criteria=False))

# The standard policy, as far as two of its types go.
BEFORE: dict[ReleaseType, dict[S, tuple[str, ...]]] = {
    ReleaseType.MINOR: {
        S.IN_TEST: ("criteria", "back-out"),
        S.ACCEPTED: ("rehearsal", "rehearsed-change", "known-errors high", "sign-off acceptance"),
        S.AUTHORISED: ("sign-off business", "sign-off implementation"),
        S.DEPLOYING: ("no-freeze",),
    },
    ReleaseType.EMERGENCY: {
        S.IN_TEST: ("criteria",),
        S.ACCEPTED: ("rehearsal", "rehearsed-change", "known-errors high", "sign-off acceptance"),
        S.AUTHORISED: ("back-out", "sign-off change", "sign-off implementation"),
        S.CLOSED: ("sign-off business",),
    },
}
TESTED = (S.IN_TEST, S.ACCEPTED)  # what an emergency release may leave out, and owes
DEPLOYMENT = (S.AUTHORISED, S.DEPLOYING, S.SUSPENDED, S.DEPLOYED, S.BACKING_OUT, S.BACKED_OUT)
OVER = (S.REJECTED, S.CANCELLED, S.CLOSED)  # what is signed no more
OPEN_TO_BUILDING = (S.DRAFT, S.BUILT, S.IN_TEST, S.REJECTED, S.ACCEPTED)
MAY_CANCEL = (S.DRAFT, S.BUILT, S.IN_TEST, S.REJECTED, S.ACCEPTED, S.AUTHORISED, S.SUSPENDED, S.CANCELLED)
TEST_MANAGERS = frozenset((Role.TEST_MANAGER,))
TESTERS = TEST_MANAGERS | {Role.TESTER}
GRANTERS = frozenset((Role.RELEASE_MANAGER, Role.CHANGE_MANAGER, Role.BUSINESS_APPROVER, Role.TEST_MANAGER))


@dataclass
class Run:
    """A rehearsal of a package; None while it is under way."""

    package: int
    passed: bool | None = None


@dataclass
class Error:
    """A known error."""

    severity: str
    state: str = "open"


@dataclass
class Waiver:
    """A gate that somebody asked to be let through without."""

    gate: str
    asked_by: str
    granted: bool = False


@dataclass
class ReleaseModel:
    """One release."""

    type: ReleaseType
    administrators: frozenset[str]
    state: S = S.DRAFT
    content: Content | None = None
    passed: set[S] = field(default_factory=set)
    sides: dict[str, Side] = field(default_factory=dict)
    duties: set[tuple[str, Role]] = field(default_factory=set)
    signed: set[tuple[str, Purpose]] = field(default_factory=set)
    change: Change | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    told: dict[int, bool] = field(default_factory=dict)  # of a package: how its one criterion came out last
    errors: dict[int, Error] = field(default_factory=dict)
    waivers: dict[int, Waiver] = field(default_factory=dict)
    shown: dict[Purpose, tuple[int, Change | None]] = field(default_factory=dict)

    # -- what holds

    @property
    def is_under_test(self) -> bool:
        """Return whether it is in test, or went out without the acceptance that it owes."""
        return self.state is S.IN_TEST or (self.state in DEPLOYMENT and S.ACCEPTED not in self.passed)

    @property
    def newest_run(self) -> tuple[int, Run] | None:
        """Return the newest rehearsal of the present package."""
        runs = [
            (number, run) for number, run in self.runs.items() if self.content and run.package == self.content.number
        ]
        return max(runs, key=lambda run: run[0]) if runs else None

    def is_met(self, gate: str) -> bool:
        """Return whether a gate is met by what is so, without a waiver."""
        if gate.startswith("sign-off "):
            return any(purpose == gate.removeprefix("sign-off ") for _, purpose in self.signed)
        if gate == "known-errors high":
            return not any(
                error.state == "open" and error.severity in ("high", "critical") for error in self.errors.values()
            )
        if gate == "rehearsed-change":
            return self.change is not None
        if gate == "no-freeze":
            return True
        if self.content is None:
            return False
        if gate == "rehearsal":
            tried = self.told.get(self.content.number, False) or not self.content.criteria
            return self.newest_run is not None and self.newest_run[1].passed is True and tried
        return self.content.criteria if gate == "criteria" else self.content.back_out

    def is_open(self, gate: str) -> bool:
        """Return whether a gate is neither met nor waived."""
        return not self.is_met(gate) and not any(w.granted and w.gate == gate for w in self.waivers.values())

    def open_before(self, wanted: S) -> list[str]:
        """Return the open gates before a state; before it is closed also what it owes."""
        states = [wanted]
        if wanted is S.CLOSED and self.type is ReleaseType.EMERGENCY:
            states += [state for state in TESTED if state not in self.passed]
        return [gate for state in states for gate in BEFORE[self.type].get(state, ()) if self.is_open(gate)]

    def leaves_out(self, wanted: S) -> bool:
        """Return whether it would get to a state without one that it has to go through."""
        earlier = () if wanted is S.IN_TEST else (S.IN_TEST,) if wanted is S.ACCEPTED else TESTED
        return self.type is ReleaseType.MINOR and any(state not in self.passed for state in earlier)

    def _gates(self, wanted: S) -> Refusals:
        return {GateClosed} if self.leaves_out(wanted) or self.open_before(wanted) else set()

    # -- who stands where

    def refuses_side(self, actor: Actor, side: Side | None) -> Refusals:
        """Return why somebody cannot come to a side; a token comes to none."""
        if actor.person_id is None or side is None:
            return set()
        if actor.name in self.administrators:
            return {Conflict}
        return {OtherSide} if self.sides.get(actor.name, side) is not side else set()

    def stand(self, actor: Actor, side: Side | None) -> None:
        """Put somebody on a side."""
        if actor.person_id is not None and side is not None:
            self.sides.setdefault(actor.name, side)

    def refuses_duty(self, person: Actor, role: Role) -> Refusals:
        """Return why somebody cannot be appointed."""
        return self.refuses_side(person, side_of(role)) if side_of(role) else {Conflict}

    def appoint(self, person: Actor, role: Role) -> None:
        """Appoint somebody."""
        self.stand(person, side_of(role))
        self.duties.add((person.name, role))

    # -- built and tested

    def refuses_build(self, actor: Actor, content: Content) -> Refusals:
        """Return why a package cannot be built; the same again always can."""
        if content == self.content:
            return set()
        found = self.refuses_side(actor, Side.DELIVERY)
        if self.state not in OPEN_TO_BUILDING:
            found |= {Conflict}
        if any(run.passed is None for run in self.runs.values()):
            found |= {GateClosed}
        return found

    def build(self, actor: Actor, content: Content) -> None:
        """Make a new package: nothing that was signed or accepted counts any more."""
        if content != self.content:
            self.stand(actor, Side.DELIVERY)
            self._void()
            self.content, self.state, self.passed = content, S.BUILT, {S.BUILT}

    def refuses_rehearsal(self, actor: Actor) -> Refusals:
        """Return why it cannot be rehearsed."""
        found = self.refuses_side(actor, Side.TEST)
        if self.state is S.BUILT:
            return found | self._gates(S.IN_TEST)
        return found if self.is_under_test else found | {GateClosed}

    def begin_rehearsal(self, actor: Actor, number: int) -> None:
        """Begin to rehearse."""
        self.stand(actor, Side.TEST)
        if self.state is S.BUILT:
            self._enter(S.IN_TEST)
        assert self.content is not None
        self.runs[number] = Run(self.content.number)

    def end_rehearsal(self, number: int, passed: bool | None) -> None:
        """End a rehearsal; how it came out stays, unless it is run again."""
        run = self.runs[number]
        run.passed = passed if passed is None or run.passed is None else run.passed

    def refuses_result(self, actor: Actor) -> Refusals:
        """Return why the result of the criterion cannot be told."""
        found = self.refuses_side(actor, Side.TEST)
        found |= set() if actor.roles & TESTERS else {NotAllowed}
        found |= set() if self.is_under_test else {GateClosed}
        return found | ({InvalidInput} if self.content and not self.content.criteria else set())

    def tell(self, actor: Actor, passed: bool) -> None:
        """Tell how the criterion came out."""
        self.stand(actor, Side.TEST)
        assert self.content is not None
        self.told[self.content.number] = passed

    def refuses_change(self, actor: Actor, content: Content | None) -> Refusals:
        """Return why a rehearsed change, of a package, cannot be accepted."""
        found = self.refuses_side(actor, Side.TEST)
        found |= set() if actor.person_id and actor.roles & TEST_MANAGERS else {NotAllowed}
        return found | (set() if self.is_under_test and content == self.content else {GateClosed})

    def accept_change(self, actor: Actor, change: Change) -> None:
        """Accept a rehearsed change: what was signed before another one is void."""
        self.stand(actor, Side.TEST)
        if change != self.change:
            self._void()
            self.change = change

    def refuses_rejection(self, actor: Actor) -> Refusals:
        """Return why it cannot be rejected; once more always can."""
        if self.state is S.REJECTED:
            return set()
        return self.refuses_side(actor, Side.TEST) | (set() if self.state is S.IN_TEST else {GateClosed})

    def reject(self, actor: Actor) -> None:
        """Reject it."""
        if self.state is not S.REJECTED:
            self.stand(actor, Side.TEST)
            self._enter(S.REJECTED)
            self._void()

    # -- signed and authorised

    def show(self, purpose: Purpose) -> None:
        """Let somebody read what there is to sign."""
        assert self.content is not None
        self.shown[purpose] = (self.content.number, self.change)

    def refuses_signature(self, actor: Actor, purpose: Purpose, lender: Actor | None) -> Refusals:
        """Return why what was shown last cannot be signed."""
        role, asked = SIGNED_BY[purpose], f"sign-off {purpose.value}"
        if actor.person_id is None or role not in actor.roles:
            return {NotAllowed}
        found = self.refuses_side(actor, side_of(role))
        found |= self.refuses_side(lender, side_of(role)) if lender else set()
        if self.content is None or self.state in OVER or self.shown.get(purpose) != (self.content.number, self.change):
            found |= {GateClosed}
        for state, names in BEFORE[self.type].items():
            missing = [name for name in names if not name.startswith("sign-off ") and self.is_open(name)]
            if asked in names and (self.leaves_out(state) or missing):
                found |= {GateClosed}
        duties = {name for name, duty in self.duties if duty is role}
        if duties and not duties & {actor.name, lender.name if lender else ""}:
            found |= {NotAllowed}
        return found

    def sign(self, actor: Actor, purpose: Purpose, lender: Actor | None) -> None:
        """Sign; the last signature that the acceptance takes is the acceptance."""
        for one in (actor, lender):
            if one is not None:
                self.stand(one, side_of(SIGNED_BY[purpose]))
        again = (actor.name, purpose) in self.signed
        self.signed.add((actor.name, purpose))
        if purpose is Purpose.ACCEPTANCE and not again and self.state is S.IN_TEST and not self.open_before(S.ACCEPTED):
            self._enter(S.ACCEPTED)

    def refuses_authorisation(self, actor: Actor) -> Refusals:
        """Return why it cannot be authorised; once more always can."""
        if self.state is S.AUTHORISED:
            return set()
        found = self.refuses_side(actor, Side.DELIVERY) | self._gates(S.AUTHORISED)
        return found if self.state in (S.BUILT, S.IN_TEST, S.ACCEPTED) else found | {GateClosed}

    def authorise(self, actor: Actor) -> None:
        """Authorise it."""
        if self.state is not S.AUTHORISED:
            self.stand(actor, Side.DELIVERY)
            self._enter(S.AUTHORISED)

    # -- what is put on record

    def refuses_resolution(self, actor: Actor, state: str) -> Refusals:
        """Return why somebody cannot say of a known error that it is fixed, or accepted."""
        if state != "accepted":
            return set()
        if not actor.roles & {Role.TEST_MANAGER, Role.BUSINESS_APPROVER}:
            return {NotAllowed}
        return self.refuses_side(actor, _accepts_for(actor))

    def resolve(self, actor: Actor, number: int, state: str) -> None:
        """Resolve a known error."""
        if state == "accepted":
            self.stand(actor, _accepts_for(actor))
        self.errors[number].state = state

    def refuses_asking(self, actor: Actor, gate: str) -> Refusals:
        """Return why a waiver cannot be asked for."""
        if actor.person_id is None:
            return {NotAllowed}
        if not any(gate in names for names in BEFORE[self.type].values()):
            return {InvalidInput}
        return {Conflict} if gate.startswith("sign-off ") else set()

    def refuses_grant(self, actor: Actor, number: int) -> Refusals:
        """Return why a waiver cannot be granted by somebody."""
        may = actor.person_id is not None and actor.roles & GRANTERS
        return set() if may and self.waivers[number].asked_by != actor.name else {NotAllowed}

    # -- where it goes

    def refuses_cancellation(self) -> Refusals:
        """Return why it cannot be cancelled."""
        return set() if self.state in MAY_CANCEL else {GateClosed}

    def refuses_closing(self) -> Refusals:
        """Return why it cannot be closed; once more always can."""
        if self.state is S.CLOSED:
            return set()
        return self._gates(S.CLOSED) if self.state in (S.DEPLOYED, S.BACKED_OUT) else {GateClosed}

    def refuses_following(self) -> Refusals:
        """Return why it cannot stand where its roll-outs stand."""
        return set() if self.state in DEPLOYMENT else {GateClosed}

    def move(self, state: S) -> None:
        """Let it stand elsewhere."""
        self.state = state

    def _enter(self, state: S) -> None:
        self.state = state
        self.passed.add(state)

    def _void(self) -> None:
        self.signed.clear()
        self.change = None


def _accepts_for(actor: Actor) -> Side:
    return Side.TEST if Role.TEST_MANAGER in actor.roles else Side.BUSINESS
