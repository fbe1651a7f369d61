"""Release packages: built once, never changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime


class Release(SQLModel, table=True):
    """A release package, named by its digest, and where it stands in its life."""

    __table_args__ = (UniqueConstraint("name", "version"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    version: str
    type: str
    service: str
    state: str
    digest: str  # of the package: manifest and files
    manifest: dict[str, Any] = Field(sa_type=Json)  # normalised
    source: str  # the manifest as its author wrote it
    files: dict[str, str] = Field(sa_type=Json)  # path in the release folder -> SHA-256 in the library
    built_at: datetime = Field(sa_type=UtcDateTime)
    built_by: str
    authorised_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    authorised_by: str | None = None
    authorised_change: str | None = None  # digest of the authorised change, frozen when the release is authorised
