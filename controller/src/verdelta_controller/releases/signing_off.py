"""Sign a release off: a person, with a second step, signs the digest of exactly what was read, once, in words."""

from typing import NamedTuple, Protocol

from sqlalchemy import or_
from sqlmodel import Session, col, select

from ..access.rules import Actor, Role
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, NotAllowed
from ..foundation.evidence import EvidenceLog, Record
from . import facts, gates
from .duties import appoint, appointed, check_turn, claim
from .gates import Facts
from .lifecycle import enter, get, in_words, label_of
from .policy import Policy
from .policy_service import policy_of
from .rules import SIGNED_NO_MORE, ReleaseState, signed_subject
from .sides import SIGNED_BY, Purpose, side_of
from .tables import GateWaiver, Release, ReleaseDuty, ReleaseSide, SignOffRow


class Credentials(Protocol):
    """What signing asks of whoever keeps the accounts."""

    def confirm_second_step(self, actor: Actor, code: str) -> None:
        """Raise NotAllowed when the code is not the actor's, or was used."""
        ...

    def lender_of(self, session: Session, actor: Actor, role: Role) -> str | None:
        """Return the person whose role this is, where it is lent to the actor; None where it is the actor's own.

        It stays so until the transaction ends.  Raises NotAllowed when the actor does not hold it any more.
        """
        ...


class Binding(NamedTuple):
    """What a signature would bind: its digest, and the same in words."""

    subject: str
    statement: str


class SigningOffService:
    """The use-cases around duties and sign-offs."""

    def __init__(self, database: Database, evidence: EvidenceLog, credentials: Credentials) -> None:
        self._database = database
        self._evidence = evidence
        self._credentials = credentials

    def binding(self, name: str, version: str, purpose: Purpose) -> Binding:
        """Return what would be signed now.  Raises NotFound, GateClosed (there is no package)."""
        with self._database.reading() as session:
            release = get(session, name, version)
            policy = policy_of(session, release)
            return _binding(release, policy, facts.gather(session, release, policy), purpose)

    def sign(self, name: str, version: str, purpose: Purpose, subject: str, code: str, actor: Actor) -> SignOffRow:
        """Sign what has the digest `subject`: what the person was shown, and nothing that came after.

        The test manager's acceptance takes the release from in_test to accepted.  Raises NotAllowed (a token, the
        wrong role, the other side, the second step), GateClosed (it has changed, or evidence is missing), NotFound.
        """
        role = SIGNED_BY[purpose]
        person = _person(actor, role)
        with self._database.reading() as session:  # what would be refused anyway spends no code
            _bound(session, get(session, name, version), purpose, subject)
        self._credentials.confirm_second_step(actor, code)
        with self._database.transaction() as session:
            lender = self._credentials.lender_of(session, actor, role)  # holds people before the release, as a merge
            release = get(session, name, version, lock=True)
            binding = _bound(session, release, purpose, subject)
            check_turn(session, release, role, (person, lender), actor.name)
            side = side_of(role)
            claim(session, release, person, side, f"signed for {purpose.value}", actor.name)
            claim(
                session, release, lender, side, f"lent {actor.name} the role {role.value}", f"who lent {actor.name} it"
            )
            signed = _signed(session, release, person, purpose, subject)
            if signed is not None:
                return signed
            signed = SignOffRow(
                release_id=release.id or 0,
                person_id=person,
                person_name=actor.name,
                side=side.value if side else "",
                purpose=purpose.value,
                subject=subject,
                package=release.digest,
                statement=binding.statement,
                for_person_id=lender,
                signed_at=now(),
            )
            session.add(signed)
            session.flush()
            records = [Record("signed-off", label_of(release), _content(signed, role))]
            if purpose is Purpose.ACCEPTANCE and release.state == ReleaseState.IN_TEST:
                records += _accept(session, release, actor)
            self._evidence.append_many(session, records, now())
        return signed

    def sign_offs(self, name: str, version: str) -> list[SignOffRow]:
        """Return every sign-off of a release, those that are void among them, the oldest first.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            wanted = select(SignOffRow).where(SignOffRow.release_id == release.id).order_by(col(SignOffRow.id))
            return list(session.exec(wanted))

    def appoint(self, name: str, version: str, person_id: str, person_name: str, role: Role, actor: Actor) -> None:
        """Give a person a duty in a release.  Raises OtherSide, Conflict, NotFound."""
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            if appoint(session, release, person_id, role, actor, person_name):
                content = {"person": person_name, "role": role.value, "by": actor.name}
                self._evidence.append(session, "appointed", label_of(release), content, now())

    def people(self, name: str, version: str) -> tuple[list[ReleaseDuty], list[ReleaseSide]]:
        """Return who was appointed to what, and who stands on which side.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            sides = select(ReleaseSide).where(ReleaseSide.release_id == release.id).order_by(col(ReleaseSide.since))
            return appointed(session, release), list(session.exec(sides))


