"""Logging in by way of an OpenID provider: who is linked to whom there, and a login from its beginning to its session.

A provider says who somebody is, and nothing else: it makes no account and gives no role, and names and addresses in
what it says are not looked at.  An administrator links a person to the subject that it calls her by.

A login begins at a terminal, goes to the provider in any browser, and ends at the terminal with a short code that the
page showed to whoever came back.  So that nobody is let in as somebody else:

- A terminal gets a session for its own secret and for the code of the page, both.  Who sends somebody the address of a
  login of his own (a phished link, which her browser may follow to the end without a question) has no code; she would
  have to tell him.  Five wrong codes end a login.
- A browser that is made to come back with another's answer (login CSRF) needs the state of a login that is open.
  Then it sees the code, and the terminal of that login does not: nobody types it there, and no session is fixed on her.
- The answer is for this login alone: the state is spent by the first that comes back with it, PKCE binds the
  provider's code, the nonce its token.  A login lasts ten minutes.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, func, select, update

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotAllowed, NotAuthenticated, NotFound, Unavailable
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, new_secret
from ..foundation.signing import Vault
from .grants import active, person_named
from .logins import NewSession, end_sessions, open_session
from .oidc_provider import Provider, is_subject
from .oidc_tables import OidcLogin, PersonIdentity
from .tables import Person

LOGIN_LIFE = timedelta(minutes=10)
OPEN_MOST = 1000  # logins under way: anybody may begin one
TRIES = 5
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # that are not taken for each other, and make no words (RFC 8628, 6.1)
CODE_LENGTH = 8
PREFIX = "vdo_"


@dataclass(frozen=True)
class Begun:
    """A login that has begun: where a browser is to go, and what the terminal holds; it is shown this once."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class CameBack:
    """Somebody came back from the provider.  The code is for her eyes, and for her own terminal."""

    name: str
    code: str = field(repr=False)


class NotLinked(NotAllowed):
    """The provider knows who it is, and nobody here is linked to that."""


