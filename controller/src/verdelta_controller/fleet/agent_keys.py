"""The keys that hosts sign with: trusted from an enrolment or a pinned host key on, until the next one or a fork.

Whoever takes messages in works with them in a transaction of its own.
"""

from typing import Any

from sqlmodel import Session, col, select

from verdelta_agent import wire

from ..foundation import signing
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, NotAuthenticated, NotFound
from ..foundation.evidence import EvidenceLog
from .tables import AgentKey, Host


class AgentKeys:
    """Finds, trusts and follows keys."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def signer(self, session: Session, key_id: str) -> AgentKey:
        """Return the key with an id, be it replaced since or not.  Raises NotAuthenticated when nobody enrolled it."""
        key = self.find(session, key_id)
        if key is None:
            raise NotAuthenticated("no host is enrolled with this key", mend="verdelta host invite, on the controller")
        return key

    def find(self, session: Session, key_id: str) -> AgentKey | None:
        """Return the key with an id, if it is known."""
        return session.exec(select(AgentKey).where(AgentKey.key_id == key_id)).first()

    def newest(self, session: Session, host_id: str, *, hold: bool = False) -> AgentKey:
        """Return the key that counts for a host; held, no other transaction moves it on until this one ends.

        Raises NotFound when the host is not enrolled.
        """
        wanted = select(AgentKey).where(AgentKey.host_id == host_id).order_by(col(AgentKey.epoch).desc()).limit(1)
        key = session.exec(wanted.with_for_update() if hold else wanted).first()
        if key is None:
            raise NotFound("this host is not enrolled", mend="verdelta host bootstrap, or verdelta host invite")
        return key

    def next_epoch(self, session: Session, host_id: str) -> int:
        """Return the number of a host's next key."""
        epochs = select(AgentKey.epoch).where(AgentKey.host_id == host_id).order_by(col(AgentKey.epoch).desc())
        return (session.exec(epochs.limit(1)).first() or 0) + 1

    def trust(self, session: Session, host: Host, scheme: str, public_key: str) -> AgentKey:
        """Trust a key for a host from now on, and no earlier one.

        Raises Conflict when the key is known: of another host, they are one machine's copies; of this one, it was
        replaced by a newer one, perhaps for a reason.
        """
        key_id = signing.key_id(scheme, public_key)
        if (taken := self.find(session, key_id)) is not None:
            raise _is_taken(session, host, taken)
        key = AgentKey(
            host_id=host.id,
            epoch=self.next_epoch(session, host.id),
            scheme=scheme,
            public_key=public_key,
            key_id=key_id,
            enrolled_at=now(),
            last_sequence=0,
            last_digest=wire.GENESIS,
        )
        session.add(key)
        session.flush()
        return key

    def advance(self, session: Session, key: AgentKey, sequence: int, digest: str) -> None:
        """Remember the last message accepted from a key."""
        key.last_sequence, key.last_digest = sequence, digest
        session.add(key)

    def mark_forked(self, host_id: str, epoch: int) -> None:
        """Remember that two machines use one identity: nothing more is accepted from it until it enrols anew."""
        with self._database.transaction() as session:
            key = session.get(AgentKey, (host_id, epoch), with_for_update=True)
            if key is not None and key.forked_at is None:
                key.forked_at = now()
                session.add(key)
                self._evidence.append(session, "identity-forked", host_id, {"host_id": host_id, **said_of(key)}, now())


def said_of(key: AgentKey) -> dict[str, Any]:
    """Return what the evidence says of a key."""
    return {"epoch": key.epoch, "key_id": key.key_id}


def _is_taken(session: Session, host: Host, taken: AgentKey) -> Conflict:
    if taken.host_id == host.id:
        return Conflict(
            f"{host.name}: the key {taken.key_id} was its key before, and was replaced",
            mend="Give the host a new one: remove its SSH host keys, ssh-keygen -A, and restart sshd.",
        )
    other = session.get(Host, taken.host_id)
    return Conflict(
        f"{host.name}: its key {taken.key_id} is the key of {other.name if other else taken.host_id}",
        mend="If it is the same machine, it is there already. If not, one was cloned: give it new host keys.",
    )
