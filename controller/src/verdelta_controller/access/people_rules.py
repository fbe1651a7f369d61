"""What is asked of names, passwords, dates and attempts.  Pure: the clock is given."""

import unicodedata
from datetime import datetime, timedelta
from typing import NamedTuple

from ..foundation.errors import InvalidInput
from ..foundation.ids import is_name
from .rules import Role, Standing

PASSWORD_LEAST = 12  # characters; beside a second step NIST SP 800-63B-4 (3.1.1.2) asks for 8
PASSWORD_MOST = 200  # characters: a hash takes as long as what it hashes
FULL_NAME_LIMIT = 100
FREE_FAILURES = 5  # attempts that nobody has to wait after
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
LOAN_MOST = timedelta(days=366)
GRANT_MOST = timedelta(days=3660)


class Term(NamedTuple):
    """From when to when something is so; without an end it stays."""

    begins_at: datetime
    ends_at: datetime | None


def check_person(name: str, full_name: str) -> None:
    """Raise InvalidInput for what cannot name a person."""
    if not is_name(name):
        raise InvalidInput(f"{name!r} cannot name a person", mend="Letters, digits, dots, dashes; at most 63.")
    if not full_name.strip() or len(full_name) > FULL_NAME_LIMIT or not full_name.isprintable():
        raise InvalidInput(f"the full name of {name} is not one", mend=f"1 to {FULL_NAME_LIMIT} printable characters.")


def check_roles(standing: Standing, role: Role) -> None:
    """Raise InvalidInput for a role that somebody of this standing cannot hold; the database refuses it as well."""
    if standing is Standing.ADMINISTRATOR and role is not Role.ADMINISTRATOR:
        raise InvalidInput(
            f"an administrator cannot be {role.value}: who lets people in does not take part in releases",
            mend="Give it to a member; one human has one account.",
        )
    if standing is Standing.MEMBER and role is Role.ADMINISTRATOR:
        raise InvalidInput(
            "a member cannot be administrator: who takes part in releases does not let people in",
            mend="Add an administrator: verdelta person add NAME --administrator",
        )


def normal(password: str) -> str:
    """Return a password as it is hashed: the same, however a keyboard composes its letters (NIST SP 800-63B-4)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, name: str) -> None:
    """Raise InvalidInput for a password that is too short, too long, the person's name, or no text.  It is not said."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise InvalidInput(f"a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters", mend="Take a sentence.")
    if not is_text(password):
        raise InvalidInput("the password has characters in it that nobody can type")
    if len(set(password)) < 4 or password.casefold() in (name.casefold(), name.casefold()[::-1]):
        raise InvalidInput("the password is easily guessed", mend="Take a sentence that nobody else would.")


def is_text(password: str) -> bool:
    """Return whether it can be written down as UTF-8, without control characters."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in password)


def wait_after(failures: int) -> timedelta:
    """Return how long nobody is let in after so many failures in a row: twice as long after each, up to a limit."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(FIRST_WAIT * float(2 ** min(failures - FREE_FAILURES, 10)), LONGEST_WAIT)


def own_term(begins_at: datetime | None, ends_at: datetime | None, at: datetime) -> Term:
    """Return the term of a role of one's own; it begins now, and stays, where nothing is said.  Raises InvalidInput."""
    begins = _not_before(begins_at or at, at)
    if ends_at is not None:
        _check_end(begins, ends_at, at)
    return Term(begins, ends_at)


def loan_term(begins_at: datetime, ends_at: datetime, at: datetime) -> Term:
    """Return the term for which a role is lent: it has an end, within a year.  Raises InvalidInput."""
    begins = _not_before(begins_at, at)
    _check_end(begins, ends_at, at)
    if ends_at - begins > LOAN_MOST:
        raise InvalidInput(f"a role is lent for {LOAN_MOST.days} days at most", mend="Lend it again when that is over.")
    return Term(begins, ends_at)


def _not_before(begins_at: datetime, at: datetime) -> datetime:
    """Return when it begins: now, where that was meant a moment ago.  Raises InvalidInput for another day."""
    if begins_at < at - timedelta(days=1):
        raise InvalidInput(f"{begins_at:%Y-%m-%d} is in the past: a role cannot have been held", mend="Begin today.")
    return max(begins_at, at)


def _check_end(begins_at: datetime, ends_at: datetime, at: datetime) -> None:
    if ends_at <= at:
        raise InvalidInput(f"{ends_at:%Y-%m-%d %H:%M} UTC is in the past: nothing would be granted")
    if ends_at <= begins_at:
        raise InvalidInput("it would end before it begins")
    if ends_at - at > GRANT_MOST:
        raise InvalidInput("it would end in more than ten years", mend="Leave the end out.")
