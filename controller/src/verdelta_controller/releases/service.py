"""Draft and build releases, authorise them, and keep where they stand."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from ..access.rules import Actor
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, InvalidInput, NotFound
from ..foundation.evidence import EvidenceLog, Record
from ..library.service import LibraryService
from . import facts, gates, rules
from .build_checks import check_package
from .duties import claim
from .expectations import Expectation
from .gates import Checked
from .lifecycle import (
    authorised_changes,
    check_gates,
    check_rebuilding,
    enter,
    find,
    get,
    hold,
    label_of,
    manifest_of,
    not_authorised,
    note_known_errors,
    package_of,
    void,
)
from .lock import LIMIT as LOCK_LIMIT
from .lock import NAME as LOCK
from .lock import check_lock
from .manifest import Manifest, ReleaseType, digest_of, load_manifest
from .playbooks import check_playbook, playbooks_named
from .policy import Policy
from .policy_service import policy_in_force, policy_of
from .rules import ReleaseState
from .sides import Side
from .tables import Package, RehearsalRun, Release
from .test_results import BuilderTests


class Deployable(NamedTuple):
    """What a roll-out installs, and what it may change: checked against the digests that were authorised."""

    manifest: Manifest
    files: Mapping[str, str]
    changes: Sequence[Expectation]


LISTED = 1_000  # files that are named in the evidence; of more, the digest of the package stands for all of them


class ReleaseService:
    """The use-cases around releases and their packages."""

    def __init__(
        self, database: Database, evidence: EvidenceLog, library: LibraryService, sections: tuple[str, ...]
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._library = library
        self._sections = sections

    # -- from draft to authorised

    def draft(
        self, name: str, version: str, kind: ReleaseType, service: str, planned_for: datetime | None, actor: Actor
    ) -> Release:
        """Begin to plan a release; it is bound to the policy in force.

        Raises InvalidInput (a version or type that the policy does not know, a day in the past), Conflict.
        """
        if planned_for is not None and planned_for <= now():
            raise InvalidInput(f"planned for {planned_for:%Y-%m-%d %H:%M}, which is past", mend="Give a later moment.")
        with self._database.transaction() as session:
            if find(session, name, version) is not None:
                raise Conflict(f"there is a release {name} {version}", mend="Give it another version.")
            release = self._begin(session, name, version, kind, service, actor)
            release.planned_for = planned_for
            session.add(release)
            self._evidence.append(session, "release-drafted", label_of(release), {"by": actor.name}, now())
        return release

    def build(
        self,
        source: str,
        files: Mapping[str, str],
        name: str,
        actor: Actor,
        builder_tests: BuilderTests | None = None,
    ) -> tuple[Release, bool]:
        """Make a package of a manifest and files that are in the library already; the same again yields the same.

        Other content under the same version is a new package, as long as the release is not authorised: it takes the
        release back to built, and voids what was signed.  Returns the release, and whether the package is new.
        Raises ManifestError, InvalidInput (a file that the manifest names is missing, or has another digest),
        Conflict (the release is authorised already), GateClosed.
        """
        manifest = load_manifest(source, name, self._sections)
        _check_files(manifest, files, self._library, source, name)
        digest = digest_of(manifest, files)
        with self._database.transaction() as session:
            release = find(session, manifest.release, manifest.version, lock=True)
            if release is None:
                release = self._begin(
                    session, manifest.release, manifest.version, manifest.type, manifest.service, actor
                )
            elif release.digest == digest:
                return release, False
            check_rebuilding(session, release, manifest, digest)
            claim(session, release, actor.person_id, Side.DELIVERY, "built it", actor.name)
            if session.get(Package, digest) is None:
                package = Package(
                    digest=digest,
                    release_id=release.id or 0,
                    manifest=manifest.document(),
                    source=source,
                    files=dict(files),
                    builder_tests=builder_tests.model_dump(mode="json") if builder_tests else None,
                    built_at=now(),
                    built_by=actor.name,
                )
                session.add(package)
                session.flush()
            voided = void(session, release, f"built anew as {digest[:12]}")
            release.digest, release.passed = digest, []
            known = note_known_errors(session, release, manifest, actor)
            enter(session, release, ReleaseState.BUILT)
            written = hashlib.sha256(source.encode()).hexdigest()
            content: dict[str, Any] = {"digest": digest, "by": actor.name, "source": written}
            if len(files) <= LISTED:
                content["files"] = dict(files)
            self._evidence.append_many(
                session, [*voided, Record("release-built", label_of(release), content), *known], now()
            )
        return release, True

    def authorise(self, name: str, version: str, actor: Actor) -> Release:
        """Authorise a release for deployment: what it may change is frozen by its digest.

        That is the rehearsed change; the declared one where the policy lets a release go without a rehearsal.
        Raises NotFound, GateClosed, OtherSide.
        """
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            if release.state == ReleaseState.AUTHORISED:
                return release
            claim(session, release, actor.person_id, Side.DELIVERY, "authorised it", actor.name)
            enter(session, release, ReleaseState.AUTHORISED)
            manifest = manifest_of(package_of(session, release.digest))
            accepted = facts.accepted_change(session, release)
            changes = (
                manifest.changes
                if accepted is None
                else [Expectation.model_validate(change) for change in accepted.changes]
            )
            release.authorised_at, release.authorised_by = now(), actor.name
            release.authorised_changes = rules.change_document(changes)
            release.authorised_change = rules.change_digest(changes)
            session.add(release)
            content = {
                "digest": release.digest,
                "by": actor.name,
                "authorised_change": release.authorised_change,
                "rehearsal": accepted.rollout_id if accepted else None,
            }
            self._evidence.append(session, "release-authorised", label_of(release), content, now())
        return release

    def reject(self, name: str, version: str, reason: str, actor: Actor) -> Release:
        """Send a release that is in test back to be built anew.  Raises NotFound, GateClosed, OtherSide."""
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            if release.state == ReleaseState.REJECTED:
                return release
            claim(session, release, actor.person_id, Side.TEST, "rejected it", actor.name)
            enter(session, release, ReleaseState.REJECTED)
            voided = void(session, release, f"rejected: {reason}"[:200])
            content = {"digest": release.digest, "by": actor.name, "reason": reason}
            self._evidence.append_many(
                session, [*voided, Record("release-rejected", label_of(release), content)], now()
            )
        return release

    def close(self, name: str, version: str, actor: Actor) -> Release:
        """Close a release that is deployed, and owes nothing any more.  Raises NotFound, GateClosed."""
        return self._move(name, version, ReleaseState.CLOSED, actor)

    def cancel(self, name: str, version: str, actor: Actor) -> Release:
        """Give a release up that was not deployed.  Raises NotFound, GateClosed."""
        return self._move(name, version, ReleaseState.CANCELLED, actor)

    # -- asked by whoever shows

    def release(self, name: str, version: str) -> Release:
        """Return one release.  Raises NotFound."""
        with self._database.reading() as session:
            return get(session, name, version)

    def by_id(self, release_id: int) -> Release:
        """Return one release by its number.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(Release, release_id)
        if found is None:
            raise NotFound(f"there is no release number {release_id}")
        return found

    def by_ids(self, numbers: Collection[int]) -> dict[int, Release]:
        """Return releases by their numbers; what is not there is left out."""
        with self._database.reading() as session:
            found = session.exec(select(Release).where(col(Release.id).in_(numbers)))
            return {release.id or 0: release for release in found}

    def releases(self, before: int | None = None, limit: int = 100) -> list[Release]:
        """Return releases, the newest first: of those older than number `before`, at most `limit`."""
        wanted = select(Release).order_by(col(Release.id).desc()).limit(limit)
        with self._database.reading() as session:
            return list(session.exec(wanted.where(col(Release.id) < before) if before is not None else wanted))

    def package(self, digest: str) -> Package:
        """Return one package by its digest.  Raises NotFound."""
        with self._database.reading() as session:
            return package_of(session, digest)

    def policy(self, release: Release) -> Policy:
        """Return the policy that a release is bound to."""
        with self._database.reading() as session:
            return policy_of(session, release)

    def packages(self, release: Release) -> list[Package]:
        """Return every package that a release has been, the newest first."""
        wanted = select(Package).where(Package.release_id == release.id).order_by(col(Package.built_at).desc())
        with self._database.reading() as session:
            return list(session.exec(wanted))

    def all_packages(self, name: str) -> list[tuple[Release, Package]]:
        """Return every package of every version of a release, the oldest first."""
        wanted = (
            select(Release, Package)
            .join(Package, col(Package.release_id) == col(Release.id))
            .where(Release.name == name)
            .order_by(col(Package.built_at))
        )
        with self._database.reading() as session:
            return [(release, package) for release, package in session.exec(wanted)]

    def checklist(self, name: str, version: str) -> tuple[Release, Policy, list[Checked]]:
        """Return a release, its policy, and the gates with what became of each.  Raises NotFound."""
        with self._database.reading() as session:
            release = get(session, name, version)
            policy = policy_of(session, release)
            return release, policy, gates.checklist(policy, facts.gather(session, release, policy), now())

    # -- asked by roll-outs

    def check_may_deploy(self, release: Release) -> list[str]:
        """Return the stages in which the package has to be verified first, when every gate before deploying is met.

        Raises GateClosed.
        """
        with self._database.reading() as session:
            check_gates(session, release, ReleaseState.DEPLOYING)
            return list(policy_of(session, release).of(ReleaseType(release.type)).verified_in)

    def hold(self, session: Session, release_id: int) -> Release:
        """Return a release that nobody else changes until the caller's transaction ends.  Raises NotFound."""
        return hold(session, release_id)

    def begin_deployment(self, session: Session, release_id: int) -> None:
        """Hold a release while its roll-out is written down, so that nobody cancels or retires it at this moment.

        Raises Retired.
        """
        release = self.hold(session, release_id)
        self._library.check_not_retired(session, release.name, release.version)

    def follow(self, session: Session, release_id: int, wanted: ReleaseState) -> None:
        """Let a release stand where its roll-outs stand, in the caller's transaction.

        Raises GateClosed when it was never authorised, or is closed.
        """
        release = self.hold(session, release_id)
        if ReleaseState(release.state) not in rules.IN_DEPLOYMENT:
            raise not_authorised(release)
        if release.state != wanted.value:
            release.state = wanted.value
            if wanted is ReleaseState.DEPLOYED and release.deployed_at is None:
                release.deployed_at = now()
            session.add(release)
            content = {"digest": release.digest}
            self._evidence.append(session, f"release-{wanted.value}", label_of(release), content, now())

    def begin_rehearsal(self, session: Session, release: Release, package: str, rollout_id: int, actor: Actor) -> None:
        """Write down that a package is being rehearsed, in the transaction in which its roll-out begins.

        A release that is built enters the test.  Raises GateClosed (also when it was built anew), OtherSide.
        """
        release = get(session, release.name, release.version, lock=True)
        if release.digest != package:
            raise GateClosed(f"{label_of(release)} was built anew in this moment", mend="Ask again.")
        claim(session, release, actor.person_id, Side.TEST, "rehearsed it", actor.name)
        if release.state == ReleaseState.BUILT:
            enter(session, release, ReleaseState.IN_TEST)
        elif not rules.is_under_test(ReleaseState(release.state), release.passed):
            raise GateClosed(f"{label_of(release)} is {release.state}, and cannot be rehearsed")
        run = RehearsalRun(
            rollout_id=rollout_id,
            release_id=release.id or 0,
            package=package,
            begun_at=now(),
            begun_by=actor.name,
        )
        session.add(run)
        content = {"digest": package, "rollout": rollout_id, "by": actor.name}
        self._evidence.append(session, "rehearsal-started", label_of(release), content, now())

    def follow_rehearsal(self, session: Session, rollout_id: int, passed: bool | None, detail: str) -> None:
        """Keep how a rehearsal came out, in the caller's transaction; None while it is under way.

        What is done to its hosts after it has come out (a back-out) does not change that, unless it is run again.
        """
        run = session.get(RehearsalRun, rollout_id)
        if run is None:
            raise NotFound(f"there is no rehearsal in roll-out {rollout_id}")
        if passed is None:
            run.passed, run.detail, run.ended_at = None, "", None
        elif run.passed is None:
            run.passed, run.detail, run.ended_at = passed, detail, now()
            release = session.get(Release, run.release_id)
            content = {"digest": run.package, "rollout": rollout_id, "passed": passed, "detail": detail}
            subject = label_of(release) if release else str(run.release_id)
            self._evidence.append(session, "rehearsal-ended", subject, content, now())
        session.add(run)

    def authorised(self, release: Release) -> Deployable:
        """Return what an authorised release installs and may change, after checking that it is what was authorised.

        Raises GateClosed.
        """
        if release.authorised_change is None:
            raise not_authorised(release)
        package = self.package(release.digest)
        manifest = manifest_of(package)
        changes = authorised_changes(release)
        if rules.change_digest(changes) != release.authorised_change:
            raise GateClosed(f"{label_of(release)} is not what was authorised: its change was altered afterwards")
        if digest_of(manifest, package.files) != release.digest:
            raise GateClosed(f"{label_of(release)} is not what was authorised: its package was changed afterwards")
        return Deployable(manifest, package.files, changes)

    def rehearsed(self, digest: str) -> Deployable:
        """Return what a rehearsal of a package installs, and what its manifest declares.  Raises GateClosed."""
        package = self.package(digest)
        manifest = manifest_of(package)
        if digest_of(manifest, package.files) != digest:
            raise GateClosed(f"package {digest[:12]} is not what was built: it was changed afterwards")
        return Deployable(manifest, package.files, manifest.changes)

    # -- inside

    def _begin(
        self, session: Session, name: str, version: str, kind: ReleaseType, service: str, actor: Actor
    ) -> Release:
        """Write a new release down, bound to the policy in force."""
        bound = policy_in_force(session)
        policy = Policy.model_validate(bound.document)
        policy.of(kind)
        policy.check_version(kind, version)
        release = Release(
            name=name,
            version=version,
            type=kind.value,
            service=service,
            state=ReleaseState.DRAFT.value,
            policy_number=bound.number or 0,
            drafted_at=now(),
            drafted_by=actor.name,
        )
        session.add(release)
        session.flush()
        claim(session, release, actor.person_id, Side.DELIVERY, "drafted it", actor.name)
        return release

    def _move(self, name: str, version: str, wanted: ReleaseState, actor: Actor) -> Release:
        with self._database.transaction() as session:
            release = get(session, name, version, lock=True)
            if release.state == wanted:
                return release
            enter(session, release, wanted)
            content = {"digest": release.digest, "by": actor.name}
            self._evidence.append(session, f"release-{wanted.value}", label_of(release), content, now())
        return release


def _check_files(manifest: Manifest, files: Mapping[str, str], library: LibraryService, source: str, name: str) -> None:
    check_package(manifest, files, now().date(), source, name)
    sizes = library.sizes(set(files.values()))  # raises NotFound
    if LOCK in files:
        check_lock(_lock_of(library.path(files[LOCK])), manifest, files, sizes)
    for playbook in sorted(playbooks_named(manifest)):
        check_playbook(library.path(files[playbook]), playbook)


def _lock_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOCK_LIMIT + 1)
