"""Roles: granted and withdrawn, lent for a time and taken back.  A grant is never removed, only ended.

A lent role counts while it is the lender's own.  So it goes when that does, and what was lent cannot be lent on,
whatever is written into the table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, String, and_, bindparam, or_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from ..foundation.clock import now
from ..foundation.database import Database, UtcDateTime
from ..foundation.errors import Conflict, InvalidInput, NotAllowed, NotFound
from ..foundation.evidence import EvidenceLog, Record
from ..foundation.ids import is_name, new_id
from .people_rules import Term, check_roles, loan_term, own_term
from .people_tables import RoleGrant, Team, TeamMember
from .rules import Actor, Permission, Role, Standing, may
from .tables import Person


def _covers(grant: type[RoleGrant], at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition that a grant counts at a moment, as far as its own dates say."""
    ends, ended = col(grant.ends_at), col(grant.ended_at)
    return and_(col(grant.begins_at) <= at, or_(ends.is_(None), ends > at), or_(ended.is_(None), ended > at))


def _in_force() -> SelectOfScalar[RoleGrant]:
    """Return the grants that count for a person at a moment; a lent one only while it is the lender's own."""
    person_id, at = bindparam("person_id", type_=String), bindparam("at", type_=UtcDateTime)
    own = aliased(RoleGrant)
    of_lender = (
        select(own.id)
        .where(col(own.person_id) == col(RoleGrant.lent_by), col(own.role) == col(RoleGrant.role))
        .where(col(own.lent_by).is_(None), _covers(own, at))
        .exists()
    )
    here = or_(col(Person.left_at).is_(None), col(Person.left_at) > at)
    person = select(Person.id).where(col(Person.id) == person_id, here).exists()
    return select(RoleGrant).where(
        col(RoleGrant.person_id) == person_id,
        person,
        _covers(RoleGrant, at),
        or_(col(RoleGrant.lent_by).is_(None), of_lender),
    )


# Made once: every request asks them, and to put them together costs more than to ask.
_IN_FORCE = _in_force()
_ROLES = _IN_FORCE.with_only_columns(col(RoleGrant.role))
_HOLDING = _IN_FORCE.where(col(RoleGrant.role) == bindparam("role", type_=String)).with_for_update(read=True)


class Held(NamedTuple):
    """A role that somebody holds: her own, or (lent_by, the identity of a person) lent by whose own it is."""

    role: Role
    lent_by: str | None = None


