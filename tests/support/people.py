"""People who have joined, and their apps: a code for every moment, and time that passes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest

from verdelta_controller.access import accounts, grants, logins, service, teams
from verdelta_controller.access.people import People
from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.evidence import EvidenceLog
from verdelta_controller.foundation.signing import SigningKey

PASSWORD = "a sentence that nobody else would take"
LOG = EvidenceLog(SigningKey(b"k" * 32), "verdelta.example/log")
STEP = timedelta(seconds=30)  # that a code is for
ADMINISTRATOR = Actor("root", frozenset({Role.ADMINISTRATOR}))


class Clock:
    """The time that everything about people goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.stopped: datetime | None = None
        if monkeypatch is not None:
            self.stopped = datetime.now(UTC)
            for module in (accounts, grants, logins, service, teams):
                monkeypatch.setattr(module, "now", self.now)

    def now(self) -> datetime:
        """Return the moment that it is."""
        return self.stopped or datetime.now(UTC)

    def passes(self, time: timedelta) -> None:
        """Let time pass."""
        self.stopped = self.now() + time


class Joined:
    """Somebody who has joined, with her password and her app."""

    def __init__(self, people: People, name: str, clock: Clock) -> None:
        self.people = people
        self.name = name
        self.clock = clock
        self.join()

    def join(self) -> None:
        """Take an invitation, as the first time or after a reset; it spends the code of this moment."""
        invitation = self.people.accounts.invite(self.name, "root").secret
        _, offer = self.people.accounts.offer_second_step(invitation)
        self.app = pyotp.TOTP(offer.secret)
        self.person_id = self.people.accounts.accept_invitation(invitation, PASSWORD, self.code(-1)).id

    def code(self, steps: int = 0) -> str:
        """Return the code of this moment, or of some steps of 30 s away."""
        return self.app.at(self.clock.now() + steps * STEP)

    def log_in(self) -> str:
        """Return the secret of a new session."""
        return self.people.logins.log_in(self.name, PASSWORD, self.code()).secret

    @property
    def actor(self) -> Actor:
        """Return the person as an actor, without a login."""
        with self.people.grants._database.reading() as session:
            roles = frozenset(grants.roles_at(session, self.person_id, self.clock.now()))
        return Actor(self.name, roles, self.person_id)


def joined(people: People, clock: Clock, name: str, *roles: Role) -> Joined:
    """Return a member who has joined and holds roles."""
    people.accounts.create_person(name, name.title(), "root", Standing.MEMBER, roles)
    return Joined(people, name, clock)


def evidence(database: Database, kind: str = "") -> list[Any]:
    """Return what the evidence says, the newest first."""
    with database.reading() as session:
        return [json.loads(entry.content) for entry in LOG.entries(session, kind=kind)]


def names(found: Sequence[object]) -> list[str]:
    """Return the kinds of results, sorted."""
    return sorted(type(one).__name__ for one in found)


def lender_of(people: People, actor: Actor, role: Role) -> str | None:
    """Return whose role it is, as signing asks in its own transaction."""
    with people.grants._database.transaction() as session:
        return people.lender_of(session, actor, role)
