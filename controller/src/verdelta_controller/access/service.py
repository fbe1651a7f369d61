"""Tokens and page sessions: made, recognised, revoked.  Who was given a token, and by whom, is evidence."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select, update

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotAuthenticated, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, is_name, new_id, new_secret
from .rules import Actor, Role
from .tables import ApiToken, PageSession, Person

LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(hours=12)
THIS_MACHINE = "the controller's own machine"  # who asks where nobody has to say so: whoever may read its state


@dataclass(frozen=True)
class NewToken:
    """A token just made.  Its secret is shown this once."""

    name: str
    role: Role
    secret: str = field(repr=False)
    expires_at: datetime


class AccessService:
    """Makes and recognises what lets people and programs in."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def create_token(self, name: str, role: Role, days: int, by: str = THIS_MACHINE) -> NewToken:
        """Make a token; the name of one that has ended may be used again.

        Raises InvalidInput for a bad name or life, Conflict when the name is taken.
        """
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
            _free(session, name)
            session.add(token)
            said = {"role": role.value, "by": by, "expires_at": token.expires_at.isoformat()}
            self._evidence.append(session, "token-created", name, said, token.created_at)
        return NewToken(name, role, secret, token.expires_at)

    def tokens(self) -> list[ApiToken]:
        """Return every token, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(ApiToken).order_by(col(ApiToken.created_at).desc())))

    def revoke_token(self, name: str, by: str = THIS_MACHINE) -> None:
        """End a token and every session opened with it; one that was revoked stays as it is.  Raises NotFound."""
        with self._database.transaction() as session:
            token = session.exec(select(ApiToken).where(ApiToken.name == name)).first()
            if token is None:
                raise NotFound(f"there is no token named {name}", mend="verdelta token list")
            if token.revoked_at is None:
                token.revoked_at = now()
                session.add(token)
                session.exec(delete(PageSession).where(col(PageSession.token_id) == token.id))
                self._evidence.append(session, "token-revoked", name, {"by": by}, token.revoked_at)

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
            is_token = secret.startswith("vdt_")
            token = _token_of(session, secret) if is_token else _spend_link(session, secret)
            return self._remember(session, token.id, "session", SESSION_LIFE)

    def actor_of_session(self, secret: str) -> Actor:
        """Return whose page session this is.  Raises NotAuthenticated."""
        with self._database.reading() as session:
            opened = _session_of(session, secret, "session")
            return _actor(_alive(session.get(ApiToken, opened.token_id)))

    def close_session(self, secret: str) -> None:
        """End a page session; one that is unknown is ended already."""
        digest = digest_of_secret(secret)
        with self._database.transaction() as session:
            session.exec(delete(PageSession).where(col(PageSession.secret_digest) == digest))

    def _remember(self, session: Session, token_id: str, kind: str, life: timedelta) -> str:
        """Keep a new session or link, and forget those that have expired."""
        session.exec(delete(PageSession).where(col(PageSession.expires_at) <= now()))
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


def _free(session: Session, name: str) -> None:
    """Give a name free whose token has ended.  Raises Conflict when it has not, or it is a person's."""
    if session.exec(select(Person).where(Person.name == name)).first():
        raise Conflict(
            f"{name} is a person: evidence would not say which of them it was", mend="Name the token otherwise."
        )
    token = session.exec(select(ApiToken).where(ApiToken.name == name)).first()
    if token is None:
        return
    if token.revoked_at is None and token.expires_at > now():
        raise Conflict(f"there is a token named {name}", mend=f"Revoke it first: verdelta token revoke {name}")
    session.exec(delete(PageSession).where(col(PageSession.token_id) == token.id))
    session.delete(token)
    session.flush()


def _token_of(session: Session, secret: str) -> ApiToken:
    return _alive(session.exec(select(ApiToken).where(ApiToken.secret_digest == digest_of_secret(secret))).first())


def _alive(token: ApiToken | None) -> ApiToken:
    """Return a token that still lets in.  Raises NotAuthenticated."""
    if token is None or token.revoked_at is not None:
        raise NotAuthenticated("the token is not known", mend="Give a token with VERDELTA_TOKEN, or log in again.")
    if token.expires_at <= now():
        raise NotAuthenticated(f"the token {token.name} expired on {token.expires_at:%Y-%m-%d}")
    return token


def _spend_link(session: Session, secret: str) -> ApiToken:
    """Return the token of a one-time link, which from now on is used; of two that open it at once, one may."""
    link = _session_of(session, secret, "link")
    mine = (col(PageSession.secret_digest) == link.secret_digest, col(PageSession.used_at).is_(None))
    if session.exec(update(PageSession).where(*mine).values(used_at=now())).rowcount == 0:
        raise NotAuthenticated("this link was used already", mend="Ask for another: verdelta web link")
    return _alive(session.get(ApiToken, link.token_id))


def _session_of(session: Session, secret: str, kind: str) -> PageSession:
    found = session.get(PageSession, digest_of_secret(secret))
    if found is None or found.kind != kind or found.expires_at <= now():
        if kind == "link":
            raise NotAuthenticated("this link is not known, or has expired", mend="Ask for another: verdelta web link")
        raise NotAuthenticated("the session has ended", mend="Log in again.")
    return found


def _actor(token: ApiToken) -> Actor:
    return Actor(token.name, frozenset((Role(token.role),)))
