"""Gather what the gates of releases look at: a handful of queries by index, of one release or of hundreds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from ..foundation.clock import now
from .acceptance import Outcome, Told, summarise
from .gates import Accepted, Facts, OpenError, Recorded, Rehearsed, Signed, Waived
from .known_errors import Severity
from .manifest import Manifest, ReleaseType
from .policy import Frequency, Policy
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

GROUP = 500  # releases that one query asks for: databases limit what one statement may name


class _Result(NamedTuple):
    """How a criterion came out, as far as gates go."""

    criterion: str
    host: str
    outcome: str
    rollout_id: int | None


_Told = TypeVar("_Told", CriterionResult, _Result)


class _Built(NamedTuple):
    """What gates look at of a package."""

    manifest: Manifest
    builder_tests: dict[str, Any] | None
    at: datetime
    by: str


def gather(session: Session, release: Release, policy: Policy) -> Facts:
    """Return what is known of a release and its present package, as far back as its policy asks for."""
    kind = policy.of(ReleaseType(release.type))
    days = [one.days for gates in kind.before.values() for one in gates if isinstance(one, Frequency)]
    since = now() - timedelta(days=max(days, default=0))
    return gather_all(session, [release], since)[release.id or 0]


def gather_all(
    session: Session, releases: Sequence[Release], deployed_since: datetime | None = None
) -> dict[int, Facts]:
    """Return what is known of each of many releases, by number: as few queries as for one.

    `deployed_since` is how far back it matters what else was deployed; None is for ever.
    """
    found: dict[int, Facts] = {}
    for first in range(0, len(releases), GROUP):
        found |= _gather(session, releases[first : first + GROUP], deployed_since)
    return found


def _gather(session: Session, releases: Sequence[Release], deployed_since: datetime | None) -> dict[int, Facts]:
    ids = [release.id or 0 for release in releases]
    packages, runs = _packages(session, ids), _newest_rehearsals(session, ids)
    results, accepted = _results(session, ids), _accepted(session, ids)
    errors, records = _known_errors(session, ids), _records(session, ids)
    sign_offs, waivers = _sign_offs(session, ids), _waivers(session, ids)
    deployed = _deployed(session, releases, deployed_since)
    return {
        number: Facts(
            label=f"{release.name} {release.version}",
            type=ReleaseType(release.type),
            state=ReleaseState(release.state),
            built_by=packages[number].by if number in packages else "",
            manifest=packages[number].manifest if number in packages else None,
            builder_tests=_builder_tests(packages.get(number)),
            rehearsal=_rehearsal(packages.get(number), runs.get(number), results[number]),
            rehearsed_change=accepted.get(number),
            known_errors=errors[number],
            records=records[number],
            sign_offs=sign_offs[number],
            waivers=waivers[number],
            deployed=[moment for other, moment in deployed[release.service, release.type] if other != number],
            passed_states=frozenset(map(ReleaseState, release.passed)),
        )
        for number, release in zip(ids, releases, strict=True)
    }


# -- one release, asked by whoever changes it


def results_of(session: Session, release: Release) -> list[CriterionResult]:
    """Return the newest result of each criterion on each host, for the present package."""
    wanted = (
        select(CriterionResult)
        .where(CriterionResult.release_id == release.id, CriterionResult.package == release.digest)
        .order_by(col(CriterionResult.id))
    )
    return _that_count(session.exec(wanted), newest_rehearsal(session, release))


def _that_count(rows: Iterable[_Told], run: RehearsalRun | None) -> list[_Told]:
    """Return of each criterion on each host the newest result, if it is of the newest rehearsal, or of none."""
    newest = {(row.criterion, row.host): row for row in rows}
    rollout = run.rollout_id if run else None
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


# -- many releases, asked by gates


def _of_present(table: type[Any], ids: Sequence[int], *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition for rows of the packages that releases are now, joined with `Release`."""
    return and_(
        col(Release.id).in_(ids), col(table.release_id) == col(Release.id), table.package == Release.digest, *conditions
    )


def _packages(session: Session, ids: Sequence[int]) -> dict[int, _Built]:
    wanted = columns(
        col(Release.id),
        col(Package.manifest),
        col(Package.builder_tests),
        col(Package.built_at),
        col(Package.built_by),
    ).where(col(Release.id).in_(ids), col(Package.digest) == col(Release.digest))
    return {
        number or 0: _Built(Manifest.model_validate(manifest), tests, at, by)
        for number, manifest, tests, at, by in session.execute(wanted)
    }


