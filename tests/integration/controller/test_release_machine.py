"""Two releases, driven at random through their lives by ten actors, and held against a small model after every step.

What is refused, what is not, and what is so afterwards has to be as the model says; and what may never be is looked for
in the tables themselves.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from tests.support.release_model import CONTENTS, DEPLOYMENT, Change, Content, Error, ReleaseModel, Waiver
from tests.support.releases import Releases, some_releases

from verdelta_agent.model import canonical
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.clock import now
from verdelta_controller.foundation.errors import GateClosed, VerdeltaError
from verdelta_controller.foundation.evidence_check import verify_log
from verdelta_controller.releases.acceptance import Outcome, Result
from verdelta_controller.releases.expectations import Expectation
from verdelta_controller.releases.known_errors import Severity
from verdelta_controller.releases.manifest import ReleaseType
from verdelta_controller.releases.policy import shipped_policy
from verdelta_controller.releases.record_service import NewError
from verdelta_controller.releases.rules import RELEASE_STATES
from verdelta_controller.releases.rules import ReleaseState as S
from verdelta_controller.releases.sides import Purpose, Side

EXAMPLES, STEPS = 190, 60
ENOUGH = 10_000
KINDS = {"1.1": ReleaseType.MINOR, "1.2": ReleaseType.EMERGENCY}
MORE_PEOPLE = {
    "una": frozenset(Role) - {Role.ADMINISTRATOR},
    "max": frozenset((Role.RELEASE_MANAGER, Role.TEST_MANAGER)),
    "root": frozenset(Role),  # an administrator, whatever her roles are said to be
}
NAMES = ("rita", "bob", "tess", "tom", "bea", "carl", *MORE_PEOPLE, "ci")
MANIFEST = """
release: labapp
version: "{version}"
type: {type}
service: lab
description: build {build}
install: {{playbook: install_packages.yml}}
{more}
changes:
  - {{section: software.dpkg, key: "labapp:*", after: {{version: "{version}"}}}}
