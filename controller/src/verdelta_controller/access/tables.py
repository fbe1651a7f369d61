"""Tokens of the API and sessions of the pages.  Of a secret only its digest is stored."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime


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
