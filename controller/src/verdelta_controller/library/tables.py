"""What the library holds, who brought it in, where its copies are, and what is being done to it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime


class Artifact(SQLModel, table=True):
    """One file of the library, named by its SHA-256; `file_name` is what it was called when it came in first."""

    digest: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    file_name: str
    added_at: datetime = Field(sa_type=UtcDateTime, index=True)
    added_by: str
    archived_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # since when only sites have the content


class Arrival(SQLModel, table=True):
    """Somebody brought content in: each time from somewhere else, or by somebody else."""

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(foreign_key="artifact.digest", index=True)
    file_name: str
    source: str  # where it came from: a URL, a file, a medium; as whoever brought it said
    supplier: str
    arrived_at: datetime = Field(sa_type=UtcDateTime)
    brought_by: str


class Upload(SQLModel, table=True):
    """Content that arrives in parts.  How much is there is what the file on the disk says, and nothing here."""

    __table_args__ = (UniqueConstraint("digest", "begun_by"),)

    id: str = Field(primary_key=True)
    digest: str
    size: int = Field(sa_type=BigInteger)
    file_name: str
    source: str
    supplier: str
    begun_at: datetime = Field(sa_type=UtcDateTime)
    begun_by: str


class LibrarySite(SQLModel, table=True):
    """Another place that holds copies: a directory, an object store or another controller."""

    __tablename__ = "library_site"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    kind: str
    location: str
    options: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    sealed: bytes  # the secrets to reach it, JSON
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    report: dict[str, Any] = Field(default_factory=dict, sa_type=Json)  # of the last look at it


class SiteCopy(SQLModel, table=True):
    """What a site has of an artifact, as it was read back last."""

    __tablename__ = "site_copy"

    site_id: str = Field(primary_key=True, foreign_key="library_site.id")
    digest: str = Field(primary_key=True, foreign_key="artifact.digest", index=True)
    state: str
    verified_at: datetime = Field(sa_type=UtcDateTime)


class RetiredVersion(SQLModel, table=True):
    """A release version that is not deployed any more."""

    __tablename__ = "retired_version"

    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    reason: str
    retired_at: datetime = Field(sa_type=UtcDateTime)
    retired_by: str


class RetiredArtifact(SQLModel, table=True):
    """An artifact of a retired version; it may be in use by another one."""

    __tablename__ = "retired_artifact"

    digest: str = Field(primary_key=True, foreign_key="artifact.digest")
    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)


class LibraryTask(SQLModel, table=True):
    """Long work in the controller, for whoever asks how far it is.

    `running_as` names what it works on while it runs, and is empty afterwards: no two work on the same.
    """

    __tablename__ = "library_task"

    id: str = Field(primary_key=True)
    kind: str
    subject: str
    running_as: str | None = Field(default=None, unique=True)
    state: str
    done: int = Field(default=0, sa_type=BigInteger)  # bytes
    total: int = Field(default=0, sa_type=BigInteger)  # bytes
    at: str = ""  # what is being worked on
    result: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    begun_at: datetime = Field(sa_type=UtcDateTime)
    begun_by: str
    seen_at: datetime = Field(sa_type=UtcDateTime)  # when whoever works on it was there last
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
