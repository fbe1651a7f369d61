"""Take messages in, keep what is new in them, and answer what a host looks like and looked like."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from verdelta_agent import model, wire
from verdelta_agent.delta import Delta

from ..fleet.service import FleetService
from ..fleet.tables import AgentKey
from ..foundation import signing
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import HostFailed, InvalidInput, NotFound, TooLarge
from ..foundation.evidence import EvidenceLog
from . import messages, rules
from .comparing import compare
from .content import EMPTY, pack, resolve, unpack
from .messages import Body, Message
from .tables import SectionContent, Snapshot, StoredEnvelope


class StaleAudit(HostFailed):
    """The audit was not taken in answer to this request."""


class Received(NamedTuple):
    """A message whose signature holds, and the rows that it brings, by their digest."""

    data: bytes
    envelope: wire.Envelope
    message: Message
    rows: Mapping[str, bytes]


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
        Raises InvalidInput, TooLarge, NotAuthenticated (nobody enrolled the key), BadSignature, StaleAudit, and what
        `rules.accept` raises.
        """
        if len(data) > self.limit:
            raise TooLarge(f"a message of {len(data)} bytes; at most {self.limit}")
        envelope = messages.open_envelope(data)
        with self._database.reading() as session:
            key = self._fleet.keys.signer(session, envelope.key_id)
        signing.verify(key.scheme, key.public_key, wire.to_be_signed(envelope.payload), envelope.signature)
        message = messages.read_message(envelope.payload)
        received = Received(data, envelope, message, self._brought(message.body))
        try:
            with self._database.transaction() as session:
                return self._accept(session, key, received, challenge)
        except rules.Forked:
            self._fleet.keys.mark_forked(key.host_id, key.epoch)
            raise

    def _brought(self, body: Body) -> dict[str, bytes]:
        """Return the rows that a message brings, by their digest and as they are stored.  Raises InvalidInput."""
        brought: dict[str, bytes] = {}
        with self._database.reading() as session:
            for name, content in body.contents.items():
                base = _rows(session, content.base) if content.base else None
                digest = body.sections[name].digest
                brought[digest] = pack(resolve(name, content, base, digest))
        return brought

    def _accept(self, session: Session, signer: AgentKey, received: Received, challenge: str | None) -> TakenIn:
        key = self._fleet.keys.newest(session, signer.host_id, hold=True)
        if key.key_id != signer.key_id:
            raise rules.WrongEpoch()
        body, digest = received.message.body, received.envelope.digest
        head = received.message.head()
        taken = _digest_of_number(session, head) if head.sequence <= key.last_sequence else ""
        decision = rules.accept(head, digest, _standing(key), self._fleet.audience, taken)
        if challenge is not None and body.challenge != challenge:
            raise StaleAudit("the audit does not answer the request that was made: it may be an old one")
        current = self.current(session, key.host_id)
        lacking = [] if current is not None and current.root == body.root else _lacking(session, body)
        if lacking and head.kind == wire.AUDIT:
            raise InvalidInput(f"message: the rows of {lacking[0]} are neither known nor in it")
        if isinstance(decision, rules.Accepted):
            _store(session, received.rows)
            self._fleet.keys.advance(session, key, head.sequence, digest)
            if not lacking:
                current = _moved_on(session, current, key.host_id, digest, body)
            self._keep(session, received)
        bases = current.sections if current is not None else {}
        known = {name: bases[name][1] for name in lacking if name in bases}
        return TakenIn(digest, None if lacking else current, lacking, known, body.install_idle)

    def _keep(self, session: Session, received: Received) -> None:
        message, digest = received.message, received.envelope.digest
        session.add(
            StoredEnvelope(
                digest=digest,
                host_id=message.host_id,
                epoch=message.epoch,
                sequence=message.sequence,
                kind=message.kind,
                received_at=now(),
                data=received.data,
            )
        )
        said = {
            "host_id": message.host_id,
            "sequence": message.sequence,
            "digest": digest,
            "envelope": hashlib.sha256(received.data).hexdigest(),
        }
        self._evidence.append(session, "audit", message.host_id, said, now())

    # -- asking

    def request_for(self, host_id: str, challenge: str, install_lock: str | None) -> wire.Request:
        """Return what to ask a host's agent for: a fresh audit of what is not known yet."""
        with self._database.reading() as session:
            key = self._fleet.keys.newest(session, host_id)
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
        rows = _rows(session, digest)
        if rows is None:
            raise NotFound(f"no rows with the digest {digest}")
        return rows

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


def _moved_on(session: Session, current: Snapshot | None, host_id: str, digest: str, body: Body) -> Snapshot:
    """Return the state that a host is in now: the same one, confirmed, or a new one."""
    sections = {name: [s.status, s.digest, s.error] for name, s in body.sections.items()}
    if current is not None and current.root == body.root and current.sections == sections:
        current.confirmed_at, current.confirmed_by = now(), digest
        current.volatile = body.volatile or current.volatile
        session.add(current)
        return current
    new = Snapshot(
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
    session.add(new)
    session.flush()
    return new


def _digest_of_number(session: Session, message: wire.Message) -> str:
    """Return the digest of the message that was accepted under this number, "" when there is none."""
    wanted = select(StoredEnvelope.digest).where(
        StoredEnvelope.host_id == message.host_id,
        StoredEnvelope.epoch == message.epoch,
        StoredEnvelope.sequence == message.sequence,
    )
    return session.exec(wanted).first() or ""


def _rows(session: Session, digest: str) -> model.Rows | None:
    if digest == EMPTY:
        return {}
    stored = session.get(SectionContent, digest)
    return None if stored is None else unpack(stored.rows)


def _lacking(session: Session, body: Body) -> list[str]:
    """Return the sections whose rows are neither stored nor in the message."""
    wanted = {name: s.digest for name, s in body.sections.items() if name not in body.contents and s.digest != EMPTY}
    stored = set(session.exec(select(SectionContent.digest).where(col(SectionContent.digest).in_(wanted.values()))))
    return sorted(name for name, digest in wanted.items() if digest not in stored)


def _store(session: Session, rows: Mapping[str, bytes]) -> None:
    """Keep rows, unless they are there: hosts share much, and those that bring the same at once do not disturb another.

    In the order of the digests, so that two that wait for each other's rows do not do so for ever.
    """
    if rows:
        statement = _INSERT[session.get_bind().dialect.name]
        session.execute(statement, [{"digest": digest, "rows": packed} for digest, packed in sorted(rows.items())])


_INSERT = {
    "postgresql": postgresql.insert(SectionContent).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(SectionContent).on_conflict_do_nothing(),
}