"""
BACK_OUT = "back_out: {playbook: install_packages.yml}\n"
CRITERIA = "acceptance: [{id: looks-right, says: It is right, check: manual, instructions: Look at it.}]\n"

versions = st.sampled_from(sorted(KINDS))
names = st.sampled_from(NAMES)
contents = st.sampled_from(CONTENTS)
changes: st.SearchStrategy[Change] = st.sampled_from((("labapp:all",), ("labapp:all", "liblab:all")))
purposes = st.sampled_from(sorted(Purpose))
roles = st.sampled_from(sorted(Role))
gates = st.sampled_from(("criteria", "back-out", "rehearsal", "rehearsed-change", "known-errors high", "no-freeze"))
refused_gates = st.sampled_from(("sign-off acceptance", "sign-off implementation", "frequency"))


class Office:
    """A controller whose database begins anew with every example: making one takes longer than a whole example."""

    def __init__(self, releases: Releases, file: Path) -> None:
        self.releases = releases
        self.file = file
        self.steps = 0
        self.reached: set[str] = set()
        self.people = dict(releases.people)
        create = releases.services.people.accounts.create_person
        for name, held in MORE_PEOPLE.items():
            standing = Standing.ADMINISTRATOR if name == "root" else Standing.MEMBER
            person = create(name, name.title(), "root", standing, () if name == "root" else sorted(held))
            self.people[name] = Actor(name, held, person.id)
        self.people["ci"] = Actor("ci", frozenset(Role))
        self.policy = shipped_policy("standard")[1].digest()
        releases.services.database.close()
        shutil.copyfile(file, self._first)

    @property
    def _first(self) -> Path:
        return self.file.with_suffix(".first")

    def begin(self) -> sqlite3.Connection:
        """Begin anew; returns a connection that looks at the tables."""
        self.releases.services.database.close()
        shutil.copyfile(self._first, self.file)
        return sqlite3.connect(self.file, isolation_level=None)


class Life(RuleBasedStateMachine):
    """A minor and an emergency release under the standard policy."""

    def __init__(self, office: Office) -> None:
        super().__init__()
        self.office = office
        self.releases = office.releases
        self.lenders: dict[str, str] = {}
        self.releases.credentials.lenders = {}
        self.tables = office.begin()
        self.subjects: dict[tuple[str, Purpose], str] = {}
        self.frozen: dict[str, tuple[str, str]] = {}
        self.steps = -1  # the first look is before any step
        self.rollouts = 0
        self.models = {kind: self._draft(version, kind) for version, kind in KINDS.items()}
        self.was = dict.fromkeys(KINDS, S.DRAFT)

    def _draft(self, version: str, kind: ReleaseType) -> ReleaseModel:
        model = ReleaseModel(kind, frozenset(("root",)))
        self.releases.service.draft("labapp", version, kind, "lab", None, self.office.people["rita"])
        model.sides["rita"] = Side.DELIVERY
        return model

    def of(self, version: str) -> ReleaseModel:
        """Return the model of a release."""
        return self.models[KINDS[version]]

    def attempt(self, refusals: set[type[Exception]], action: Callable[[], Any]) -> tuple[bool, Any]:
        """Do something; it has to be refused with one of these errors, or to succeed where there are none."""
        try:
            result = action()
        except VerdeltaError as error:
            assert type(error) in refusals, f"{type(error).__name__}: {error}; expected {refusals or 'none'}"
            return False, None
        assert not refusals, f"was done, and should have been refused: {refusals}"
        return True, result

    # -- what is done

    @initialize(version=versions, steps=st.integers(0, 14))
    def begins_somewhere(self, version: str, steps: int) -> None:
        for _ in range(steps):
            self._go_on(version, shortly=steps % 2 == 0)
            self._hold()

    @rule(version=versions)
    def goes_on(self, version: str) -> None:
        self._go_on(version, shortly=False)

    @rule(version=versions)
    def goes_on_shortly(self, version: str) -> None:
        self._go_on(version, shortly=True)

    @rule(version=versions, name=names, content=contents)
    def build(self, version: str, name: str, content: Content) -> None:
        model, actor = self.of(version), self.office.people[name]
        more = (BACK_OUT if content.back_out else "") + (CRITERIA if content.criteria else "")
        source = MANIFEST.format(version=version, type=model.type.value, build=content.number, more=more)
        done, _ = self.attempt(
            model.refuses_build(actor, content), lambda: self.releases.service.build(source, {}, "release.yaml", actor)
        )
        if done:
            model.build(actor, content)

    @rule(version=versions, name=names)
    def begin_rehearsal(self, version: str, name: str) -> None:
        model, actor = self.of(version), self.office.people[name]
        self.rollouts += 1

        def begin() -> None:
            release = self.releases.service.release("labapp", version)
            with self.releases.services.database.transaction() as session:
                self.releases.service.begin_rehearsal(session, release, release.digest, self.rollouts, actor)

        if self.attempt(model.refuses_rehearsal(actor), begin)[0]:
            model.begin_rehearsal(actor, self.rollouts)

    @precondition(lambda self: any(model.runs for model in self.models.values()))
    @rule(data=st.data(), passed=st.sampled_from((True, True, False, None)))
    def end_rehearsal(self, data: st.DataObject, passed: bool | None) -> None:
        self._end_rehearsal(data.draw(st.sampled_from([n for m in self.models.values() for n in m.runs])), passed)

    def _end_rehearsal(self, number: int, passed: bool | None) -> None:
        with self.releases.services.database.transaction() as session:
            self.releases.service.follow_rehearsal(session, number, passed, "1 host: 1 verified")
        next(model for model in self.models.values() if number in model.runs).end_rehearsal(number, passed)

    @rule(version=versions, name=names, passed=st.booleans())
    def tell(self, version: str, name: str, passed: bool) -> None:
        model, actor = self.of(version), self.office.people[name]
        result = Result(Outcome.PASSED if passed else Outcome.FAILED, "seen")
        done, _ = self.attempt(
            model.refuses_result(actor),
            lambda: self.releases.tests.tell("labapp", version, "looks-right", result, None, actor),
        )
        if done:
            model.tell(actor, passed)

    @rule(version=versions, name=names, change=changes, stale=st.sampled_from((False, False, False, True)))
    def accept_change(self, version: str, name: str, change: Change, stale: bool) -> None:
        model, actor = self.of(version), self.office.people[name]
        expectations = [Expectation(section="software.dpkg", key=key, after="any") for key in change]
        package = "0" * 64 if stale else self.releases.service.release("labapp", version).digest
        number = model.newest_run[0] if model.newest_run else 0
        done, _ = self.attempt(
            model.refuses_change(actor, None if stale else model.content),
            lambda: self.releases.tests.accept_change("labapp", version, package, number, expectations, actor),
        )
        if done:
            model.accept_change(actor, change)

    @rule(version=versions, name=names)
    def reject(self, version: str, name: str) -> None:
        model, actor = self.of(version), self.office.people[name]
        done, _ = self.attempt(
            model.refuses_rejection(actor), lambda: self.releases.service.reject("labapp", version, "bad", actor)
        )
        if done:
            model.reject(actor)

    @rule(version=versions, name=names, purpose=purposes, anew=st.sampled_from((True, True, False)))
    def sign(self, version: str, name: str, purpose: Purpose, anew: bool) -> None:
        model, actor = self.of(version), self.office.people[name]
        if model.content is not None and (anew or (version, purpose) not in self.subjects):
            self.subjects[version, purpose] = self.releases.signing.binding("labapp", version, purpose).subject
            model.show(purpose)
        subject = self.subjects.get((version, purpose), "0" * 64)
        lender = self.office.people[self.lenders[name]] if name in self.lenders else None
        signing = self.releases.signing
        done, _ = self.attempt(
            model.refuses_signature(actor, purpose, lender),
            lambda: signing.sign("labapp", version, purpose, subject, "000000", actor),
        )
        if done:
            model.sign(actor, purpose, lender)

    @rule(name=st.sampled_from(("max", "una", "rita")), lender=st.sampled_from(("tess", "carl", "bob", "")))
    def lend(self, name: str, lender: str) -> None:
        self.lenders = {**self.lenders, name: lender} if lender else {}
        self.releases.credentials.lenders = {
            to: self.office.people[by].person_id or "" for to, by in self.lenders.items()
        }

    @rule(version=versions, name=names)
    def authorise(self, version: str, name: str) -> None:
        model, actor = self.of(version), self.office.people[name]
        done, _ = self.attempt(
            model.refuses_authorisation(actor), lambda: self.releases.service.authorise("labapp", version, actor)
        )
        if done:
            model.authorise(actor)

    @rule(version=versions, name=st.sampled_from(NAMES[:-1]), role=roles)
    def appoint(self, version: str, name: str, role: Role) -> None:
        model, person, by = self.of(version), self.office.people[name], self.office.people["rita"]
        done, _ = self.attempt(
            model.refuses_duty(person, role),
            lambda: self.releases.signing.appoint("labapp", version, person.person_id or "", name, role, by),
        )
        if done:
            model.appoint(person, role)

    @rule(version=versions, severity=st.sampled_from(sorted(Severity)))
    def report_error(self, version: str, severity: Severity) -> None:
        model = self.of(version)
        error, by = NewError("it hangs", severity), self.office.people["tom"]
        done, found = self.attempt(
            set() if model.content else {GateClosed},
            lambda: self.releases.records.report("labapp", version, error, by),
        )
        if done:
            model.errors[found.id] = Error(severity.value)

    @precondition(lambda self: any(model.errors for model in self.models.values()))
    @rule(data=st.data(), name=names, state=st.sampled_from(("fixed", "accepted")))
    def resolve_error(self, data: st.DataObject, name: str, state: str) -> None:
        self._resolve(data.draw(st.sampled_from([n for m in self.models.values() for n in m.errors])), name, state)

    def _resolve(self, number: int, name: str, state: str) -> None:
        model = next(model for model in self.models.values() if number in model.errors)
        actor = self.office.people[name]
        done, _ = self.attempt(
            model.refuses_resolution(actor, state),
            lambda: self.releases.records.resolve(number, state, "seen to", actor),
        )
        if done:
            model.resolve(actor, number, state)

    @rule(version=versions, name=names, gate=st.one_of(gates, refused_gates))
    def ask_waiver(self, version: str, name: str, gate: str) -> None:
        model, actor = self.of(version), self.office.people[name]
        until = now() + timedelta(days=30)
        done, asked = self.attempt(
            model.refuses_asking(actor, gate),
            lambda: self.releases.records.ask_waiver("labapp", version, gate, "urgent", until, actor),
        )
        if done:
            model.waivers[asked.id] = Waiver(gate, name)

    @precondition(lambda self: any(model.waivers for model in self.models.values()))
    @rule(data=st.data(), name=names)
    def grant_waiver(self, data: st.DataObject, name: str) -> None:
        number = data.draw(st.sampled_from([n for m in self.models.values() for n in m.waivers]))
        model = next(model for model in self.models.values() if number in model.waivers)
        actor = self.office.people[name]
        done, _ = self.attempt(
            model.refuses_grant(actor, number), lambda: self.releases.records.grant_waiver(number, actor)
        )
        if done:
            model.waivers[number].granted = True

    @rule(version=versions, state=st.sampled_from(DEPLOYMENT))
    def follow(self, version: str, state: S) -> None:
        model = self.of(version)
        number = self.releases.service.release("labapp", version).id or 0

        def follow() -> None:
            with self.releases.services.database.transaction() as session:
                self.releases.service.follow(session, number, state)

        if self.attempt(model.refuses_following(), follow)[0]:
            model.move(state)

    @rule(version=versions, name=names, sure=st.sampled_from((True, False, False, False)))
    def cancel(self, version: str, name: str, sure: bool) -> None:
        model, actor = self.of(version), self.office.people[name]
        if not sure:  # what is cancelled has no life left to look at
            return self.close(version, name)
        done, _ = self.attempt(
            model.refuses_cancellation(), lambda: self.releases.service.cancel("labapp", version, actor)
        )
        if done:
            model.move(S.CANCELLED)
        return None

    def close(self, version: str, name: str) -> None:
        model, actor = self.of(version), self.office.people[name]
        done, _ = self.attempt(model.refuses_closing(), lambda: self.releases.service.close("labapp", version, actor))
        if done:
            model.move(S.CLOSED)

    # -- the way that a release goes when nobody does anything wrong

    def _go_on(self, version: str, *, shortly: bool) -> None:
        """Take the next step of a release by whoever may; `shortly` leaves out what may be left out."""
        model = self.of(version)
        if (
            model.content is None
            or model.state is S.REJECTED
            or not (model.content.back_out and model.content.criteria)
        ):
            other = next(content for content in CONTENTS if content != model.content)
            return self.build(version, self._one(model, Role.BUILD_MANAGER, Side.DELIVERY), other)
        short = shortly and model.type is ReleaseType.EMERGENCY
        waits = model.is_under_test and not (short and model.state is S.IN_TEST)
        if (waits or (model.state is S.BUILT and not short)) and not model.is_met("sign-off acceptance"):
            return self._test(version, model)
        if model.state in (S.BUILT, S.IN_TEST, S.ACCEPTED):
            return self._sign_next(version, model)
        following = {S.AUTHORISED: S.DEPLOYING, S.SUSPENDED: S.DEPLOYING, S.DEPLOYING: S.DEPLOYED}
        if model.state in following:
            return self.follow(version, following[model.state])
        if not model.is_met("sign-off business"):
            return self._sign(version, model, Purpose.BUSINESS)
        return self.close(version, "rita")

    def _test(self, version: str, model: ReleaseModel) -> None:
        run = model.newest_run
        if run is None or run[1].passed is False:
            return self.begin_rehearsal(version, self._one(model, Role.TEST_MANAGER, Side.TEST))
        if run[1].passed is None:
            return self._end_rehearsal(run[0], True)
        if not model.is_met("rehearsal"):
            return self.tell(version, self._one(model, Role.TESTER, Side.TEST), True)
        if model.change is None:
            return self.accept_change(version, self._one(model, Role.TEST_MANAGER, Side.TEST), ("labapp:all",), False)
        if not model.is_met("known-errors high"):
            bad = [n for n, error in model.errors.items() if error.state == "open" and error.severity > "b"]
            return self._resolve(bad[0], "tom", "fixed")
        return self._sign(version, model, Purpose.ACCEPTANCE)

    def _sign_next(self, version: str, model: ReleaseModel) -> None:
        wanted = [Purpose.IMPLEMENTATION, Purpose.CHANGE]
        if model.type is ReleaseType.MINOR:
            wanted = [Purpose.IMPLEMENTATION, Purpose.BUSINESS]
        for purpose in wanted:
            if not model.is_met(f"sign-off {purpose.value}"):
                return self._sign(version, model, purpose)
        return self.authorise(version, self._one(model, Role.RELEASE_MANAGER, Side.DELIVERY))

    def _sign(self, version: str, model: ReleaseModel, purpose: Purpose) -> None:
        sides = {
            Purpose.ACCEPTANCE: (Role.TEST_MANAGER, Side.TEST),
            Purpose.BUSINESS: (Role.BUSINESS_APPROVER, Side.BUSINESS),
            Purpose.IMPLEMENTATION: (Role.RELEASE_MANAGER, Side.DELIVERY),
            Purpose.CHANGE: (Role.CHANGE_MANAGER, Side.CHANGE),
        }
        self.sign(version, self._one(model, *sides[purpose]), purpose, True)

    def _one(self, model: ReleaseModel, role: Role, side: Side) -> str:
        """Return somebody with a role who may stand on a side; whoever was appointed before others."""
        may = [n for n in NAMES[:-2] if role in self.office.people[n].roles and model.sides.get(n, side) is side]
        appointed = [name for name, duty in model.duties if duty is role]
        return next(iter([n for n in may if n in appointed] or may), "una")

    # -- what has to be so after every step

    def check_invariants(self, *arguments: Any, **named: Any) -> None:
        super().check_invariants(*arguments, **named)
        self.steps += 1
        self._hold()

    def _hold(self) -> None:
        self._nobody_stands_on_two_sides()
        for row in self._rows("select id, version, state, digest, authorised_change, authorised_changes from release"):
            number, version, state, digest, frozen, authorised = row
            model = self.of(version)
            self._is_as_the_model_says(number, model, state, digest)
            self._signatures_bind_what_is(number, version, digest, model)
            self._moved_along_a_way(version, S(state))
            self._stays_as_authorised(version, state, frozen, authorised)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self.tables.execute(statement, values).fetchall()

    def _nobody_stands_on_two_sides(self) -> None:
        found = self._rows(
            "select release_id, person_id from (select release_id, person_id, side from release_side union "
            "select release_id, person_id, side from release_duty union "
            "select release_id, person_id, side from sign_off) group by release_id, person_id having count(*) > 1"
        )
        assert found == []
        root = self.office.people["root"].person_id
        assert self._rows("select side from release_side where person_id = ?", root) == []

    def _is_as_the_model_says(self, number: int, model: ReleaseModel, state: str, digest: str) -> None:
        assert (state, bool(digest)) == (model.state.value, model.content is not None)
        names = {actor.person_id: name for name, actor in self.office.people.items()}
        sides = self._rows("select person_id, side from release_side where release_id = ?", number)
        assert {names[person]: side for person, side in sides} == model.sides
        duties = self._rows("select person_id, role from release_duty where release_id = ?", number)
        assert {(names[person], role) for person, role in duties} == model.duties

    def _signatures_bind_what_is(self, number: int, version: str, digest: str, model: ReleaseModel) -> None:
        accepted = self._rows(
            "select digest, changes from rehearsed_change where release_id = ? and package = ? and voided_at is null",
            number,
            digest,
        )
        assert [tuple(one["key"] for one in json.loads(row[1])) for row in accepted] == (
            [model.change] if model.change else []
        )
        signed = self._rows(
            "select person_name, purpose, package, subject from sign_off where release_id = ? and voided_at is null",
            number,
        )
        assert sorted((row[0], row[1]) for row in signed) == sorted((n, p.value) for n, p in model.signed)
        for _, purpose, package, subject in signed:
            bound = {
                "release": "labapp",
                "version": version,
                "package": digest,
                "policy": self.office.policy,
                "change": accepted[0][0] if accepted else "",
                "purpose": purpose,
            }
            assert (package, subject) == (digest, hashlib.sha256(canonical(bound)).hexdigest())

    def _moved_along_a_way(self, version: str, state: S) -> None:
        was = self.was[version]
        followed = was in DEPLOYMENT and state in DEPLOYMENT  # stands where its roll-outs stand
        assert state is was or followed or state in RELEASE_STATES.allowed(was), f"{was} to {state}"
        if state is S.AUTHORISED and was not in DEPLOYMENT:
            self._went_through_every_gate(version)
        self.was[version] = state
        self.office.reached.add(f"{self.of(version).type.value} {state.value}")

    def _went_through_every_gate(self, version: str) -> None:
        _, _, lines = self.releases.service.checklist("labapp", version)
        path = [line for line in lines if line.before in (S.IN_TEST, S.ACCEPTED, S.AUTHORISED)]
        late = {"rehearsal", "known-errors high"}  # may have come out otherwise after the acceptance was signed
        still = [line.gate for line in path if line.status.value == "not_met" and line.gate not in late]
        assert path and not still, still

    def _stays_as_authorised(self, version: str, state: str, frozen: str | None, authorised: str) -> None:
        if version in self.frozen:
            assert (frozen, authorised) == self.frozen[version]
        elif frozen is not None:
            assert state == "authorised"
            self.frozen[version] = (frozen, authorised)
            assert hashlib.sha256(canonical(json.loads(authorised))).hexdigest() == frozen
        assert (frozen is not None) == (version in self.frozen) and (frozen is not None or S(state) not in DEPLOYMENT)

    def teardown(self) -> None:
        self.tables.close()
        self.office.steps += self.steps
        with self.releases.services.database.reading() as session:
            assert verify_log(session).size > 0


@pytest.fixture
def office() -> Iterator[Office]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        file = Path(folder) / "machine.sqlite"
        with some_releases(Path(folder), f"sqlite:///{file}") as releases:
            yield Office(releases, file)


def test_ten_thousand_steps_of_two_releases_are_as_the_model_says(office: Office):
    run_state_machine_as_test(
        lambda: Life(office),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert office.steps >= ENOUGH
    everywhere = {f"{kind.value} {state}" for kind in KINDS.values() for state in ("closed", "rejected", "cancelled")}
    assert everywhere <= office.reached
