"""Logging in and out, and the second step: who is known by a password and a code that works once.

Attempts are counted before they are looked at, so that many at once are not many guesses; names that nobody has are
counted like the others, and cost as much, so that nobody learns who is there.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, delete, select, update

from ..foundation.clock import now
from ..foundation.database import Database, UtcDateTime
from ..foundation.errors import NotAllowed, NotAuthenticated
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, is_name, new_secret
from ..foundation.signing import Vault
from . import passwords, second_step
from .grants import roles_at
from .oidc_tables import OidcLogin
from .people_rules import wait_after
from .people_tables import Attempts, PersonSecret, PersonSession
from .rules import Actor
from .tables import Person

SESSION_LIFE = timedelta(hours=12)
FORGOTTEN_AFTER = timedelta(days=1)  # attempts, after the last of them
PREFIX = "vds_"


def _holding(insert: Any) -> Any:
    """Return what makes the row of a name, or takes the lock of the one that is there."""
    statement = insert(Attempts)
    return statement.on_conflict_do_update(index_elements=["subject"], set_={"last_at": statement.excluded.last_at})


_HOLD = {"postgresql": _holding(postgresql.insert), "sqlite": _holding(sqlite.insert)}

_LOGGED_IN = (
    select(Person.id, Person.name)
    .join(PersonSession, col(PersonSession.person_id) == Person.id)
    .where(col(PersonSession.secret_digest) == bindparam("digest", type_=String))
    .where(col(PersonSession.expires_at) > bindparam("at", type_=UtcDateTime), col(Person.left_at).is_(None))
)


@dataclass(frozen=True)
class NewSession:
    """Somebody just logged in.  The secret is shown this once."""

    name: str
    secret: str = field(repr=False)
    expires_at: datetime


class Logins:
    """Recognises people."""

    def __init__(self, database: Database, evidence: EvidenceLog, vault: Vault) -> None:
        self._database = database
        self._evidence = evidence
        self._vault = vault

    def log_in(self, name: str, password: str, code: str) -> NewSession:
        """Open a session for who knows the password and has the code of this moment.

        Raises NotAuthenticated, which does not say what of it was wrong; NotAllowed while the account waits.
        """
        self._count(name)
        person, known = self._known(name)
        right = passwords.is_right(password, known.password_hash if known else None)
        with self._database.transaction() as session:
            if person is None or not right or not self._spend(session, person, code):
                raise _refused()
            return self._open(session, person, name)

    def log_out(self, secret: str) -> None:
        """End a session; one that is unknown is ended already."""
        digest = digest_of_secret(secret)
        with self._database.transaction() as session:
            opened = session.get(PersonSession, digest)
            if opened is not None:
                person = session.get_one(Person, opened.person_id)
                session.delete(opened)
                session.flush()
                self._evidence.append(session, "logged-out", person.name, {"person_id": person.id}, now())

    def actor_of_session(self, secret: str) -> Actor:
        """Return who is logged in, with the roles in force now.  Raises NotAuthenticated."""
        with self._database.reading() as session:
            at = now()
            opened = session.execute(_LOGGED_IN, {"digest": digest_of_secret(secret), "at": at}).first()
            if opened is None:
                raise NotAuthenticated("the session has ended", mend="Log in again: verdelta login NAME")
            return Actor(opened.name, frozenset(roles_at(session, opened.id, at)), opened.id)

    def confirm_second_step(self, actor: Actor, code: str) -> None:
        """Take a code of the actor's second step, before something that only she may do.

        Raises NotAllowed for a token, for a code that is wrong or was used, and while the account waits.
        """
        if actor.person_id is None:
            raise NotAllowed(f"{actor.name} is a token: tokens never sign", mend="Log in as a person: verdelta login")
        self._check_second_step(actor)
        subject = f"second step of {actor.person_id}"
        self._count(subject)
        with self._database.transaction() as session:
            person = session.get(Person, actor.person_id)
            if person is None or not self._spend(session, person, code):
                raise NotAllowed(
                    "the code is not right, or was used already", mend="Wait for the next code of your app."
                )
            _forget(session, subject)
            self._evidence.append(session, "second-step-confirmed", person.name, {"person_id": person.id}, now())

    def _check_second_step(self, actor: Actor) -> None:
        """Raise NotAllowed for who has none: she came in by way of a provider, and has not joined."""
        with self._database.reading() as session:
            if session.get(PersonSecret, actor.person_id) is None:
                raise NotAllowed(
                    f"{actor.name} has no second step, which this takes beside the login",
                    mend=f"Ask an administrator: verdelta person invite {actor.name}; then: verdelta person join",
                )

    def _known(self, name: str) -> tuple[Person | None, PersonSecret | None]:
        with self._database.reading() as session:
            person = _present(session, name)
            return person, session.get(PersonSecret, person.id) if person else None

    def _count(self, subject: str) -> None:
        """Count one more attempt as failed, until it has worked.  Raises NotAllowed while nobody is let in."""
        at, digest = now(), digest_of_secret(subject)
        with self._database.transaction() as session:
            _forget_old(session, at - FORGOTTEN_AFTER)
            first = {"subject": digest, "failures": 0, "last_at": at}
            session.execute(_HOLD[session.get_bind().dialect.name], first)
            attempts = session.get_one(Attempts, digest)
            if attempts.waits_until is not None and attempts.waits_until > at:
                seconds = (attempts.waits_until - at).total_seconds()
                raise NotAllowed(
                    "too many attempts failed, and nobody is let in for a while",
                    mend=f"Wait {seconds:.0f} seconds; what is tried before that is not looked at.",
                )
            attempts.failures += 1
            waits = wait_after(attempts.failures)
            attempts.waits_until = at + waits if waits else None
            session.add(attempts)

    def _spend(self, session: Session, person: Person, code: str) -> bool:
        """Return whether a code is the person's and was not used; from now on it is.  Of two at once, one may."""
        known = session.get(PersonSecret, person.id)
        if known is None:
            return False
        secret = self._vault.open(known.second_step, person.id).decode()
        counter = second_step.counter_of(secret, code, now())
        if counter is None:
            return False
        unused = (col(PersonSecret.person_id) == person.id, col(PersonSecret.last_counter) < counter)
        return session.exec(update(PersonSecret).where(*unused).values(last_counter=counter)).rowcount == 1

    def _open(self, session: Session, person: Person, name: str) -> NewSession:
        failed = _forget(session, name)
        return open_session(session, self._evidence, person, {"failed_before": failed})