def _builder_tests(package: _Built | None) -> tuple[bool, str, datetime] | None:
    if package is None or package.builder_tests is None:
        return None
    told = BuilderTests.model_validate(package.builder_tests)
    left_out = ", not run by the builder" if told.left_out else ""
    said = f"{told.passed} passed, {told.failed} failed, {told.skipped} skipped{left_out}"
    return told.are_good, said, package.at


def _newest_rehearsals(session: Session, ids: Sequence[int]) -> dict[int, RehearsalRun]:
    wanted = select(RehearsalRun).where(_of_present(RehearsalRun, ids)).order_by(col(RehearsalRun.rollout_id))
    return {run.release_id: run for run in session.exec(wanted)}


def _results(session: Session, ids: Sequence[int]) -> Mapping[int, list[_Result]]:
    row = CriterionResult
    wanted = (
        columns(col(row.release_id), col(row.criterion), col(row.host), col(row.outcome), col(row.rollout_id))
        .where(_of_present(row, ids))
        .order_by(col(row.id))
    )
    found: dict[int, list[_Result]] = defaultdict(list)
    for number, *result in session.execute(wanted):
        found[number].append(_Result(*result))
    return found


def _rehearsal(package: _Built | None, run: RehearsalRun | None, results: Sequence[_Result]) -> Rehearsed | None:
    if run is None or package is None:
        return None
    criteria = package.manifest.acceptance
    told = [Told(one.criterion, one.host, Outcome(one.outcome)) for one in _that_count(results, run)]
    summary = summarise(criteria, told)
    passed = None if run.passed is None else run.passed and summary.passed
    detail = f"{run.detail}; {summary.detail}" if criteria else run.detail
    return Rehearsed(run.rollout_id, passed, detail, run.begun_by, run.ended_at or run.begun_at, summary.open)


def _accepted(session: Session, ids: Sequence[int]) -> dict[int, Accepted]:
    row = RehearsedChangeRow
    wanted = (
        select(row.release_id, row.digest, row.accepted_by, row.accepted_at)
        .where(_of_present(row, ids, col(row.voided_at).is_(None)))
        .order_by(col(row.id))
    )
    return {number: Accepted(digest, by, at) for number, digest, by, at in session.exec(wanted)}


def _known_errors(session: Session, ids: Sequence[int]) -> Mapping[int, list[OpenError]]:
    wanted = select(KnownError).where(col(KnownError.release_id).in_(ids), KnownError.state == "open")
    found: dict[int, list[OpenError]] = defaultdict(list)
    for error in session.exec(wanted.order_by(col(KnownError.id))):
        found[error.release_id].append(OpenError(error.title, Severity(error.severity)))
    return found


def _records(session: Session, ids: Sequence[int]) -> Mapping[int, list[Recorded]]:
    found: dict[int, list[Recorded]] = defaultdict(list)
    for row in session.exec(select(GateRecord).where(_of_present(GateRecord, ids)).order_by(col(GateRecord.id).desc())):
        found[row.release_id].append(Recorded(row.of, row.passed, row.recorded_by, row.recorded_at))
    return found


def _sign_offs(session: Session, ids: Sequence[int]) -> Mapping[int, list[Signed]]:
    found: dict[int, list[Signed]] = defaultdict(list)
    valid = _of_present(SignOffRow, ids, col(SignOffRow.voided_at).is_(None))
    for row in session.exec(select(SignOffRow).where(valid).order_by(col(SignOffRow.id))):
        found[row.release_id].append(Signed(Purpose(row.purpose), row.person_name, row.signed_at))
    return found


def _waivers(session: Session, ids: Sequence[int]) -> Mapping[int, list[Waived]]:
    found: dict[int, list[Waived]] = defaultdict(list)
    granted = (col(GateWaiver.release_id).in_(ids), col(GateWaiver.granted_at).is_not(None))
    for row in session.exec(select(GateWaiver).where(*granted).order_by(col(GateWaiver.id))):
        if row.granted_at is not None:
            waived = Waived(row.gate, row.reason, row.granted_by_name, row.granted_at, row.expires_at)
            found[row.release_id].append(waived)
    return found


def _deployed(
    session: Session, releases: Sequence[Release], since: datetime | None
) -> Mapping[tuple[str, str], list[tuple[int, datetime]]]:
    """Return the releases that went out, and when, by service and type."""
    wanted = select(Release.id, Release.service, Release.type, Release.deployed_at).where(
        col(Release.service).in_({release.service for release in releases}),
        col(Release.type).in_({release.type for release in releases}),
        col(Release.deployed_at).is_not(None) if since is None else col(Release.deployed_at) > since,
    )
    found: dict[tuple[str, str], list[tuple[int, datetime]]] = defaultdict(list)
    for number, service, kind, moment in session.exec(wanted):
        if moment is not None:
            found[service, kind].append((number or 0, moment))
    return found
