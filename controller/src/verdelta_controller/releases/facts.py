"""Gather what the gates of a release look at: a handful of queries by index, whatever else is in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Table
from sqlalchemy import select as columns
from sqlmodel import Session, SQLModel, col, select

from .acceptance import Outcome, Told, summarise
from .gates import Accepted, Facts, OpenError, Recorded, Rehearsed, Signed, Waived
from .manifest import Manifest, ReleaseType
from .policy import Frequency, Policy, Severity
from .rules import ReleaseState
from .sides import Purpose
from .tables import (
    CriterionResult,
    GateRecord,
    GateWaiver,
    KnownError,
    Package,
    RehearsalRun,
    RehearsedChangeRow,
    Release,
    SignOffRow,
)
from .test_results import BuilderTests

WAIVERS: Table = SQLModel.metadata.tables[str(GateWaiver.__tablename__)]


def gather(session: Session, release: Release, policy: Policy) -> Facts:
    """Return what is known of a release and its present package, as far as its policy asks for it."""
    package = session.get(Package, release.digest) if release.digest else None
    manifest = Manifest.model_validate(package.manifest) if package else None
    return Facts(
        label=f"{release.name} {release.version}",
        type=ReleaseType(release.type),
        state=ReleaseState(release.state),
        built_by=package.built_by if package else "",
        manifest=manifest,
        builder_tests=_builder_tests(package),
        rehearsal=_rehearsal(session, release, manifest),
        rehearsed_change=_rehearsed_change(session, release),
        known_errors=_known_errors(session, release),
        records=_records(session, release),
        sign_offs=_sign_offs(session, release),
        waivers=_waivers(session, release),
        deployed=_deployed(session, release, policy),
        passed_states=frozenset(map(ReleaseState, release.passed)),
    )


def results_of(session: Session, release: Release) -> list[CriterionResult]:
    """Return the newest result of each criterion on each host, for the present package."""
    wanted = (
        select(CriterionResult)
        .where(CriterionResult.release_id == release.id, CriterionResult.package == release.digest)
        .order_by(col(CriterionResult.id))
    )
    newest = {(row.criterion, row.host): row for row in session.exec(wanted)}
    last_run = newest_rehearsal(session, release)
    rollout = last_run.rollout_id if last_run else None
    return [row for row in newest.values() if row.rollout_id in (None, rollout)]


def newest_rehearsal(session: Session, release: Release) -> RehearsalRun | None:
    """Return the newest rehearsal of the present package."""
    return session.exec(
        select(RehearsalRun)
        .where(RehearsalRun.release_id == release.id, RehearsalRun.package == release.digest)
        .order_by(col(RehearsalRun.rollout_id).desc())
        .limit(1)
    ).first()


def accepted_change(session: Session, release: Release) -> RehearsedChangeRow | None:
    """Return the rehearsed change that was accepted for the present package."""
    return session.exec(
        select(RehearsedChangeRow)
        .where(
            RehearsedChangeRow.release_id == release.id,
            RehearsedChangeRow.package == release.digest,
            col(RehearsedChangeRow.voided_at).is_(None),
        )
        .order_by(col(RehearsedChangeRow.id).desc())
        .limit(1)
    ).first()


def valid_sign_offs(session: Session, release: Release) -> list[SignOffRow]:
    """Return the sign-offs that bind the release as it is, the oldest first."""
    wanted = (
        select(SignOffRow)
        .where(
            SignOffRow.release_id == release.id,
            SignOffRow.package == release.digest,
            col(SignOffRow.voided_at).is_(None),
        )
        .order_by(col(SignOffRow.id))
    )
    return list(session.exec(wanted))


def _builder_tests(package: Package | None) -> tuple[bool, str, datetime] | None:
    if package is None or package.builder_tests is None:
        return None
    told = BuilderTests.model_validate(package.builder_tests)
    left_out = ", not run by the builder" if told.left_out else ""
    said = f"{told.passed} passed, {told.failed} failed, {told.skipped} skipped{left_out}"
    return told.are_good, said, package.built_at


def _rehearsal(session: Session, release: Release, manifest: Manifest | None) -> Rehearsed | None:
    run = newest_rehearsal(session, release)
    if run is None or manifest is None:
        return None
    summary = summarise(manifest.acceptance, _told(session, release, run.rollout_id))
    passed = None if run.passed is None else run.passed and summary.passed
    detail = f"{run.detail}; {summary.detail}" if manifest.acceptance else run.detail
    return Rehearsed(run.rollout_id, passed, detail, run.begun_by, run.ended_at or run.begun_at)


def _told(session: Session, release: Release, rollout_id: int) -> list[Told]:
    """Return what `results_of` does, and of it only what a summary takes."""
    wanted = (
        select(CriterionResult.criterion, CriterionResult.host, CriterionResult.outcome, CriterionResult.rollout_id)
        .where(CriterionResult.release_id == release.id, CriterionResult.package == release.digest)
        .order_by(col(CriterionResult.id))
    )
    newest = {(criterion, host): (outcome, run) for criterion, host, outcome, run in session.exec(wanted)}
    return [Told(*of, Outcome(outcome)) for of, (outcome, run) in newest.items() if run in (None, rollout_id)]


def _rehearsed_change(session: Session, release: Release) -> Accepted | None:
    found = accepted_change(session, release)
    return Accepted(found.digest, found.accepted_by, found.accepted_at) if found else None


def _known_errors(session: Session, release: Release) -> list[OpenError]:
    wanted = select(KnownError.title, KnownError.severity).where(
        KnownError.release_id == release.id, KnownError.state == "open"
    )
    return [OpenError(title, Severity(severity)) for title, severity in session.exec(wanted)]


def _records(session: Session, release: Release) -> list[Recorded]:
    wanted = (
        select(GateRecord.of, GateRecord.passed, GateRecord.recorded_by, GateRecord.recorded_at)
        .where(GateRecord.release_id == release.id, GateRecord.package == release.digest)
        .order_by(col(GateRecord.id).desc())
    )
    return [Recorded(*row) for row in session.exec(wanted)]


def _sign_offs(session: Session, release: Release) -> list[Signed]:
    rows: Sequence[SignOffRow] = valid_sign_offs(session, release)
    return [Signed(Purpose(row.purpose), row.person_name, row.signed_at) for row in rows]


def _waivers(session: Session, release: Release) -> list[Waived]:
    names = ("gate", "reason", "granted_by_name", "granted_at", "expires_at")  # in the order of `Waived`
    wanted = columns(*(WAIVERS.c[name] for name in names)).where(
        WAIVERS.c.release_id == release.id, WAIVERS.c.granted_at.is_not(None)
    )
    return [Waived(*row) for row in session.execute(wanted)]


def _deployed(session: Session, release: Release, policy: Policy) -> list[datetime]:
    """Return when others of this type and service went out, the newest first, as many as a gate may ask about."""
    asked = [
        one.at_most
        for gates in policy.of(ReleaseType(release.type)).before.values()
        for one in gates
        if isinstance(one, Frequency)
    ]
    if not asked:
        return []
    wanted = select(Release.deployed_at).where(
        Release.service == release.service,
        Release.type == release.type,
        Release.id != release.id,
        col(Release.deployed_at).is_not(None),
    )
    newest = wanted.order_by(col(Release.deployed_at).desc()).limit(max(asked))
    return [moment for moment in session.exec(newest) if moment is not None]