def open_session(session: Session, evidence: EvidenceLog, person: Person, how: dict[str, Any]) -> NewSession:
    """Let a person in who has proved who she is; the evidence says how.  To be called last in a transaction."""
    at, secret = now(), PREFIX + new_secret()
    session.exec(delete(PersonSession).where(col(PersonSession.expires_at) <= at))
    opened = PersonSession(
        secret_digest=digest_of_secret(secret), person_id=person.id, created_at=at, expires_at=at + SESSION_LIFE
    )
    session.add(opened)
    session.flush()
    content = {"person_id": person.id, **how, "until": opened.expires_at.isoformat()}
    evidence.append(session, "logged-in", person.name, content, at)
    return NewSession(person.name, secret, opened.expires_at)


def end_sessions(session: Session, person_id: str) -> None:
    """End every session of a person, and every login that is under way."""
    session.exec(delete(OidcLogin).where(col(OidcLogin.person_id) == person_id))
    session.exec(delete(PersonSession).where(col(PersonSession.person_id) == person_id))


def _forget(session: Session, subject: str) -> int:
    """Forget the attempts under a name, now that one has worked.  Returns how many had failed before it."""
    attempts = session.get_one(Attempts, digest_of_secret(subject), with_for_update=True)
    failed = attempts.failures - 1
    attempts.failures, attempts.waits_until = 0, None
    session.add(attempts)
    session.flush()
    return max(failed, 0)


def _forget_old(session: Session, before: datetime) -> None:
    """Remove the attempts that nobody followed up; what another transaction holds it removes itself."""
    old = select(Attempts.subject).where(col(Attempts.last_at) < before).with_for_update(skip_locked=True)
    session.exec(delete(Attempts).where(col(Attempts.subject).in_(old)))


def _present(session: Session, name: str) -> Person | None:
    if not is_name(name):  # what nobody is called; some of it no database can look for
        return None
    return session.exec(select(Person).where(Person.name == name, col(Person.left_at).is_(None))).first()


def _refused() -> NotAuthenticated:
    return NotAuthenticated(
        "the name, the password or the code is not right, or the code was used already",
        mend="Try again with the next code of your app; an administrator can invite you anew: verdelta person invite",
    )
