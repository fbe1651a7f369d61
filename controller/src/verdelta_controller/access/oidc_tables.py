"""Who a person is at an OpenID provider, and the logins by way of one that are under way."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime


class PersonIdentity(SQLModel, table=True):
    """What a provider calls a person: one name at each provider, and no name for two people."""

    __tablename__ = "person_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    person_id: str = Field(primary_key=True, foreign_key="person.id")
    issuer: str = Field(primary_key=True)
    subject: str
    linked_at: datetime = Field(sa_type=UtcDateTime)


class OidcLogin(SQLModel, table=True):
    """A login that somebody began at a terminal.  Whatever ends it removes it.

    It has a person and a code once she is back from the provider.  The code is short, and its digest hides little: it
    is worth nothing without the secret that the terminal alone has.
    """

    __tablename__ = "oidc_login"

    secret_digest: str = Field(primary_key=True)  # of what the terminal holds
    state_digest: str = Field(unique=True)  # of what comes back with the browser
    nonce_digest: str
    verifier: bytes = Field(repr=False)  # sealed (PKCE, RFC 7636)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
    back_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # a browser came back: the state is spent
    person_id: str | None = Field(default=None, foreign_key="person.id", index=True)
    code_digest: str | None = None
    failures: int = 0  # wrong codes
