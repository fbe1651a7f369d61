"""What of all open releases waits for one person.  Releases that have ended are not looked at."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlmodel import Session, col, select

from ..access.rules import Actor, Role
from ..foundation.clock import now
from ..foundation.database import Database
from . import facts
from . import policy as gate
from .inbox_rules import ENDED, Entry, Kind, Standing, entries, tasks
from .lifecycle import label_of
from .policy import Policy
from .record_service import GRANTERS
from .rules import ReleaseState
from .sides import Side
from .tables import GateWaiver, Package, PolicyVersion, Release, ReleaseDuty, ReleaseSide, SignOffRow

OPEN = [state.value for state in ReleaseState if state not in ENDED]


class Roles(Protocol):
    """Who holds which role."""

    def held_by(self, actor: Actor) -> Mapping[Role, str | None]:
        """Return the roles that a person holds now, each with whose it is where it is lent to her."""
        ...


class ReleaseInbox:
    """Looks through the releases for one person."""

    def __init__(self, database: Database, roles: Roles) -> None:
        self._database = database
        self._roles = roles

    def of(self, actor: Actor) -> list[Entry]:
        """Return what waits for a person, in no order; nothing waits for a token."""
        if actor.person_id is None:
            return []
        moment, roles = now(), self._roles.held_by(actor)
        with self._database.reading() as session:
            releases = session.exec(select(Release).where(col(Release.state).in_(OPEN))).all()
            return [
                *_of_gates(session, releases, actor.person_id, roles, moment),
                *_waivers(session, releases, actor.person_id, roles, moment),
            ]


def _of_gates(
    session: Session, releases: Sequence[Release], person: str, roles: Mapping[Role, str | None], moment: datetime
) -> list[Entry]:
    policies = _policies(session, {release.policy_number for release in releases})
    longest = max((_looks_back(policy) for policy in policies.values()), default=timedelta(0))
    known = facts.gather_all(session, releases, moment - longest)
    begun, standings = _begun(session, releases), _standings(session, releases, person, roles)
    found: list[Entry] = []
    for release in releases:
        number = release.id or 0
        waiting = tasks(policies[release.policy_number], known[number], begun.get(number, release.drafted_at), moment)
        found += entries(waiting, standings[number], label_of(release))
    return found


def _policies(session: Session, numbers: set[int]) -> dict[int, Policy]:
    wanted = select(PolicyVersion).where(col(PolicyVersion.number).in_(numbers))
    return {version.number or 0: Policy.model_validate(version.document) for version in session.exec(wanted)}


def _looks_back(policy: Policy) -> timedelta:
    """Return how far back a policy asks what else was deployed."""
    every = (one for kind in policy.types.values() for lines in kind.before.values() for one in lines)
    return timedelta(days=max((one.days for one in every if isinstance(one, gate.Frequency)), default=0))


def _begun(session: Session, releases: Sequence[Release]) -> dict[int, datetime]:
    """Return when the present package of each release was built."""
    wanted = select(Package.release_id, Package.built_at).join(Release, col(Release.digest) == col(Package.digest))
    return dict(session.exec(wanted.where(col(Release.state).in_(OPEN))).all())


def _standings(
    session: Session, releases: Sequence[Release], person: str, roles: Mapping[Role, str | None]
) -> dict[int, Standing]:
    """Return how a person stands in each release, in three queries."""
    acting = {person, *(lender for lender in roles.values() if lender)}
    sides: dict[int, dict[str, Side]] = defaultdict(dict)
    for row in _in_open(session, ReleaseSide, col(ReleaseSide.person_id).in_(acting)):
        sides[row.release_id][row.person_id] = Side(row.side)
    appointed: dict[int, dict[Role, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in _in_open(session, ReleaseDuty):
        appointed[row.release_id][Role(row.role)].append(row.person_id)
    signed: dict[int, set[str]] = defaultdict(set)
    mine = (SignOffRow.person_id == person, col(SignOffRow.voided_at).is_(None), SignOffRow.package == Release.digest)
    for row in _in_open(session, SignOffRow, *mine):
        signed[row.release_id].add(row.purpose)
    return {
        number: Standing(roles, person, sides[number], appointed[number], signed[number])
        for number in (release.id or 0 for release in releases)
    }


def _in_open(session: Session, table: Any, *conditions: Any) -> Sequence[Any]:
    """Return the rows of a table that belong to releases that have not ended."""
    joined = select(table).join(Release, col(Release.id) == table.release_id)
    return session.exec(joined.where(col(Release.state).in_(OPEN), *conditions)).all()


def _waivers(
    session: Session, releases: Sequence[Release], person: str, roles: Mapping[Role, str | None], moment: datetime
) -> list[Entry]:
    """Return the waivers that a person could grant, for she did not ask for them."""
    role = next((role for role in Role if role in roles and role in GRANTERS), None)
    if role is None:
        return []
    open_ones = (
        col(GateWaiver.granted_at).is_(None),
        col(GateWaiver.expires_at) > moment,
        col(GateWaiver.asked_by) != person,
    )
    labels = {release.id: label_of(release) for release in releases}
    return [
        Entry(
            Kind.WAIVER,
            f"waiver of {row.gate}, asked for by {row.asked_by_name}: {row.reason}",
            row.asked_at,
            f"verdelta release grant {row.id}",
            labels[row.release_id],
            role,
            roles[role] is not None,
        )
        for row in _in_open(session, GateWaiver, *open_ones)
        if row.release_id in labels
    ]