class Grants:
    """The use-cases around roles."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    # -- asked

    def standing_of(self, person_id: str, role: Role, at: datetime) -> Held | None:
        """Return how a person holds a role at a moment: as her own before lent.  None where she does not."""
        with self._database.reading() as session:
            return held(session, person_id, role, at)

    def lender_of(self, session: Session, actor: Actor, role: Role) -> str | None:
        """Return the person whose role this is, where it is lent to the actor now; None where it is her own.

        It stays so until the caller's transaction ends.  Raises NotAllowed when the actor does not hold it at all.
        """
        found = self._held_with_people(session, actor.person_id, actor.name, role) if actor.person_id else None
        if found is None:
            raise NotAllowed(f"{actor.name} is not {role.value} now", mend=f"verdelta person show {actor.name}")
        return found.lent_by

    def held_by(self, actor: Actor) -> dict[Role, str | None]:
        """Return the roles that a person holds now, each with the person whose role it is where it is lent to her."""
        if actor.person_id is None:
            return {}
        roles: dict[Role, str | None] = {}
        with self._database.reading() as session:
            for grant in session.exec(_IN_FORCE, params={"person_id": actor.person_id, "at": now()}):
                role, known = Role(grant.role), roles.get(Role(grant.role), grant.lent_by)
                own = grant.lent_by is None or known is None
                roles[role] = None if own else min(grant.lent_by or "", known or "")  # as `held` chooses
        return roles

    def ending_loans(self, actor: Actor, before: datetime) -> list[tuple[RoleGrant, str]]:
        """Return what is lent to a person now and ends before a moment, each with the name of who lent it."""
        if actor.person_id is None:
            return []
        lent = _IN_FORCE.where(col(RoleGrant.lent_by).is_not(None), col(RoleGrant.ends_at) <= before)
        ending = lent.order_by(col(RoleGrant.ends_at))
        with self._database.reading() as session:
            found = session.exec(ending, params={"person_id": actor.person_id, "at": now()}).all()
            lenders = select(Person.id, Person.name).where(col(Person.id).in_([grant.lent_by for grant in found]))
            names = dict(session.exec(lenders).all())
        return [(grant, names[grant.lent_by or ""]) for grant in found]

    def _held_with_people(self, session: Session, person_id: str, name: str, role: Role) -> Held | None:
        """Return how a person holds a role, and hold people before grants: whoever ends a grant does so too."""
        check_here(session, person_id, name)
        lenders = {
            grant.lent_by
            for grant in session.exec(_IN_FORCE, params={"person_id": person_id, "at": now()})
            if grant.role == role.value
        }
        for lender in sorted(one for one in lenders if one):
            check_here(session, lender, f"who lent {name} the role")
        return held(session, person_id, role, now())

    # -- one's own

    def grant(
        self, name: str, role: Role, by: str, begins_at: datetime | None = None, ends_at: datetime | None = None
    ) -> RoleGrant:
        """Give a person a role.  Raises NotFound, InvalidInput (standing, dates), Conflict (she has it)."""
        at = now()
        term = own_term(begins_at, ends_at, at)
        with self._database.transaction() as session:
            person = active(session, name, lock=True)
            made = add_grant(session, person, role, by, term)
            self._evidence.append(session, "role-granted", name, said_of(made), at)
        return made

    def withdraw(self, name: str, role: Role, by: str) -> None:
        """Take a person's own role away, and what she lent of it.  Raises NotFound, Conflict (administrator)."""
        at = now()
        if role is Role.ADMINISTRATOR:
            raise Conflict("who is administrator stays so as long as she is here", mend=f"verdelta person leave {name}")
        with self._database.transaction() as session:
            person = active(session, name, lock=True)
            mine = and_(col(RoleGrant.person_id) == person.id, col(RoleGrant.lent_by).is_(None))
            ended = end(session, mine, role, by, at)
            if not ended:
                raise NotFound(f"{name} does not hold {role.value}", mend=f"verdelta person show {name}")
            ended += end(session, col(RoleGrant.lent_by) == person.id, role, by, at)
            self._evidence.append(session, "role-withdrawn", name, _ended(role, ended, by), at)

    # -- lent

    def lend(
        self, name: str, role: Role, actor: Actor, begins_at: datetime, ends_at: datetime, to: str = "", team: str = ""
    ) -> list[RoleGrant]:
        """Lend a person's own role to a deputy, or to each who is now in a team, for a time.

        Who lends is the person herself, or whoever manages access, for one who is away.
        Raises NotAllowed, NotFound, InvalidInput, Conflict (it is lent to that person already).
        """
        at = now()
        term = loan_term(begins_at, ends_at, at)
        if bool(to) == bool(team):
            raise InvalidInput("a role is lent to a person or to a team", mend="Name one of them.")
        with self._database.transaction() as session:
            lender = _lender(session, name, actor)
            _check_own(session, lender, role, term)
            deputies = _deputies(session, lender, to, team)
            made = [add_grant(session, deputy, role, actor.name, term, lender) for deputy in deputies]
            records = [
                Record("role-lent", deputy.name, {**said_of(one), "lender": name, "team": team})
                for deputy, one in zip(deputies, made, strict=True)
            ]
            self._evidence.append_many(session, records, at)
        return made

    def take_back(self, name: str, role: Role, actor: Actor, to: str = "") -> int:
        """End what a person lent of a role, to everybody or to one; return to how many.

        Raises NotAllowed, NotFound.
        """
        at = now()
        with self._database.transaction() as session:
            lender = _lender(session, name, actor)
            lent: ColumnElement[bool] = col(RoleGrant.lent_by) == lender.id
            if to:
                lent = and_(lent, col(RoleGrant.person_id) == person_named(session, to).id)
            ended = end(session, lent, role, actor.name, at)
            if not ended:
                raise NotFound(
                    f"{name} does not lend {role.value} to {to or 'anybody'}",
                    mend=f"verdelta person show {name}",
                )
            self._evidence.append(session, "role-taken-back", name, _ended(role, ended, actor.name), at)
        return len(ended)


