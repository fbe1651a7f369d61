"""The evidence log: an append-only Merkle log in the database, written in the transaction of what it records.

An entry's leaf is the hash of one canonical JSON document (see `document`).  Nobody has to trust the controller: with a
signed checkpoint kept elsewhere, every entry can be proven to be in the log, and the log to have grown only at its end.
Hashing: RFC 9162.  Checkpoints: C2SP tlog-checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Integer, Select, Table, and_, bindparam, false, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlmodel import Field, SQLModel

from verdelta_agent.model import canonical

from . import merkle, notes
from .database import UtcDateTime
from .errors import InvalidInput, NotFound, TooLarge, VerdeltaError
from .merkle import Frontier, GetNode
from .notes import Checkpoint
from .signing import SigningKey

CONTENT_LIMIT = 1 << 20  # bytes of one entry's content; what is larger is recorded by its digest
NAME_LIMIT = 200  # characters of a kind or a subject

_Number = BigInteger().with_variant(Integer(), "sqlite")  # INTEGER PRIMARY KEY is the row's own number there


class LogBroken(VerdeltaError):
    """The evidence log does not hold: `index` is the first entry that cannot be relied on."""

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        super().__init__(
            f"evidence log: {reason}",
            mend="Keep this database as it is, and compare it with a backup and with the checkpoints kept elsewhere.",
        )


class EvidenceEntry(SQLModel, table=True):
    """One thing that happened.  `content` is canonical JSON."""

    __tablename__ = "evidence_entry"

    index: int = Field(primary_key=True, sa_type=_Number, sa_column_kwargs={"autoincrement": False})
    kind: str
    subject: str = Field(index=True)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    content: bytes
    leaf_hash: bytes


class EvidenceNode(SQLModel, table=True):
    """A complete node of the tree above its leaves."""

    __tablename__ = "evidence_node"
    __table_args__ = {"sqlite_with_rowid": False}

    level: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    position: int = Field(primary_key=True, sa_type=_Number, sa_column_kwargs={"autoincrement": False})
    hash: bytes


class EvidenceHead(SQLModel, table=True):
    """The one row that whoever appends holds: where the log ends, and all that is needed to go on from there."""

    __tablename__ = "evidence_head"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    size: int = Field(sa_type=_Number)
    frontier: bytes  # the hashes of the complete subtrees, the largest first


ENTRIES: Table = SQLModel.metadata.tables["evidence_entry"]
NODES: Table = SQLModel.metadata.tables["evidence_node"]
HEAD: Table = SQLModel.metadata.tables["evidence_head"]

# An UPDATE that changes nothing takes the lock on PostgreSQL and SQLite alike, and returns what was committed last.
_HOLD = update(HEAD).values(size=HEAD.c.size).returning(HEAD.c.size, HEAD.c.frontier)
_READ = select(HEAD.c.size, HEAD.c.frontier)
_MOVE = update(HEAD).values(size=bindparam("new_size"), frontier=bindparam("new_frontier"))
_FIRST = {"id": 1, "size": 0, "frontier": b""}
_BEGIN = {
    "postgresql": postgresql.insert(HEAD).values(_FIRST).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(HEAD).values(_FIRST).on_conflict_do_nothing(),
}


class Record(NamedTuple):
    """Something to be recorded: what kind of thing, about whom or what, and all that is said of it (JSON)."""

    kind: str
    subject: str
    content: Mapping[str, Any]


class EvidenceLog:
    """The log of one controller: `origin` names it (no spaces), `key` signs its checkpoints."""

    def __init__(self, key: SigningKey, origin: str) -> None:
        self.origin = origin
        self._key = key

    @property
    def verifier(self) -> notes.NoteVerifier:
        """Return what an auditor needs to check this log's checkpoints."""
        return notes.NoteVerifier(self.origin, self._key.public_key)

    def append(self, session: Session, kind: str, subject: str, content: Mapping[str, Any], at: datetime) -> int:
        """Record one thing in the caller's transaction, and return its index.

        Other writers wait from here until the transaction ends: append last.  Raises InvalidInput, TooLarge.
        """
        return self.append_many(session, [Record(kind, subject, content)], at)[0]

    def append_many(self, session: Session, records: Sequence[Record], at: datetime) -> range:
        """Record several things at once, in order, and return their indexes.  Raises InvalidInput, TooLarge."""
        if not records:
            return range(0)
        entries = [_entry(record, at) for record in records]
        frontier = _frontier(session.execute(_HOLD).first() or _begin(session))
        begin = frontier.size
        nodes = []
        for entry in entries:
            entry["index"] = frontier.size
            nodes += [node._asdict() for node in frontier.append(entry["leaf_hash"])[1:]]
        session.execute(insert(ENTRIES), entries)
        if nodes:
            session.execute(insert(NODES), nodes)
        session.execute(_MOVE, {"new_size": frontier.size, "new_frontier": b"".join(frontier.hashes)})
        return range(begin, frontier.size)

    def size(self, session: Session) -> int:
        """Return how many entries there are."""
        return _frontier(session.execute(_READ).first()).size

    def checkpoint(self, session: Session) -> str:
        """Return the signed state of the log, for auditors to keep.

        Read in a transaction that has appended nothing itself: what is signed has to be committed.
        """
        frontier = _frontier(session.execute(_READ).first())
        return notes.sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root()), self._key)

    def entry(self, session: Session, index: int) -> EvidenceEntry:
        """Return one entry.  Raises NotFound."""
        found = session.get(EvidenceEntry, index)
        if found is None:
            raise NotFound(f"there is no evidence entry {index}")
        return found

    def entries(
        self, session: Session, *, kind: str = "", subject: str = "", before: int | None = None, limit: int = 100
    ) -> list[EvidenceEntry]:
        """Return the newest entries, the newest first: of a kind, about a subject, older than index `before`."""
        wanted = select(EvidenceEntry).order_by(ENTRIES.c.index.desc()).limit(limit)
        if kind:
            wanted = wanted.where(ENTRIES.c.kind == kind)
        if subject:
            wanted = wanted.where(ENTRIES.c.subject == subject)
        if before is not None:
            wanted = wanted.where(ENTRIES.c.index < before)
        return list(session.execute(wanted).scalars())

    def inclusion_proof(self, session: Session, index: int, size: int) -> list[bytes]:
        """Return the proof that an entry is in the log of `size` entries.  Raises NotFound, LogBroken."""
        self._check_size(session, size)
        if not 0 <= index < size:
            raise NotFound(f"there is no evidence entry {index} in a log of {size}")
        return _prove(session, lambda get_node: merkle.inclusion_proof(index, size, get_node))

    def consistency_proof(self, session: Session, old: int, new: int) -> list[bytes]:
        """Return the proof that the log of `new` entries begins with that of `old`.  Raises NotFound, LogBroken."""
        self._check_size(session, new)
        if not 0 < old <= new:
            raise NotFound(f"a log of {new} entries does not begin with one of {old}")
        return _prove(session, lambda get_node: merkle.consistency_proof(old, new, get_node))

    def _check_size(self, session: Session, size: int) -> None:
        if size > (there := self.size(session)):
            raise NotFound(f"the evidence log has {there} entries, not {size}")


