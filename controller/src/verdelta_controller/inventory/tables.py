"""Messages as received, the rows of sections by their digest, and the snapshots made of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime


class SectionContent(SQLModel, table=True):
    """The rows of one section, once for all hosts that share them: canonical JSON, compressed with zlib."""

    __tablename__ = "section_content"

    digest: str = Field(primary_key=True)
    rows: bytes


class StoredEnvelope(SQLModel, table=True):
    """One message of an agent, byte for byte as it came: the evidence."""

    __tablename__ = "envelope"

    digest: str = Field(primary_key=True)
    host_id: str = Field(foreign_key="host.id", index=True)
    epoch: int
    sequence: int = Field(sa_type=BigInteger)
    kind: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    data: bytes


class Snapshot(SQLModel, table=True):
    """What one host looked like.  A host that looks the same again gets no second one: `confirmed_at` moves on."""

    id: int | None = Field(default=None, primary_key=True)
    host_id: str = Field(foreign_key="host.id", index=True)
    root: str
    agent: str
    sections: dict[str, Any] = Field(sa_type=Json)  # name -> [status, digest, error or None]
    volatile: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    envelope_digest: str  # of the message that brought it
    taken_at: str  # the host's own clock
    received_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_by: str  # digest of the newest message that showed this state