# -- within the transaction of somebody else


def held(session: Session, person_id: str, role: Role, at: datetime) -> Held | None:
    """Return how a person holds a role at a moment, as `standing_of`; of a withdrawal at once one comes first."""
    found = session.exec(_HOLDING, params={"person_id": person_id, "at": at, "role": role.value})
    lenders = [grant.lent_by for grant in found]
    if not lenders:
        return None
    return Held(role, None if None in lenders else sorted(one for one in lenders if one)[0])


def roles_at(session: Session, person_id: str, at: datetime) -> list[Role]:
    """Return the roles that a person holds at a moment, her own and lent ones."""
    return [Role(role) for role in session.execute(_ROLES, {"person_id": person_id, "at": at}).scalars()]


def add_grant(
    session: Session, person: Person, role: Role, by: str, term: Term, lender: Person | None = None
) -> RoleGrant:
    """Give a person a role, her own or lent.  Raises InvalidInput (standing), Conflict (she has it)."""
    check_roles(Standing(person.standing), role)
    if lender is not None and lender.id == person.id:
        raise InvalidInput(f"{person.name} cannot lend a role to herself")
    whose = col(RoleGrant.lent_by).is_(None) if lender is None else col(RoleGrant.lent_by) == lender.id
    same = (col(RoleGrant.person_id) == person.id, col(RoleGrant.role) == role.value, whose)
    for open_one in session.exec(select(RoleGrant).where(*same, col(RoleGrant.ended_at).is_(None))):
        if open_one.ends_at is None or open_one.ends_at > now():
            raise Conflict(
                f"{person.name} is {role.value} already{f', lent by {lender.name}' if lender else ''}",
                mend=f"verdelta person show {person.name}",
            )
        open_one.ended_at = open_one.ends_at
        session.add(open_one)
        session.flush()
    made = RoleGrant(
        id=new_id(),
        person_id=person.id,
        standing=person.standing,
        role=role.value,
        begins_at=term.begins_at,
        ends_at=term.ends_at,
        granted_by=by,
        lent_by=lender.id if lender else None,
    )
    session.add(made)
    session.flush()
    return made


def end(session: Session, which: ColumnElement[bool], role: Role | None, by: str, at: datetime) -> list[RoleGrant]:
    """End grants, of a role or of all; those that have ended stay as they are.  Returns those that this ended."""
    wanted = [
        which,
        col(RoleGrant.ended_at).is_(None),
        or_(col(RoleGrant.ends_at).is_(None), col(RoleGrant.ends_at) > at),
    ]
    if role is not None:
        wanted.append(col(RoleGrant.role) == role.value)
    found = list(session.exec(select(RoleGrant).where(*wanted).with_for_update()))
    for grant in found:
        grant.ended_at, grant.ended_by = at, by
        session.add(grant)
    session.flush()
    return found


def check_here(session: Session, person_id: str, name: str) -> None:
    """Raise NotAllowed for a person who has left, or whose account was merged; she stays until the transaction ends.

    Without it, what is done in the moment of a merge would be done by an account that is nobody's any more.
    """
    person = session.get(Person, person_id, with_for_update={"read": True})
    if person is None or person.left_at is not None:
        raise NotAllowed(f"{name} has left", mend="Somebody else has to, or the account that was kept.")