def move_person(session: Session, kept: str, gone: str) -> None:
    """Let one of a person's two accounts take over all that the other did, in the caller's transaction.

    Raises Conflict when the two stand on different sides of a release, or one granted what the other had asked for:
    nobody comes to both by merging accounts.
    """
    _move_waivers(session, kept, gone)
    _move_loans(session, kept, gone)
    sides = select(ReleaseSide).where(ReleaseSide.person_id == gone)
    for side in list(session.exec(sides)):
        other = session.get(ReleaseSide, (side.release_id, kept))
        if other is not None and other.side != side.side:
            raise Conflict(
                "the two accounts stand on different sides of a release: one tests what the other makes",
                mend="They stay two; let the release be signed by somebody else.",
            )
        if other is None:
            given = side.model_dump(exclude={"person_id"})
            session.add(ReleaseSide(**given, person_id=kept))
            session.flush()
        for duty in list(session.exec(select(ReleaseDuty).where(*_at(ReleaseDuty, side, gone)))):
            if session.get(ReleaseDuty, (duty.release_id, kept, duty.role)) is None:
                session.add(ReleaseDuty(**duty.model_dump(exclude={"person_id"}), person_id=kept))
            session.delete(duty)
        for signed in list(session.exec(select(SignOffRow).where(*_at(SignOffRow, side, gone)))):
            signed.person_id = kept
            session.add(signed)
        session.flush()
        session.delete(side)
    session.flush()


def _move_waivers(session: Session, kept: str, gone: str) -> None:
    mine = or_(col(GateWaiver.asked_by) == gone, col(GateWaiver.granted_by) == gone)
    for waiver in list(session.exec(select(GateWaiver).where(mine).with_for_update())):
        asked_by = kept if waiver.asked_by == gone else waiver.asked_by
        granted_by = kept if waiver.granted_by == gone else waiver.granted_by
        if asked_by == granted_by:
            raise Conflict(
                f"one of the two accounts granted waiver {waiver.id}, which the other had asked for",
                mend="They stay two: a waiver takes two people.",
            )
        waiver.asked_by, waiver.granted_by = asked_by, granted_by
        session.add(waiver)
    session.flush()


def _move_loans(session: Session, kept: str, gone: str) -> None:
    for signed in list(session.exec(select(SignOffRow).where(SignOffRow.for_person_id == gone))):
        signed.for_person_id = kept
        session.add(signed)
    session.flush()


def _at(table: type[ReleaseDuty] | type[SignOffRow], side: ReleaseSide, person: str) -> tuple[bool, bool]:
    return table.release_id == side.release_id, table.person_id == person


def _person(actor: Actor, role: Role) -> str:
    """Return the person who may sign in a role.  Raises NotAllowed."""
    if actor.person_id is None:
        raise NotAllowed(f"{actor.name} is a token, and tokens never sign", mend="Log in: verdelta login NAME")
    if role not in actor.roles:
        raise NotAllowed(f"{actor.name} ({actor.described}) is no {role.value}", mend="Ask one of those who are.")
    return actor.person_id


def _bound(session: Session, release: Release, purpose: Purpose, subject: str) -> Binding:
    """Return what is to be signed, when it is what the person was shown, and there is all that it rests on.

    Raises GateClosed.
    """
    _check_open(release)
    policy = policy_of(session, release)
    known = facts.gather(session, release, policy)
    binding = _binding(release, policy, known, purpose)
    if subject != binding.subject:
        raise GateClosed(
            f"{label_of(release)} is not what you were shown: it was built, rehearsed or planned anew since",
            mend=f"Read it again: verdelta release sign {label_of(release)} {purpose.value}",
        )
    _check_evidence(policy, known, purpose)
    return binding


