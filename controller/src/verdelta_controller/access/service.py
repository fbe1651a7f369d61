"""Tokens and page sessions: made, recognised, revoked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select, update

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from ..foundation.ids import digest_of_secret, is_name, new_id, new_secret
from .rules import Actor, Role
from .tables import ApiToken, PageSession

LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(hours=12)


@dataclass(frozen=True)
class NewToken:
    """A token just made.  Its secret is shown this once."""

    name: str
    role: Role
    secret: str
    expires_at: datetime


class AccessService:
    """Makes and recognises what lets people and programs in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_token(self, name: str, role: Role, days: int) -> NewToken:
        """Make a token.  Raises InvalidInput for a bad name or life, Conflict when the name is taken."""
        if not is_name(name):
            raise InvalidInput(f"{name!r} cannot name a token", mend="Letters, digits, dots, dashes; at most 63.")
        if not 1 <= days <= 366:
            raise InvalidInput(f"a token lives 1 to 366 days, not {days}")
        secret = f"vdt_{new_secret()}"
        token = ApiToken(
            id=new_id(),
            name=name,
            secret_digest=digest_of_secret(secret),
            role=role.value,
            created_at=now(),
            expires_at=now() + timedelta(days=days),
        )
        with self._database.transaction() as session:
            if session.exec(select(ApiToken).where(ApiToken.name == name)).first():
                raise Conflict(f"there is a token named {name}", mend=f"Revoke it first: verdelta token revoke {name}")
            session.add(token)
        return NewToken(name, role, secret, token.expires_at)

    def tokens(self) -> list[ApiToken]:
        """Return every token, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(ApiToken).order_by(col(ApiToken.created_at).desc())))

    def revoke_token(self, name: str) -> None:
        """End a token and every session opened with it.  Raises NotFound."""
        with self._database.transaction() as session:
            token = session.exec(select(ApiToken).where(ApiToken.name == name)).first()
            if token is None:
                raise NotFound(f"there is no token named {name}", mend="verdelta token list")
            token.revoked_at = now()
            session.add(token)
            ends = update(PageSession).where(col(PageSession.token_id) == token.id).values(expires_at=now())
            session.exec(ends)

    def actor_of_token(self, secret: str) -> Actor:
        """Return who holds this token.  Raises NotAuthenticated."""
        with self._database.reading() as session:
            return _actor(_token_of(session, secret))

    def create_link(self, secret: str) -> str:
        """Return the secret of a link that opens one page session, once, within minutes, for the token's holder."""
        with self._database.transaction() as session:
            return self._remember(session, _token_of(session, secret).id, "link", LINK_LIFE)

    def open_session(self, secret: str) -> str:
        """Return the secret of a new page session for a token or a one-time link.  Raises NotAuthenticated."""
        with self._database.transaction() as session:
            if secret.startswith("vdt_"):
                token_id = _token_of(session, secret).id
            else:
                link = _session_of(session, secret, "link")
                if link.used_at is not None:
                    raise NotAuthenticated("this link was used already", mend="Ask for another: verdelta web link")
                link.used_at = now()
                session.add(link)
                token_id = link.token_id
            return self._remember(session, token_id, "session", SESSION_LIFE)

    def actor_of_session(self, secret: str) -> Actor:
        """Return whose page session this is.  Raises NotAuthenticated."""
        with self._database.reading() as session:
            opened = _session_of(session, secret, "session")
            token = session.get(ApiToken, opened.token_id)
            if token is None or token.revoked_at is not None or token.expires_at <= now():
                raise NotAuthenticated("the token of this session has ended")
            return _actor(token)

    def close_session(self, secret: str) -> None:
        """End a page session; one that is unknown is ended already."""
        digest = digest_of_secret(secret)
        with self._database.transaction() as session:
            session.exec(update(PageSession).where(col(PageSession.secret_digest) == digest).values(expires_at=now()))

    def _remember(self, session: Session, token_id: str, kind: str, life: timedelta) -> str:
        secret = new_secret()
        session.add(
            PageSession(
                secret_digest=digest_of_secret(secret),
                token_id=token_id,
                kind=kind,
                created_at=now(),
                expires_at=now() + life,
            )
        )
        return secret


def _token_of(session: Session, secret: str) -> ApiToken:
    token = session.exec(select(ApiToken).where(ApiToken.secret_digest == digest_of_secret(secret))).first()
    if token is None or token.revoked_at is not None:
        raise NotAuthenticated("the token is not known", mend="Give a token with VERDELTA_TOKEN, or log in again.")
    if token.expires_at <= now():
        raise NotAuthenticated(f"the token {token.name} expired on {token.expires_at:%Y-%m-%d}")
    return token


def _session_of(session: Session, secret: str, kind: str) -> PageSession:
    found = session.get(PageSession, digest_of_secret(secret))
    if found is None or found.kind != kind or found.expires_at <= now():
        raise NotAuthenticated("the session has ended", mend="Log in again.")
    return found


def _actor(token: ApiToken) -> Actor:
    return Actor(token.name, Role(token.role))
