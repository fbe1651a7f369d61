"""One list of all that waits for a person: in releases, roll-outs, environments, and of roles lent to her."""

from datetime import timedelta
from typing import NamedTuple

from ..access.people import People
from ..access.rules import Actor, Permission, Role, may
from ..fleet.bookings import Bookings
from ..foundation.clock import now
from ..releases.inbox import ReleaseInbox
from ..releases.inbox_rules import Entry, Kind
from .overview import Overview
from .states import Purpose

LOAN_ENDS_WITHIN = timedelta(days=7)
FOR_TOKENS = "this is a token's inbox: what waits, waits for people. Log in as one: verdelta login NAME"


class Waiting(NamedTuple):
    """What waits for somebody, the longest first, and a note where there can be nothing."""

    entries: list[Entry]
    note: str = ""


class Inbox:
    """Asks every feature what waits for a person."""

    def __init__(self, people: People, bookings: Bookings, releases: ReleaseInbox, overview: Overview) -> None:
        self._people = people
        self._bookings = bookings
        self._releases = releases
        self._overview = overview

    def of(self, actor: Actor) -> Waiting:
        """Return what waits for whoever asks; nothing waits for a token."""
        if actor.person_id is None:
            return Waiting([], FOR_TOKENS)
        roles = self._people.grants.held_by(actor)
        found = [
            *self._releases.of(actor),
            *self._suspended(roles),
            *self._conflicts(actor, actor.person_id),
            *self._loans(actor),
        ]
        return Waiting(sorted(found, key=lambda entry: (entry.since, entry.release, entry.what)))

    def _suspended(self, roles: dict[Role, str | None]) -> list[Entry]:
        """Return the roll-outs that a person decides on: the deployment staff; of a rehearsal the test manager too."""
        found = []
        for one in self._overview.suspended() if roles else []:
            is_rehearsal = one.purpose == Purpose.REHEARSAL
            deciding = (Role.DEPLOYMENT_STAFF, Role.TEST_MANAGER) if is_rehearsal else (Role.DEPLOYMENT_STAFF,)
            role = next((role for role in deciding if role in roles), None)
            if role is not None:
                kind = "rehearsal" if is_rehearsal else "roll-out"
                what = f"{kind} {one.number} is suspended" + (f": {one.reason}" if one.reason else "")
                command = f"verdelta rollout status {one.number}"
                lent = roles[role] is not None
                found.append(Entry(Kind.ROLLOUT, what, one.since, command, one.release, role, lent))
        return found

    def _conflicts(self, actor: Actor, person_id: str) -> list[Entry]:
        """Return the bookings that a person made, or that are for her or a team of hers, and conflict with others."""
        if not may(actor, Permission.BOOK):
            return []
        names = {actor.name, *self._people.teams.names_with(person_id)}
        return [
            Entry(
                Kind.BOOKING,
                f"booking {one.booking.id} of {one.environment} conflicts with "
                + ", ".join(str(number) for number in one.conflicts),
                one.booking.booked_at,
                f"verdelta environment bookings {one.environment}",
                " ".join(filter(None, (one.booking.release, one.booking.version))),
            )
            for one in self._bookings.conflicting(names)
        ]

    def _loans(self, actor: Actor) -> list[Entry]:
        moment = now()
        return [
            Entry(
                Kind.LOAN,
                f"{grant.role}, lent by {lender}, ends on {grant.ends_at:%Y-%m-%d}",
                grant.begins_at,
                f"verdelta person show {actor.name}",
                role=Role(grant.role),
                lent=True,
            )
            for grant, lender in self._people.grants.ending_loans(actor, moment + LOAN_ENDS_WITHIN)
        ]
