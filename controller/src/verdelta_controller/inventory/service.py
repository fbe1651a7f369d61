"""Take messages in, keep what is new in them, and answer what a host looks like and looked like."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, insert
from sqlmodel import Session, col, select

from verdelta_agent import model, wire
from verdelta_agent.delta import Delta

from ..fleet.service import FleetService
from ..fleet.tables import AgentKey
from ..foundation import signing
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import InvalidInput, NotFound, TooLarge, VerdeltaError
from ..foundation.evidence import EvidenceLog
from . import rules
from .comparing import compare
from .content import EMPTY, Body, pack, parse_body, resolve, unpack
from .tables import SectionContent, Snapshot, StoredEnvelope


class StaleAudit(VerdeltaError):
    """The audit was not taken in answer to this request."""


class TakenIn(NamedTuple):
    """What became of a message.  `snapshot` is None for a check-in of a state whose rows are not all known yet."""

    digest: str
    snapshot: Snapshot | None
    unknown: list[str]  # sections whose rows the controller lacks
    known: dict[str, str]  # of those: the digest of the state it has, as a base for patches
    install_idle: bool | None


class LastAudit(NamedTuple):
    """When a host was last audited, and what of it could be read."""

    confirmed_at: datetime
    sections: Mapping[str, model.Digested]


class InventoryService:
    """The use-cases around snapshots."""

    def __init__(self, database: Database, fleet: FleetService, evidence: EvidenceLog, limit: int) -> None:
        self._database = database
        self._fleet = fleet
        self._evidence = evidence
        self.limit = limit

    # -- taking in

    def take_in(self, data: bytes, challenge: str | None = None) -> TakenIn:
        """Take in one message of an agent: verify it, keep its bytes, store what is new, move the host's state on.

        With a challenge the message has to be the answer to it.  The same message again has no second effect.
        Raises InvalidInput, TooLarge, BadSignature, NotFound, Replayed, Forked, StaleAudit.
        """
        if len(data) > self.limit:
            raise TooLarge(f"a message of {len(data)} bytes; at most {self.limit}")
        try:
            envelope = wire.decode_envelope(data)
            message = wire.decode_message(envelope.payload)
        except wire.WireError as error:
            raise InvalidInput(str(error)) from error
        if message.kind not in (wire.CHECK_IN, wire.AUDIT):
            raise InvalidInput(f"a message of the kind {message.kind!r} is not taken here")
        try:
            with self._database.transaction() as session:
                return self._accept(session, data, envelope, message, challenge)
        except rules.Forked:
            self._fleet.mark_forked(message.host_id, message.epoch)
            raise

    def _accept(
        self, session: Session, data: bytes, envelope: wire.Envelope, message: wire.Message, challenge: str | None
    ) -> TakenIn:
        key = self._fleet.key(session, message.host_id, message.epoch)
        signing.verify(key.scheme, key.public_key, wire.to_be_signed(envelope.payload), envelope.signature)
        body = parse_body(message.body)
        taken = self._digest_of_number(session, message) if message.sequence <= key.last_sequence else ""
        decision = rules.accept(message, envelope.digest, _standing(key), self._fleet.audience, taken)
        if challenge is not None and body.challenge != challenge:
            raise StaleAudit("the audit does not answer the request that was made: it may be an old one")
        lacking = self._lacking(session, body)
        if lacking and message.kind == wire.AUDIT:
            raise InvalidInput(f"audit: the rows of {lacking[0]} are neither known nor in the message")
        if isinstance(decision, rules.Duplicate):
            return self._answer(session, message.host_id, envelope.digest, body, lacking)
        self._store_contents(session, body)
        self._fleet.advance(session, key, message.sequence, envelope.digest)
        self._keep(session, message, envelope, data)
        if not lacking:
            self._move_on(session, message.host_id, envelope.digest, body)
        return self._answer(session, message.host_id, envelope.digest, body, lacking)

    def _digest_of_number(self, session: Session, message: wire.Message) -> str:
        """Return the digest of the message that was accepted under this number, "" when there is none."""
        wanted = select(StoredEnvelope.digest).where(
            StoredEnvelope.host_id == message.host_id,
            StoredEnvelope.epoch == message.epoch,
            StoredEnvelope.sequence == message.sequence,
        )
        return session.exec(wanted).first() or ""

    def _lacking(self, session: Session, body: Body) -> list[str]:
        wanted = {s.digest for name, s in body.sections.items() if name not in body.contents} - {EMPTY}
        stored = _stored(session, wanted)
        return sorted(
            name
            for name, s in body.sections.items()
            if name not in body.contents and s.digest != EMPTY and s.digest not in stored
        )

    def _store_contents(self, session: Session, body: Body) -> None:
        stored = _stored(session, {body.sections[name].digest for name in body.contents})
        new: dict[str, bytes] = {}
        for name, content in body.contents.items():
            digest = body.sections[name].digest
            base = self.rows(session, content.base) if content.base else None
            rows = resolve(name, content, base, digest)
            if digest not in stored:
                new[digest] = pack(rows)
        if new:
            session.execute(insert(SectionContent), [{"digest": d, "rows": rows} for d, rows in sorted(new.items())])

    def _keep(self, session: Session, message: wire.Message, envelope: wire.Envelope, data: bytes) -> None:
        stored = StoredEnvelope(
            digest=envelope.digest,
            host_id=message.host_id,
            epoch=message.epoch,
            sequence=message.sequence,
            kind=message.kind,
            received_at=now(),
            data=data,
        )
        session.add(stored)
        said = {
            "host_id": message.host_id,
            "sequence": message.sequence,
            "digest": envelope.digest,
            "envelope": hashlib.sha256(data).hexdigest(),
        }
        self._evidence.append(session, "audit", message.host_id, said, now())

    def _move_on(self, session: Session, host_id: str, digest: str, body: Body) -> None:
        current = self.current(session, host_id)
        sections = {name: [s.status, s.digest, s.error] for name, s in body.sections.items()}
        if current is not None and current.root == body.root and current.sections == sections:
            current.confirmed_at, current.confirmed_by = now(), digest
            current.volatile = body.volatile or current.volatile
            session.add(current)
            return
        session.add(
            Snapshot(
                host_id=host_id,
                root=body.root,
                agent=body.agent,
                sections=sections,
                volatile=body.volatile,
                envelope_digest=digest,
                taken_at=body.taken_at,
                received_at=now(),
                confirmed_at=now(),
                confirmed_by=digest,
            )
        )
        session.flush()

    def _answer(self, session: Session, host_id: str, digest: str, body: Body, lacking: list[str]) -> TakenIn:
        current = self.current(session, host_id)
        bases = current.sections if current is not None and lacking else {}
        known = {name: bases[name][1] for name in lacking if name in bases}
        return TakenIn(digest, None if lacking else current, lacking, known, body.install_idle)

    # -- asking

    def request_for(self, host_id: str, challenge: str, install_lock: str | None) -> wire.Request:
        """Return what to ask a host's agent for: a fresh audit of what is not known yet."""
        with self._database.reading() as session:
            key = self._fleet.key(session, host_id)
            current = self.current(session, host_id)
            known = {name: section[1] for name, section in current.sections.items()} if current else {}
            return wire.Request(
                audience=self._fleet.audience,
                host_id=host_id,
                challenge=challenge,
                known=known,
                last=key.last_digest,
                install_lock=install_lock,
                epoch=key.epoch,
                sequence=key.last_sequence + 1,
            )

    # -- answering

    def current(self, session: Session, host_id: str) -> Snapshot | None:
        """Return the last known state of a host: its row in the CMS."""
        newest = select(Snapshot).where(Snapshot.host_id == host_id).order_by(col(Snapshot.id).desc())
        return session.exec(newest.limit(1)).first()

    def last_known(self, host_id: str) -> Snapshot | None:
        """Return the last known state of a host, or None before its first audit."""
        with self._database.reading() as session:
            return self.current(session, host_id)

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """Return one snapshot.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(Snapshot, snapshot_id)
        if found is None:
            raise NotFound(f"there is no snapshot {snapshot_id}")
        return found

    def snapshots(self, host_id: str, limit: int = 50, before: int | None = None) -> list[Snapshot]:
        """Return the states that a host was in, or those before a certain one, the newest first."""
        newest = select(Snapshot).where(Snapshot.host_id == host_id).order_by(col(Snapshot.id).desc())
        if before is not None:
            newest = newest.where(col(Snapshot.id) < before)
        with self._database.reading() as session:
            return list(session.exec(newest.limit(limit)))

    def last_audits(self, host_ids: Collection[str]) -> dict[str, LastAudit]:
        """Return when each host was last audited and what could not be read; those never audited are left out."""
        newest = select(func.max(Snapshot.id)).where(col(Snapshot.host_id).in_(host_ids)).group_by(Snapshot.host_id)
        wanted = select(Snapshot.host_id, Snapshot.confirmed_at, Snapshot.sections).where(col(Snapshot.id).in_(newest))
        with self._database.reading() as session:
            return {
                host_id: LastAudit(confirmed_at, {name: model.Digested(*section) for name, section in sections.items()})
                for host_id, confirmed_at, sections in session.exec(wanted)
            }

    def sections_of(self, snapshot: Snapshot, names: Sequence[str] | None = None) -> model.Sections:
        """Return the sections of a snapshot with their rows, all or those named."""
        with self._database.reading() as session:
            return {
                name: model.Section(status, self.rows(session, digest), snapshot.volatile.get(name, {}), error)
                for name, (status, digest, error) in snapshot.sections.items()
                if names is None or name in names
            }

    def compare(self, before: Snapshot, after: Snapshot) -> Delta:
        """Return the exact difference of two snapshots; only sections whose digests differ are loaded."""
        with self._database.reading() as session:
            return compare(digested(before), digested(after), lambda digest: self.rows(session, digest))

    def rows(self, session: Session, digest: str) -> model.Rows:
        """Return the rows with a digest.  Raises NotFound."""
        if digest == EMPTY:
            return {}
        stored = session.get(SectionContent, digest)
        if stored is None:
            raise NotFound(f"no rows with the digest {digest}")
        return unpack(stored.rows)

    def envelope(self, digest: str) -> bytes:
        """Return a message as it was received.  Raises NotFound."""
        with self._database.reading() as session:
            stored = session.get(StoredEnvelope, digest)
        if stored is None:
            raise NotFound(f"no message with the digest {digest}")
        return stored.data


def digested(snapshot: Snapshot) -> Mapping[str, model.Digested]:
    """Return the sections of a snapshot without their rows."""
    return {name: model.Digested(*section) for name, section in snapshot.sections.items()}


def _standing(key: AgentKey) -> rules.LastMessage:
    return rules.LastMessage(key.host_id, key.epoch, key.last_sequence, key.last_digest, key.forked_at is not None)


def _stored(session: Session, digests: set[str]) -> set[str]:
    if not digests:
        return set()
    return set(session.exec(select(SectionContent.digest).where(col(SectionContent.digest).in_(digests))))
