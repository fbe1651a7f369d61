"""Environments: made, put into the order in which a release passes them, removed; and what each of them holds."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, delete, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, InvalidInput, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import is_name, new_id
from . import environment_rules as rules
from .environment_rules import NewEnvironment, Stage, Step
from .environment_tables import Environment, EnvironmentBooking
from .tables import Host

MOST = 1000  # environments
AT_ONCE = 500  # hosts that are asked for in one query


class Described(NamedTuple):
    """An environment, and how many hosts are in it."""

    environment: Environment
    hosts: int


class Place(NamedTuple):
    """Where a host is."""

    id: str
    name: str
    environment: str


class Environments:
    """The use-cases around environments."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def add(self, new: NewEnvironment, actor: str) -> Environment:
        """Make an environment, the last of its stage.  Raises InvalidInput, Conflict."""
        rules.check_environment(new)
        with self._database.transaction() as session:
            known = list(session.exec(select(Environment)))
            if any(one.name == new.name for one in known):
                raise Conflict(
                    f"there is an environment named {new.name}", mend=f"verdelta environment show {new.name}"
                )
            if len(known) >= MOST:
                raise InvalidInput(f"there are {MOST} environments already", mend="Remove one that is not needed.")
            last = max((one.position for one in known if one.stage == new.stage), default=0)
            made = Environment(id=new_id(), position=last + 1, created_at=now(), **new._asdict())
            made.stage = new.stage.value
            session.add(made)
            session.flush()
            content = {"by": actor, "stage": made.stage, "team": made.team, "description": made.description}
            self._evidence.append(session, "environment-added", made.name, content, now())
        return made

    def all(self) -> list[Described]:
        """Return every environment, in the order in which a release passes them."""
        with self._database.reading() as session:
            return _described(session)

    def way(self) -> list[Step]:
        """Return every environment as the rules of promotion see it, in the order in which a release passes them."""
        return [_step(*described) for described in self.all()]

    def named(self, name: str) -> Described:
        """Return one environment.  Raises NotFound."""
        with self._database.reading() as session:
            found = held(session, name, lock=False)
            return Described(found, _hosts_in(session, name))

    def places(self, host_ids: Collection[str] | None = None) -> list[Place]:
        """Return where hosts are: all of them, by name, or those given."""
        wanted = select(Host.id, Host.name, Host.environment).order_by(Host.name)
        with self._database.reading() as session:
            if host_ids is None:
                return [Place(*row) for row in session.exec(wanted)]
            ids = sorted(host_ids)
            parts = (ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE))
            return [Place(*row) for part in parts for row in session.exec(wanted.where(col(Host.id).in_(part)))]

    def describe(self, name: str, changes: Mapping[str, str], actor: str) -> Described:
        """Change `team` and `description` of an environment, where they are given.  Raises NotFound, InvalidInput."""
        with self._database.transaction() as session:
            found = held(session, name)
            found.team = changes.get("team", found.team)
            found.description = changes.get("description", found.description)
            rules.check_words(found.team, found.description)
            session.add(found)
            session.flush()
            hosts = _hosts_in(session, name)
            self._evidence.append(session, "environment-changed", name, {"by": actor, "changes": changes}, now())
        return Described(found, hosts)

    def order(self, names: Sequence[str], actor: str) -> list[Described]:
        """Put all environments into the order in which a release passes them.  Raises InvalidInput."""
        with self._database.transaction() as session:
            # In one order, so that two who do this at once wait for each other instead of for ever.
            known = list(session.exec(select(Environment).order_by(Environment.id).with_for_update()))
            stages = {one.name: Stage(one.stage) for one in known}
            places = {name: place for place, name in enumerate(rules.checked_order(names, stages), 1)}
            for one in known:
                one.position = places[one.name]
                session.add(one)
            session.flush()
            self._evidence.append(session, "environments-ordered", "environments", {"by": actor, "order": names}, now())
            return _described(session)

    def remove(self, name: str, actor: str) -> None:
        """Take an environment away, with its past bookings.  Raises NotFound, GateClosed while it is in use."""
        with self._database.transaction() as session:
            found = held(session, name)
            if hosts := _hosts_in(session, name):
                raise GateClosed(
                    f"{name} has {hosts} host{'s' if hosts > 1 else ''}",
                    mend=f"verdelta host list --environment {name}; each goes elsewhere by verdelta host set.",
                )
            of_it = EnvironmentBooking.environment_id == found.id
            if session.exec(select(EnvironmentBooking).where(of_it, *to_come())).first():
                raise GateClosed(f"{name} is booked", mend=f"verdelta environment bookings {name}")
            session.exec(delete(EnvironmentBooking).where(col(EnvironmentBooking.environment_id) == found.id))
            session.delete(found)
            session.flush()
            self._evidence.append(session, "environment-removed", name, {"by": actor}, now())


def held(session: Session, name: str, *, lock: bool = True, share: bool = False) -> Environment:
    """Return an environment, which nobody else changes or books until the transaction ends.

    With `share` others may hold it in the same way: it only has to stay.  Raises NotFound, with the nearest name.
    """
    wanted = select(Environment).where(Environment.name == name)
    wanted = wanted.with_for_update(read=share) if lock else wanted
    found = session.exec(wanted).first() if is_name(name) else None
    if found is None:
        said = rules.unknown_environment(name, session.exec(select(Environment.name)).all())
        raise NotFound(said, mend="verdelta environment list shows them; verdelta environment add makes one")
    return found


def to_come() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for a booking that is not over, for a query."""
    return col(EnvironmentBooking.closed_at).is_(None), col(EnvironmentBooking.ends_at) > now()


def _described(session: Session) -> list[Described]:
    counted = dict(session.exec(select(Host.environment, func.count()).group_by(Host.environment)).all())
    found = {one.name: Described(one, counted.get(one.name, 0)) for one in session.exec(select(Environment))}
    return [found[step.name] for step in rules.in_order(_step(*each) for each in found.values())]


def _step(environment: Environment, hosts: int) -> Step:
    return Step(environment.name, Stage(environment.stage), environment.position, hosts)


def _hosts_in(session: Session, name: str) -> int:
    return session.exec(select(func.count()).select_from(Host).where(Host.environment == name)).one()