def document(kind: str, subject: str, recorded_at: datetime, content: bytes) -> bytes:
    """Return the bytes whose hash is an entry's leaf: the canonical JSON of content, kind, recorded_at and subject."""
    moment = recorded_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    rest = canonical({"kind": kind, "recorded_at": moment, "subject": subject})
    return b'{"content":%b,%b' % (content, rest[1:])


def _entry(record: Record, at: datetime) -> dict[str, Any]:
    for name in (record.kind, record.subject):
        if not 0 < len(name) <= NAME_LIMIT or not name.isprintable():
            raise InvalidInput(f"evidence is of a kind and about a subject; {name[:40]!r} is neither")
    content = canonical(record.content)
    if len(content) > CONTENT_LIMIT:
        raise TooLarge(f"evidence of {len(content)} bytes; at most {CONTENT_LIMIT}")
    leaf = merkle.leaf_hash(document(record.kind, record.subject, at, content))
    return {
        "kind": record.kind,
        "subject": record.subject,
        "recorded_at": at,
        "content": content,
        "leaf_hash": leaf,
    }


def _begin(session: Session) -> Sequence[Any] | None:
    """Make the head of a new log; of two that do, one does and the other waits for it."""
    session.execute(_BEGIN[session.get_bind().dialect.name])
    return session.execute(_HOLD).first()


def _frontier(head: Sequence[Any] | None) -> Frontier:
    if head is None:
        return Frontier()
    size, hashes = head
    try:
        return Frontier(size, [hashes[at : at + 32] for at in range(0, len(hashes), 32)])
    except ValueError as error:
        raise LogBroken(size, f"its head is damaged: {error}") from error


def _prove(session: Session, prove: Callable[[GetNode], list[bytes]]) -> list[bytes]:
    """Return what `prove` makes of the nodes that it needs, which are fetched together."""
    wanted = merkle.nodes_needed(prove)
    leaves = select(ENTRIES.c.index, ENTRIES.c.leaf_hash).where(
        ENTRIES.c.index.in_([position for level, position in wanted if level == 0])
    )
    inner = [(level, position) for level, position in wanted if level]
    names = {f"level_{at}": level for at, (level, _) in enumerate(inner)}
    names.update({f"position_{at}": position for at, (_, position) in enumerate(inner)})
    nodes = {(0, index): leaf for index, leaf in session.execute(leaves)}
    nodes.update(
        ((level, position), node) for level, position, node in session.execute(_select_nodes(len(inner)), names)
    )
    return prove(lambda level, position: _held(nodes, level, position))


@lru_cache
def _select_nodes(count: int) -> Select[Any]:
    """Return the query for so many nodes, made once: to make it takes five times as long as to execute it.

    Each node has an equation of its own: a list of pairs makes SQLite read the whole table.
    """
    each = [
        and_(NODES.c.level == bindparam(f"level_{at}"), NODES.c.position == bindparam(f"position_{at}"))
        for at in range(count)
    ]
    return select(NODES).where(or_(false(), *each))


def _held(nodes: Mapping[tuple[int, int], bytes], level: int, position: int) -> bytes:
    if (level, position) not in nodes:
        first = position << level
        raise LogBroken(first, f"the hash over the {1 << level} entries from {first} on is missing")
    return nodes[level, position]