def person_named(session: Session, name: str, *, lock: bool = False, wholly: bool = False) -> Person:
    """Return a person, also one who has left.  Raises NotFound.

    `lock` keeps others from changing her until the transaction ends; `wholly` also from referring to her anew.
    """
    wanted = select(Person).where(Person.name == name)
    if lock or wholly:
        wanted = wanted.with_for_update(key_share=not wholly)
    person = session.exec(wanted).first() if is_name(name) else None
    if person is None:
        raise NotFound(f"there is no person named {name}", mend="verdelta person list")
    return person


def active(session: Session, name: str, *, lock: bool = False, wholly: bool = False) -> Person:
    """Return a person who has not left, as `person_named` does.  Raises NotFound, Conflict."""
    person = person_named(session, name, lock=lock, wholly=wholly)
    if person.left_at is not None:
        raise Conflict(f"{name} left on {person.left_at:%Y-%m-%d}", mend="Add somebody else: verdelta person add")
    return person


def team_named(session: Session, name: str, *, lock: bool = False) -> Team:
    """Return a team.  Raises NotFound."""
    wanted = select(Team).where(Team.name == name)
    found = session.exec(wanted.with_for_update() if lock else wanted).first() if is_name(name) else None
    if found is None:
        raise NotFound(f"there is no team named {name}", mend="verdelta team list")
    return found


def members(session: Session, team: Team) -> Sequence[Person]:
    """Return who is in a team, by name."""
    within = select(TeamMember.person_id).where(TeamMember.team_id == team.id)
    return session.exec(select(Person).where(col(Person.id).in_(within)).order_by(Person.name)).all()


def said_of(grant: RoleGrant) -> dict[str, str | None]:
    """Return what the evidence says of a grant."""
    return {
        "grant_id": grant.id,
        "person_id": grant.person_id,
        "role": grant.role,
        "begins_at": grant.begins_at.isoformat(),
        "ends_at": grant.ends_at.isoformat() if grant.ends_at else None,
        "lent_by": grant.lent_by,
        "by": grant.granted_by,
    }


def _lender(session: Session, name: str, actor: Actor) -> Person:
    """Return whose role it is, when the actor may lend it.  Raises NotAllowed, NotFound, Conflict."""
    lender = active(session, name, lock=True)
    if actor.person_id != lender.id and not may(actor, Permission.MANAGE_ACCESS):
        raise NotAllowed(
            f"{actor.name} may not lend or take back what is {name}'s", mend=f"{name} may, or an administrator."
        )
    return lender


def _deputies(session: Session, lender: Person, to: str, team: str) -> list[Person]:
    """Return who gets what is lent: a person, or a team without the lender.  Raises NotFound, InvalidInput."""
    if to:
        return [active(session, to)]
    deputies = [one for one in members(session, team_named(session, team)) if one.id != lender.id]
    if not deputies:
        raise InvalidInput(f"nobody but {lender.name} is in the team {team}", mend=f"verdelta team members {team}")
    return deputies


def _check_own(session: Session, lender: Person, role: Role, term: Term) -> None:
    """Refuse to lend what is not one's own, or longer than one has it.  Raises NotAllowed, InvalidInput."""
    check_roles(Standing.MEMBER, role)
    mine = (col(RoleGrant.person_id) == lender.id, col(RoleGrant.role) == role.value, col(RoleGrant.lent_by).is_(None))
    own = session.exec(select(RoleGrant).where(*mine, _covers(RoleGrant, term.begins_at))).first()
    if own is None:
        raise NotAllowed(
            f"{role.value} is not {lender.name}'s own role then: what is lent cannot be lent on",
            mend=f"verdelta person show {lender.name}",
        )
    if own.ends_at is not None and term.ends_at is not None and term.ends_at > own.ends_at:
        raise InvalidInput(f"{lender.name} is {role.value} until {own.ends_at:%Y-%m-%d %H:%M} UTC, not longer")


def _ended(role: Role, ended: Sequence[RoleGrant], by: str) -> dict[str, object]:
    return {"role": role.value, "grants": [grant.id for grant in ended], "by": by}
