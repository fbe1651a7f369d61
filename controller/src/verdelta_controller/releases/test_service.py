"""What testing a package comes to: results of its criteria, and the rehearsed change that the test manager accepts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..access.rules import Actor, Role
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import GateClosed, InvalidInput, NotAllowed
from ..foundation.evidence import EvidenceLog, Record
from ..library.service import LibraryService
from . import facts, rules
from .acceptance import ManualCriterion, Outcome, Result, Summary, Told, summarise
from .duties import claim
from .expectations import Expectation
from .lifecycle import get, label_of, manifest_of, package_of, void
from .rules import ReleaseState
from .sides import Side
from .tables import CriterionResult, RehearsedChangeRow, Release

TESTERS = frozenset((Role.TEST_MANAGER, Role.TESTER))


class Found(NamedTuple):
    """How one criterion came out on one host ("" for none)."""

    criterion: str
    host: str
    result: Result


class TestService:
    """The use-cases around testing."""

    __test__ = False  # not a test

    def __init__(self, database: Database, evidence: EvidenceLog, library: LibraryService) -> None:
        self._database = database
        self._evidence = evidence
        self._library = library

    def keep(self, release_id: int, package: str, rollout_id: int, found: Sequence[Found]) -> None:
        """Keep what a rehearsal found out on a host by itself."""
        with self._database.transaction() as session:
            release = session.get_one(Release, release_id)
            for one in found:
                session.add(_row(release, package, one, "rehearsal", rollout_id=rollout_id))
            content = {"package": package, "rollout": rollout_id, "results": [_told(one) for one in found]}
            if found:
                self._evidence.append(session, "criteria-tried", label_of(release), content, now())

    def tell(
        self, name: str, version: str, criterion_id: str, result: Result, artifact: str | None, actor: Actor
    ) -> CriterionResult:
        """Keep what a tester, or her tools, found out about one criterion of the present package.

        `artifact` is the SHA-256 of what shows it, in the library.  Raises InvalidInput (no such criterion, evidence
        is missing), NotAllowed, GateClosed (it is not in test), OtherSide.
        """
        if not actor.roles & TESTERS:
            raise NotAllowed(
                f"{actor.name} ({actor.described}) is no tester", mend="This takes a tester, or the test manager."
            )
        if artifact is not None:
            self._library.artifact(artifact)
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            _check_in_test(release)
            criteria = {c.id: c for c in manifest_of(package_of(session, release.digest)).acceptance}
            criterion = criteria.get(criterion_id)
            if criterion is None:
                raise InvalidInput(
                    f'{label_of(release)} has no criterion "{criterion_id}"', mend=f"It has: {', '.join(criteria)}."
                )
            if isinstance(criterion, ManualCriterion) and criterion.evidence and artifact is None:
                raise InvalidInput(f"{criterion_id} takes a file that shows it", mend="Give it: --evidence FILE")
            claim(session, release, actor.person_id, Side.TEST, f"tested {criterion_id}", actor.name)
            found = Found(criterion_id, "", result)
            row = _row(release, release.digest, found, actor.name, artifact=artifact)
            session.add(row)
            content = {"package": release.digest, "results": [_told(found)], "artifact": artifact, "by": actor.name}
            self._evidence.append(session, "criterion-told", label_of(release), content, now())
        return row

    def results(self, name: str, version: str) -> tuple[list[Any], list[CriterionResult], Summary]:
        """Return the criteria of the present package, the newest results, and what they come to together."""
        with self._database.reading() as session:
            release = get(session, name, version)
            criteria = list(manifest_of(package_of(session, release.digest)).acceptance)
            rows = facts.results_of(session, release)
        told = [Told(row.criterion, row.host, Outcome(row.outcome)) for row in rows]
        return criteria, rows, summarise(criteria, told)

    def accept_change(
        self, name: str, version: str, package: str, rollout_id: int, changes: Sequence[Expectation], actor: Actor
    ) -> RehearsedChangeRow:
        """Accept what a rehearsal changed, as reviewed; what was signed before that is void.

        Raises NotAllowed (not the test manager, or a token), GateClosed (it was built anew meanwhile, or is not in
        test), OtherSide.
        """
        if actor.person_id is None or Role.TEST_MANAGER not in actor.roles:
            raise NotAllowed(
                f"{actor.name} ({actor.described}) cannot accept a rehearsed change",
                mend="This takes a person who is test-manager: verdelta login NAME",
            )
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            _check_in_test(release)
            if release.digest != package:
                raise GateClosed(
                    f"{label_of(release)} was built anew since it was rehearsed in roll-out {rollout_id}",
                    mend=f"verdelta release test {label_of(release)}",
                )
            claim(session, release, actor.person_id, Side.TEST, "accepted its rehearsed change", actor.name)
            digest = rules.change_digest(changes)
            there = facts.accepted_change(session, release)
            if there is not None and there.digest == digest:
                return there
            voided = void(session, release, "another rehearsed change was accepted")
            row = RehearsedChangeRow(
                release_id=release.id or 0,
                package=package,
                rollout_id=rollout_id,
                changes=rules.change_document(changes),
                digest=digest,
                accepted_at=now(),
                accepted_by=actor.name,
            )
            session.add(row)
            content = {"package": package, "rollout": rollout_id, "change": digest, "by": actor.name}
            record = Record("rehearsed-change-accepted", label_of(release), content)
            self._evidence.append_many(session, [*voided, record], now())
        return row

    def accepted(self, name: str, version: str) -> RehearsedChangeRow | None:
        """Return the rehearsed change that was accepted for the present package, None while there is none."""
        with self._database.reading() as session:
            return facts.accepted_change(session, get(session, name, version))

    def newest_rehearsal(self, name: str, version: str) -> int | None:
        """Return the roll-out of the newest rehearsal of the present package, None where there was none."""
        with self._database.reading() as session:
            run = facts.newest_rehearsal(session, get(session, name, version))
            return run.rollout_id if run else None


def _check_in_test(release: Release) -> None:
    """Raise GateClosed for a release of which nothing is to be tested now."""
    if not rules.is_under_test(ReleaseState(release.state), release.passed):
        label = label_of(release)
        raise GateClosed(f"{label} is {release.state}, not in test", mend=f"verdelta release test {label}")


def _row(
    release: Release, package: str, found: Found, by: str, *, rollout_id: int | None = None, artifact: str | None = None
) -> CriterionResult:
    return CriterionResult(
        release_id=release.id or 0,
        package=package,
        rollout_id=rollout_id,
        criterion=found.criterion,
        host=found.host,
        outcome=found.result.outcome.value,
        detail=found.result.detail[:500],
        artifact=artifact,
        recorded_at=now(),
        recorded_by=by,
    )


def _told(found: Found) -> dict[str, str]:
    result = found.result
    return {
        "criterion": found.criterion,
        "host": found.host,
        "outcome": result.outcome.value,
        "detail": result.detail[:500],
    }