def _binding(release: Release, policy: Policy, known: Facts, purpose: Purpose) -> Binding:
    if known.manifest is None:
        raise GateClosed(f"{known.label} was not built yet: there is nothing to sign", mend="verdelta release build")
    change = known.rehearsed_change
    subject = signed_subject(
        release.name, release.version, release.digest, policy.digest(), change.digest if change else "", purpose.value
    )
    return Binding(subject, _statement(release, known, purpose))


def _statement(release: Release, known: Facts, purpose: Purpose) -> str:
    what = f"{known.label}, package {release.digest[:16]}, a {release.type} release of the service {release.service}"
    run, change = known.rehearsal, known.rehearsed_change
    tested = f"It was rehearsed in roll-out {run.rollout}: {run.detail}." if run else "It was not rehearsed."
    may = f"What it may change is the rehearsed change {change.digest[:16]}." if change else ""
    declared = "" if change or known.manifest is None else _declared(len(known.manifest.changes))
    first = {
        Purpose.ACCEPTANCE: f"I tested {what}, independently of those who make it, and accept it.",
        Purpose.BUSINESS: f"I accept {what}, for those who use the service.",
        Purpose.IMPLEMENTATION: f"I release {what}, for implementation.",
        Purpose.CHANGE: f"I agree to the change that {what}, makes.",
    }[purpose]
    return " ".join(part for part in (first, tested, may, declared) if part)


def _check_open(release: Release) -> None:
    """Raise GateClosed for a release that goes nowhere as it is: nobody signs what was given up."""
    if ReleaseState(release.state) in SIGNED_NO_MORE:
        raise GateClosed(f"{label_of(release)} is {release.state}: there is nothing to sign any more")


def _declared(count: int) -> str:
    return f"It declares {count} change{'' if count == 1 else 's'}."


def _check_evidence(policy: Policy, known: Facts, purpose: Purpose) -> None:
    """A signature is the last gate: what it rests on has to be there.  Raises GateClosed."""
    kind = policy.of(known.type)
    lines = gates.checklist(policy, known, now())
    for state in gates.ORDER:
        if not any(one.name == f"sign-off {purpose.value}" for one in kind.gates(state)):
            continue
        earlier = gates.left_out(policy, known, state)
        if earlier:
            raise GateClosed(
                f"{known.label} cannot be signed for {purpose.value} yet: it has to be {in_words(earlier[0])} first",
                mend=f"verdelta release gates {known.label} shows what to do, and whose turn it is.",
            )
        missing = [
            line
            for line in lines
            if line.before is state and line.status in gates.OPEN and not line.gate.startswith("sign-off ")
        ]
        if missing:
            said = "\n".join(f"  {line.gate}: {line.evidence}" for line in missing)
            raise GateClosed(
                f"{known.label} cannot be signed for {purpose.value} yet\n{said}",
                mend=f"verdelta release gates {known.label} shows what to do, and whose turn it is.",
            )


def _signed(session: Session, release: Release, person: str, purpose: Purpose, subject: str) -> SignOffRow | None:
    """Return the person's sign-off of this very thing, valid again if it was voided in between."""
    wanted = select(SignOffRow).where(
        SignOffRow.release_id == release.id,
        SignOffRow.person_id == person,
        SignOffRow.purpose == purpose.value,
        SignOffRow.subject == subject,
        col(SignOffRow.voided_at).is_(None),
    )
    return session.exec(wanted).first()


def _accept(session: Session, release: Release, actor: Actor) -> list[Record]:
    """Let a release that is in test be accepted, when this was the last signature that it takes."""
    policy = policy_of(session, release)
    known = facts.gather(session, release, policy)
    if gates.in_the_way(gates.checklist(policy, known, now()), ReleaseState.ACCEPTED):
        return []
    enter(session, release, ReleaseState.ACCEPTED)
    return [Record("release-accepted", label_of(release), {"digest": release.digest, "by": actor.name})]


def _content(signed: SignOffRow, role: Role) -> dict[str, object]:
    return {
        "sign_off": signed.id,
        "purpose": signed.purpose,
        "role": role.value,
        "by": signed.person_name,
        "person": signed.person_id,
        "for_person": signed.for_person_id,
        "package": signed.package,
        "subject": signed.subject,
        "statement": signed.statement,
    }
