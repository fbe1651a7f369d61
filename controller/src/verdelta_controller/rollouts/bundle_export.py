"""Gather a roll-out's evidence into one file: entries of the log, and what they name by digests.

Only the log says what belongs to the roll-out; nothing is taken from what the controller merely shows.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from sqlmodel import Session

from ..foundation import notes
from ..foundation.database import Database
from ..foundation.errors import GateClosed, NotFound
from ..foundation.evidence import EvidenceEntry, EvidenceLog, document
from ..foundation.signing import SigningKey, audience_of
from ..inventory.service import InventoryService
from ..releases.expectations import Expectation
from ..releases.lifecycle import authorised_changes, manifest_of
from ..releases.rules import change_digest, change_document
from ..releases.service import ReleaseService
from ..releases.tables import Package, Release
from . import bundle, seen
from .bundle import Audited, Entry, Evidence, HostEvidence, Key, ReleaseEvidence, Rows
from .bundle_entries import (
    KEY_KINDS,
    ROLLOUT_KINDS,
    AuditedBefore,
    Concluded,
    GivenUp,
    Received,
    Started,
    accepts_gaps,
    key_in,
    said,
    verdict_in,
)
from .records import Records
from .states import Purpose, RolloutState

PAGE = 200  # entries of the log read together


class Exporter:
    """Makes files of evidence, sealed with the controller's key."""

    def __init__(
        self,
        database: Database,
        evidence: EvidenceLog,
        inventory: InventoryService,
        releases: ReleaseService,
        records: Records,
        key: SigningKey,
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._inventory = inventory
        self._releases = releases
        self._records = records
        self._key = key

    def export(self, rollout_id: int) -> bytes:
        """Return the evidence of a roll-out at rest.  Raises NotFound, GateClosed, TooLarge, LogBroken."""
        rollout = self._records.rollout(rollout_id)
        if rollout.state in (RolloutState.RUNNING, RolloutState.BACKING_OUT):
            raise GateClosed(
                f"roll-out {rollout_id} is {rollout.state}: its evidence is not complete yet",
                mend=f"Wait for it: verdelta rollout status {rollout_id} -w",
            )
        release = self._releases.by_id(rollout.release_id)
        package = self._releases.package(rollout.package)
        with self._database.reading() as session:
            gathering = _Gathering(session, self._evidence, self._inventory, audience_of(self._key.public_key))
            is_rehearsal = rollout.purpose == Purpose.REHEARSAL
            changes = manifest_of(package).changes if is_rehearsal else authorised_changes(release)
            evidence = gathering.evidence(rollout_id, release, package, changes)
        return bundle.write(evidence, self._evidence.origin, self._key)


class _Gathering:
    """What has been gathered for one file, as of one checkpoint."""

    def __init__(self, session: Session, log: EvidenceLog, inventory: InventoryService, audience: str) -> None:
        self._session = session
        self._log = log
        self._inventory = inventory
        self._audience = audience
        self._checkpoint = log.checkpoint(session)
        self._size = notes.open_checkpoint(self._checkpoint, log.verifier).size
        self._entries: dict[int, Entry] = {}
        self._messages: dict[str, str] = {}
        self._rows: dict[str, Rows] = {}

    def evidence(self, rollout: int, release: Release, package: Package, changes: Sequence[Expectation]) -> Evidence:
        """Return all that proves a roll-out, whose hosts were held against these changes."""
        label = f"{release.name} {release.version}"
        begun = self._keep(self._only("rollout-started", str(rollout)))
        self._keep(self._only("release-built", label, digest=package.digest))
        if said(begun, Started).purpose == Purpose.DEPLOYMENT:
            self._keep(self._only("release-authorised", label))
        for kind in ROLLOUT_KINDS:
            for entry in self._about(kind, str(rollout), begun.index + 1):
                self._keep(entry)
        named = [host for wave in said(begun, Started).waves for host in wave]
        hosts = [self._host(host_id, name, rollout, begun, changes) for host_id, name in named]
        return Evidence(
            rollout=rollout,
            release=_release(package, changes),
            hosts=hosts,
            messages=self._messages,
            rows=self._rows,
            entries=[self._entries[index] for index in sorted(self._entries)],
            checkpoint=self._checkpoint,
        )

    # -- of one host

    def _host(
        self, host_id: str, name: str, rollout: int, begun: Entry, changes: Sequence[Expectation]
    ) -> HostEvidence:
        for entry in self._about("verdict", name, begun.index):
            verdict = verdict_in(entry)
            if (verdict.host_id, verdict.rollout) == (host_id, rollout):
                self._keep(entry)
                if not isinstance(verdict, GivenUp):
                    self._verdict(name, entry, verdict, begun, changes)
        for entry in self._about("identity-forked", host_id):
            self._keep(entry)
        return HostEvidence(host_id, name, sorted(self._keys(host_id, name), key=lambda key: key.epoch))

    def _verdict(
        self, name: str, entry: Entry, verdict: Concluded, begun: Entry, changes: Sequence[Expectation]
    ) -> None:
        """Gather what a verdict follows from."""
        known = self._known(name, verdict, begun)
        before, after = self._audit(verdict.before_envelope), self._audit(verdict.after_envelope)
        earlier = self._audit(known) if known else None
        digests = {verdict.before_envelope, verdict.after_envelope, *([known] if known else [])}
        for received in self._about("audit", verdict.host_id):
            if said(received, Received).digest in digests:
                self._keep(received)
                digests.discard(said(received, Received).digest)
            if not digests:
                break
        for digest in bundle.rows_needed(earlier, before, after, seen.sections_asked_for(changes)):
            if digest not in self._rows:
                self._rows[digest] = self._inventory.rows(self._session, digest)
        sections = frozenset(verdict.accepted_gaps)
        if sections:
            saying = [*self._about("host-changed", name), *self._about("host-added", name)]
            accepting = (one for one in saying if one.index < entry.index)
            self._keep_first(one for one in accepting if accepts_gaps(one, verdict.host_id, sections))

    def _known(self, name: str, verdict: Concluded, begun: Entry) -> str | None:
        """Return the message that showed the last known state before the roll-out, None where there was none."""
        for entry in self._about("audited-before", name, begun.index):
            first = said(entry, AuditedBefore)
            if (first.rollout, first.before_envelope) == (verdict.rollout, verdict.before_envelope):
                return said(self._keep(entry), AuditedBefore).known_envelope
        return None

    def _audit(self, digest: str) -> Audited:
        if digest not in self._messages:
            self._messages[digest] = self._inventory.envelope(digest).decode()
        return bundle.read_audit(self._messages[digest])

    def _keys(self, host_id: str, name: str) -> Iterator[Key]:
        for kind in KEY_KINDS:
            for entry in self._about(kind, name):
                key = key_in(entry, host_id, self._audience)
                if key is not None:
                    self._keep(entry)
                    yield key

    # -- of the log

    def _about(self, kind: str, subject: str, since: int = 0) -> Iterator[Entry]:
        """Yield the entries of a kind about a subject, the newest first; their proofs come when they are kept."""
        before = self._size
        while page := self._log.entries(self._session, kind=kind, subject=subject, before=before, limit=PAGE):
            for stored in page:
                if stored.index < since:
                    return
                yield _read(stored)
            before = page[-1].index

    def _only(self, kind: str, subject: str, digest: str = "") -> Entry:
        """Return the newest entry of a kind about a subject; with `digest`, the newest that says it."""
        for entry in self._about(kind, subject):
            if not digest or entry.content.get("digest") == digest:
                return entry
        raise NotFound(f"the evidence log does not say {kind} of {subject}")

    def _keep(self, entry: Entry) -> Entry:
        if entry.index not in self._entries:
            proof = self._log.inclusion_proof(self._session, entry.index, self._size)
            self._entries[entry.index] = msgspec.structs.replace(entry, proof=[step.hex() for step in proof])
        return entry

    def _keep_first(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._keep(entry)
            return


def _read(stored: EvidenceEntry) -> Entry:
    fields = json.loads(document(stored.kind, stored.subject, stored.recorded_at, stored.content))
    return Entry(index=stored.index, proof=[], **fields)


def _release(package: Package, changes: Sequence[Expectation]) -> ReleaseEvidence:
    return ReleaseEvidence(
        manifest=package.manifest,
        source=package.source,
        files=package.files,
        digest=package.digest,
        authorised_change=change_document(changes),
        authorised_change_digest=change_digest(changes),
    )
