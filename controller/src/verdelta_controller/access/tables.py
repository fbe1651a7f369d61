"""People, tokens of the API and sessions of the pages.  Of a secret only its digest is stored."""

from datetime import datetime

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime


class Person(SQLModel, table=True):
    """Somebody who has an account.

    `standing` is part of a key, so that what only members may do (to hold a role, to sign) refers to it: no statement
    makes a signature of an administrator's.
    """

    __table_args__ = (
        UniqueConstraint("id", "standing"),
        CheckConstraint("standing in ('administrator', 'member')", name="person_standing"),
    )

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)  # to log in with
    full_name: str
    standing: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    left_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ApiToken(SQLModel, table=True):
    """A named, expiring permission to use the API."""

    __tablename__ = "api_token"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    secret_digest: str = Field(unique=True)
    role: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class PageSession(SQLModel, table=True):
    """A browser that was let in with a token, or with a one-time link (then `used_at` is the moment it was opened)."""

    __tablename__ = "page_session"

    secret_digest: str = Field(primary_key=True)
    token_id: str = Field(foreign_key="api_token.id", index=True)
    kind: str  # link (opens one session, once) or session
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