class OidcLogins:
    """Links people to what a provider calls them, and lets them in by that."""

    def __init__(self, database: Database, evidence: EvidenceLog, vault: Vault, provider: Provider | None) -> None:
        self._database = database
        self._evidence = evidence
        self._vault = vault
        self._chosen = provider

    # -- linked

    def link(self, name: str, subject: str, by: str) -> None:
        """Let a person in from now on when the provider says that it is this subject.  Again is safe.

        Raises NotFound, InvalidInput, Conflict (she has left, or one of the two is linked already).
        """
        issuer, at = self._provider.issuer, now()
        if not is_subject(subject):
            raise InvalidInput("this is no subject of a provider", mend="1 to 255 printable ASCII characters.")
        with self._database.transaction() as session:
            person = active(session, name, lock=True)
            linked = session.get(PersonIdentity, (person.id, issuer))
            if linked is not None and linked.subject == subject:
                return
            if linked is not None:
                raise Conflict(f"{name} is linked to another subject", mend=f"verdelta person unlink {name}")
            taken = _person_of(session, issuer, subject)
            if taken is not None:
                raise Conflict(f"the subject is linked to {taken.name}", mend=f"verdelta person unlink {taken.name}")
            session.add(PersonIdentity(person_id=person.id, issuer=issuer, subject=subject, linked_at=at))
            session.flush()
            content = {"person_id": person.id, "issuer": issuer, "subject": subject, "by": by}
            self._evidence.append(session, "identity-linked", name, content, at)

    def unlink(self, name: str, by: str) -> None:
        """Let a person in by no provider any more; her sessions end too, however they began.  Again is safe.

        Raises NotFound.
        """
        with self._database.transaction() as session:
            person = person_named(session, name, lock=True)
            linked = col(PersonIdentity.person_id) == person.id
            if not session.exec(delete(PersonIdentity).where(linked)).rowcount:
                return
            end_sessions(session, person.id)
            self._evidence.append(session, "identity-unlinked", name, {"person_id": person.id, "by": by}, now())

    # -- let in

    def begin(self) -> Begun:
        """Begin a login.  Raises NotFound (no provider is set up), Unavailable, Untrusted."""
        state, nonce, verifier = new_secret(), new_secret(), new_secret()
        url = self._provider.address(state, nonce, verifier)
        secret, at = PREFIX + new_secret(), now()
        digest = digest_of_secret(secret)
        with self._database.transaction() as session:
            session.exec(delete(OidcLogin).where(col(OidcLogin.expires_at) <= at))
            if session.exec(select(func.count()).select_from(OidcLogin)).one() >= OPEN_MOST:
                raise Unavailable("too many logins are under way", mend="Try again in ten minutes.")
            begun = OidcLogin(
                secret_digest=digest,
                state_digest=digest_of_secret(state),
                nonce_digest=digest_of_secret(nonce),
                verifier=self._vault.seal(verifier.encode(), digest),
                expires_at=at + LOGIN_LIFE,
            )
            session.add(begun)
        return Begun(url, secret, begun.expires_at)

    def come_back(self, state: str, code: str, issuer: str = "") -> CameBack:
        """Take what a browser brings back from the provider, once.  An empty code only ends the login.

        `issuer` is who says to be the provider, where it says that (RFC 9207).

        Raises NotAllowed (unknown, used, expired; not believed; linked to nobody), Unavailable, TooLarge.
        """
        provider = self._provider
        with self._database.transaction() as session:
            login = self._spend(session, digest_of_secret(state))
            verifier = self._vault.open(login.verifier, login.secret_digest).decode()
            which, nonce_digest = login.secret_digest, login.nonce_digest
        if issuer not in ("", provider.issuer):
            raise NotAllowed("another provider sent you back", mend="Begin anew: verdelta login --oidc")
        if not code:
            raise NotAllowed("the provider let nobody in", mend="Begin anew: verdelta login --oidc")
        subject = provider.subject(code, verifier, nonce_digest)
        shown = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        with self._database.transaction() as session:
            person = _person_of(session, provider.issuer, subject)
            if person is None:
                raise NotLinked(
                    f"the provider calls you {subject}, and nobody here is linked to that",
                    mend="Tell it to an administrator: verdelta person link NAME --subject SUBJECT",
                )
            known = {"person_id": person.id, "code_digest": digest_of_secret(shown)}
            session.exec(update(OidcLogin).where(col(OidcLogin.secret_digest) == which).values(**known))
            name = person.name
        return CameBack(name, f"{shown[:4]}-{shown[4:]}")

    def complete(self, secret: str, code: str) -> NewSession:
        """Open a session for the terminal that began a login, and has the code that the page showed.

        Raises NotAuthenticated.
        """
        which, typed = digest_of_secret(secret), digest_of_secret(code.upper().replace("-", "").replace(" ", ""))
        self._count(which)
        with self._database.transaction() as session:
            login = session.get(OidcLogin, which)
            if login is None:
                raise _unknown()
            if login.person_id is None or not secrets.compare_digest(login.code_digest or "", typed):
                raise NotAuthenticated(
                    "the code is not the one that the page shows", mend="Begin anew: verdelta login --oidc"
                )
            person = session.get_one(Person, login.person_id, with_for_update={"key_share": True})
            mine = (col(OidcLogin.secret_digest) == which, col(OidcLogin.person_id) == person.id)
            if not session.exec(delete(OidcLogin).where(*mine)).rowcount:  # it was ended, or completed, meanwhile
                raise _unknown()
            return open_session(session, self._evidence, person, {"issuer": self._provider.issuer})

    @property
    def _provider(self) -> Provider:
        if self._chosen is None:
            raise NotFound(
                "no login provider is set up here", mend="The settings are oidc_issuer, oidc_client_id and url."
            )
        return self._chosen

    def _spend(self, session: Session, state_digest: str) -> OidcLogin:
        """Return the login of a state that is spent from now on.  Of two at once, one may.  Raises NotAllowed."""
        at = now()
        unspent = (
            col(OidcLogin.state_digest) == state_digest,
            col(OidcLogin.back_at).is_(None),
            col(OidcLogin.expires_at) > at,
        )
        if not session.exec(update(OidcLogin).where(*unspent).values(back_at=at)).rowcount:
            raise NotAllowed(
                "this login is not known: it was used, or ten minutes have passed",
                mend="Begin anew: verdelta login --oidc",
            )
        return session.exec(select(OidcLogin).where(OidcLogin.state_digest == state_digest)).one()

    def _count(self, which: str) -> None:
        """Count one more try, before it is looked at: many at once are not many guesses.  Raises NotAuthenticated."""
        open_ = (
            col(OidcLogin.secret_digest) == which,
            col(OidcLogin.expires_at) > now(),
            col(OidcLogin.failures) < TRIES,
        )
        with self._database.transaction() as session:
            counted = update(OidcLogin).where(*open_).values(failures=col(OidcLogin.failures) + 1)
            if not session.exec(counted).rowcount:
                raise _unknown()


def _person_of(session: Session, issuer: str, subject: str) -> Person | None:
    """Return whom a provider calls by a subject, held as she is until the transaction ends."""
    wanted = (
        select(Person)
        .join(PersonIdentity, col(PersonIdentity.person_id) == Person.id)
        .where(PersonIdentity.issuer == issuer, PersonIdentity.subject == subject, col(Person.left_at).is_(None))
        .with_for_update(key_share=True, of=Person)
    )
    return session.exec(wanted).first()


def _unknown() -> NotAuthenticated:
    return NotAuthenticated(
        "this login is not known: it was completed, ended, tried too often, or ten minutes have passed",
        mend="Begin anew: verdelta login --oidc",
    )
