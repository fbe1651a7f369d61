"""What people put on record about a release beside its sign-offs: things done, known errors, waivers of gates."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import col, select

from ..access.grants import check_here
from ..access.rules import Actor, Role
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, InvalidInput, NotAllowed, NotFound
from ..foundation.evidence import EvidenceLog
from ..library.service import LibraryService
from . import policy as gate
from .duties import claim
from .known_errors import Severity
from .lifecycle import get, label_of
from .manifest import ReleaseType
from .policy import NEVER_WAIVED
from .policy_service import policy_of
from .sides import Side, side_of
from .tables import GateRecord, GateWaiver, KnownError, Release

WAIVER_LIFE = timedelta(days=90)  # the longest; what has to last longer is a matter for the policy
GRANTERS = frozenset((Role.RELEASE_MANAGER, Role.CHANGE_MANAGER, Role.BUSINESS_APPROVER, Role.TEST_MANAGER))


class NewError(NamedTuple):
    """A known error as it is reported."""

    title: str
    severity: Severity
    workaround: str = ""
    component: str = ""


class RecordService:
    """The use-cases around records, known errors and waivers."""

    def __init__(self, database: Database, evidence: EvidenceLog, library: LibraryService) -> None:
        self._database = database
        self._evidence = evidence
        self._library = library

    def record(
        self, name: str, version: str, of: str, passed: bool, note: str, artifact: str | None, actor: Actor
    ) -> GateRecord:
        """Put on record that something was done for the present package; the newest of its kind counts.

        `artifact` is the SHA-256 of a report in the library.  Raises InvalidInput (the policy asks for no such
        record), NotAllowed (it is somebody else's task), NotFound, OtherSide.
        """
        if artifact is not None:
            self._library.artifact(artifact)
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            policy = policy_of(session, release).of(ReleaseType(release.type))
            gates = [one for lines in policy.before.values() for one in lines if isinstance(one, gate.Record)]
            wanted = next((one for one in gates if one.of == of), None)
            if wanted is None:
                asked = ", ".join(sorted({one.of for one in gates})) or "none"
                raise InvalidInput(
                    f"the policy asks for no record {of} of {release.type} releases", mend=f"It asks for: {asked}."
                )
            if wanted.by not in actor.roles:
                raise NotAllowed(f"{of} is recorded by the {wanted.by.value}; {actor.name} is {actor.described}")
            _check_built(release)
            claim(session, release, actor.person_id, side_of(wanted.by), f"recorded {of}", actor.name)
            record = GateRecord(
                release_id=release.id or 0,
                package=release.digest,
                of=of,
                passed=passed,
                note=note,
                artifact=artifact,
                recorded_at=now(),
                recorded_by=actor.name,
            )
            session.add(record)
            content = {"of": of, "passed": passed, "note": note, "artifact": artifact, "package": release.digest}
            self._evidence.append(session, "recorded", label_of(release), {**content, "by": actor.name}, now())
        return record

    def records(self, name: str, version: str) -> list[GateRecord]:
        """Return what was recorded of a release, the newest first.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            wanted = select(GateRecord).where(GateRecord.release_id == release.id)
            return list(session.exec(wanted.order_by(col(GateRecord.id).desc())))

    # -- known errors

    def report(self, name: str, version: str, error: NewError, actor: Actor) -> KnownError:
        """Write a known error down.  Raises NotFound, GateClosed (nothing was built yet)."""
        with self._database.transaction() as session:
            release = get(session, name, version)
            _check_built(release)
            found = KnownError(
                release_id=release.id or 0,
                package=release.digest,
                state="open",
                found_at=now(),
                found_by=actor.name,
                **{**error._asdict(), "severity": error.severity.value},
            )
            session.add(found)
            session.flush()
            content = {"number": found.id, "title": error.title, "severity": error.severity.value, "by": actor.name}
            self._evidence.append(session, "known-error-found", label_of(release), content, now())
        return found

    def resolve(self, number: int, state: str, resolution: str, actor: Actor) -> KnownError:
        """Say of a known error that it is fixed, or that it is accepted as it is, and why.

        Whoever makes a release does not accept its errors: that is for those who test it or use it.
        Raises NotFound, NotAllowed.
        """
        with self._database.transaction() as session:
            error = session.get(KnownError, number, with_for_update=True)
            if error is None:
                raise NotFound(f"there is no known error {number}")
            release = session.get(Release, error.release_id)
            if release is None:
                raise NotFound(f"there is no release number {error.release_id}")
            if state == "accepted":
                if not actor.roles & {Role.TEST_MANAGER, Role.BUSINESS_APPROVER}:
                    raise NotAllowed(f"{actor.name} ({actor.described}) cannot accept a known error")
                side = Side.TEST if Role.TEST_MANAGER in actor.roles else Side.BUSINESS
                claim(session, release, actor.person_id, side, "accepted a known error", actor.name)
            error.state, error.resolution = state, resolution
            error.resolved_at, error.resolved_by = now(), actor.name
            session.add(error)
            content = {"number": number, "state": state, "resolution": resolution, "by": actor.name}
            self._evidence.append(session, "known-error-resolved", label_of(release), content, now())
        return error

    def known_errors(self, name: str, version: str) -> list[KnownError]:
        """Return the known errors of a release, the newest first.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            wanted = select(KnownError).where(KnownError.release_id == release.id)
            return list(session.exec(wanted.order_by(col(KnownError.id).desc())))

    # -- waivers

    def ask_waiver(
        self, name: str, version: str, gate_name: str, reason: str, expires_at: datetime, actor: Actor
    ) -> GateWaiver:
        """Ask for a gate to be waived; it is, once a second person grants it.

        Raises InvalidInput (no such gate, a sign-off, an expiry that is past or too far), NotAllowed (a token).
        """
        if actor.person_id is None:
            raise NotAllowed(f"{actor.name} is a token, and waivers are people's", mend="Log in: verdelta login NAME")
        _check_expiry(expires_at)
        with self._database.transaction() as session:
            check_here(session, actor.person_id, actor.name)
            release = get(session, name, version)
            _check_waivable(policy_of(session, release).of(ReleaseType(release.type)), gate_name)
            waiver = GateWaiver(
                release_id=release.id or 0,
                gate=gate_name,
                reason=reason,
                asked_by=actor.person_id,
                asked_by_name=actor.name,
                asked_at=now(),
                expires_at=expires_at,
            )
            session.add(waiver)
            session.flush()
            content = {"number": waiver.id, "gate": gate_name, "reason": reason, "by": actor.name}
            content["expires_at"] = expires_at.isoformat()
            self._evidence.append(session, "waiver-asked", label_of(release), content, now())
        return waiver

    def grant_waiver(self, number: int, actor: Actor) -> GateWaiver:
        """Grant a waiver that somebody else asked for.  Raises NotFound, NotAllowed, GateClosed (it has expired)."""
        if actor.person_id is None or not actor.roles & GRANTERS:
            raise NotAllowed(
                f"{actor.name} ({actor.described}) cannot grant a waiver",
                mend="This takes a person who is " + " or ".join(sorted(role.value for role in GRANTERS)) + ".",
            )
        with self._database.transaction() as session:
            check_here(session, actor.person_id, actor.name)
            waiver = session.get(GateWaiver, number, with_for_update=True)
            if waiver is None:
                raise NotFound(f"there is no waiver {number}")
            if waiver.asked_by == actor.person_id:
                raise NotAllowed("a waiver takes a second person: you asked for it yourself")
            if waiver.expires_at <= now():
                raise GateClosed(f"waiver {number} expired before anybody granted it", mend="Ask for a new one.")
            if waiver.granted_at is None:
                waiver.granted_by, waiver.granted_by_name, waiver.granted_at = actor.person_id, actor.name, now()
                session.add(waiver)
                release = session.get(Release, waiver.release_id)
                content = {"number": number, "gate": waiver.gate, "asked_by": waiver.asked_by_name, "by": actor.name}
                self._evidence.append(session, "waiver-granted", label_of(release) if release else "", content, now())
        return waiver

    def waivers(self, name: str, version: str) -> list[GateWaiver]:
        """Return the waivers of a release, asked for and granted, the newest first.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            wanted = select(GateWaiver).where(GateWaiver.release_id == release.id)
            return list(session.exec(wanted.order_by(col(GateWaiver.id).desc())))


def _check_built(release: Release) -> None:
    if not release.digest:
        raise GateClosed(f"{label_of(release)} was not built yet", mend="verdelta release build")


def _check_expiry(expires_at: datetime) -> None:
    if expires_at <= now():
        raise InvalidInput(f"{expires_at:%Y-%m-%d %H:%M} is past", mend="A waiver ends on a day to come.")
    if expires_at > now() + WAIVER_LIFE:
        raise InvalidInput(
            f"a waiver lasts {WAIVER_LIFE.days} days at most", mend="What has to last longer is for the policy."
        )


def _check_waivable(policy: gate.TypePolicy, name: str) -> None:
    names = [one.name for gates in policy.before.values() for one in gates]
    if name not in names:
        raise InvalidInput(f'there is no gate "{name}"', mend="Gates are: " + (", ".join(names) or "none") + ".")
    if name.split(" ")[0] in NEVER_WAIVED:
        raise Conflict(f"{name} cannot be waived: nobody leaves out another's signature")
