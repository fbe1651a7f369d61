"""Gather a release's evidence into one file, from the log and from what it names by digests."""

import hashlib
import json
from collections.abc import Iterator

from sqlmodel import Session, col, select

from ..foundation import notes
from ..foundation.database import Database
from ..foundation.errors import GateClosed
from ..foundation.evidence import EvidenceLog, document
from ..foundation.signing import SigningKey
from ..library.service import LibraryService
from ..releases.lifecycle import label_of
from ..releases.lock import NAME as LOCK
from ..releases.packages import PackageService
from ..releases.rules import ReleaseState
from ..releases.service import ReleaseService
from ..releases.tables import Package, Release
from . import release_evidence
from .bundle import Entry
from .bundle_export import PAGE, Exporter
from .release_evidence import Predicate, RolloutReference
from .states import RolloutState
from .tables import Rollout

UNDER_WAY = (RolloutState.RUNNING.value, RolloutState.BACKING_OUT.value)


class ReleaseExporter:
    """Makes files of evidence of whole releases, signed with the controller's key."""

    def __init__(
        self,
        database: Database,
        evidence: EvidenceLog,
        releases: ReleaseService,
        packages: PackageService,
        library: LibraryService,
        rollouts: Exporter,
        key: SigningKey,
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._releases = releases
        self._packages = packages
        self._library = library
        self._rollouts = rollouts
        self._key = key

    def export(self, name: str, version: str) -> bytes:
        """Return the evidence of a release that is at rest.  Raises NotFound, GateClosed, TooLarge, LogBroken."""
        release = self._releases.release(name, version)
        if release.state == ReleaseState.DRAFT:
            raise GateClosed(f"{label_of(release)} was not built yet", mend="verdelta release build")
        package = self._releases.package(release.digest)
        rollouts = self._rollouts_of(release)
        files = {number: self._rollouts.export(number) for number, _ in rollouts}
        references = [
            RolloutReference(number, purpose, hashlib.sha256(files[number]).hexdigest()) for number, purpose in rollouts
        ]
        with self._database.reading() as session:
            checkpoint = self._evidence.checkpoint(session)
            size = notes.open_checkpoint(checkpoint, self._evidence.verifier).size
            entries = list(self._entries(session, label_of(release), size))
        predicate = self._predicate(release, package, references, entries, checkpoint)
        return release_evidence.write(package.digest, predicate, files, self._key)

    def _rollouts_of(self, release: Release) -> list[tuple[int, str]]:
        """Return number and purpose of every roll-out.  Raises GateClosed while one is under way."""
        wanted = select(Rollout).where(Rollout.release_id == release.id).order_by(col(Rollout.id))
        with self._database.reading() as session:
            found = list(session.exec(wanted))
        for rollout in found:
            if rollout.state in UNDER_WAY:
                raise GateClosed(
                    f"roll-out {rollout.id} is {rollout.state}: the evidence is not complete yet",
                    mend=f"Wait for it: verdelta rollout status {rollout.id} -w",
                )
        return [(rollout.id or 0, rollout.purpose) for rollout in found]

    def _entries(self, session: Session, label: str, size: int) -> Iterator[Entry]:
        """Yield every entry about a release, the oldest first, with its proof in the log of `size` entries."""
        stored, before = [], size
        while page := self._evidence.entries(session, subject=label, before=before, limit=PAGE):
            stored += page
            before = page[-1].index
        for one in reversed(stored):
            fields = json.loads(document(one.kind, one.subject, one.recorded_at, one.content))
            proof = self._evidence.inclusion_proof(session, one.index, size)
            yield Entry(index=one.index, proof=[step.hex() for step in proof], **fields)

    def _predicate(
        self,
        release: Release,
        package: Package,
        rollouts: list[RolloutReference],
        entries: list[Entry],
        checkpoint: str,
    ) -> Predicate:
        lock = self._library.path(package.files[LOCK]).read_text() if LOCK in package.files else ""
        return Predicate(
            release=release.name,
            version=release.version,
            state=release.state,
            manifest=package.manifest,
            source=package.source,
            files=package.files,
            lock=lock,
            sbom=self._packages.bill_of_materials(release.name, release.version),
            policy=self._releases.policy(release).document(),
            authorised_change=release.authorised_changes,
            rollouts=rollouts,
            entries=entries,
            checkpoint=checkpoint,
        )
