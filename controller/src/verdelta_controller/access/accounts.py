"""Accounts of people: added, invited, joined, left, merged.

A person sets her own password and second step, with a one-time invitation; an administrator never knows either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import or_
from sqlmodel import Session, col, delete, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotAllowed
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, new_id, new_secret
from ..foundation.signing import Vault
from . import passwords, second_step
from .grants import active, add_grant, end, person_named
from .logins import end_sessions
from .oidc_tables import PersonIdentity
from .people_rules import Term, check_password, check_person, check_roles
from .people_tables import Invitation, MergedAccount, PersonSecret, RoleGrant, TeamMember
from .rules import Role, Standing
from .second_step import Offer
from .tables import ApiToken, Person

INVITATION_LIFE = timedelta(days=7)
PREFIX = "vdi_"

OnMerge = Callable[[Session, str, str], None]  # (transaction, the account kept, the account that goes)


@dataclass(frozen=True)
class NewInvitation:
    """An invitation just made.  Its secret is shown this once."""

    name: str
    secret: str = field(repr=False)
    expires_at: datetime


class Account(NamedTuple):
    """A person with her grants, the newest first, and whether she has joined, and is linked to a provider."""

    person: Person
    joined: bool
    linked: bool
    grants: list[RoleGrant]


class Accounts:
    """The use-cases around accounts."""

    def __init__(self, database: Database, evidence: EvidenceLog, vault: Vault) -> None:
        self._database = database
        self._evidence = evidence
        self._vault = vault
        self._on_merge: list[OnMerge] = []

    # -- looked at

    def named(self, name: str) -> Person:
        """Return a person, also one who has left.  Raises NotFound."""
        with self._database.reading() as session:
            return person_named(session, name)

    def all(self) -> list[Account]:
        """Return everybody, by name."""
        with self._database.reading() as session:
            return _accounts(session, session.exec(select(Person).order_by(Person.name)).all())

    def account(self, name: str) -> Account:
        """Return one person with her grants.  Raises NotFound."""
        with self._database.reading() as session:
            return _accounts(session, [person_named(session, name)])[0]

    def names(self) -> dict[str, str]:
        """Return the name of every person by her identity."""
        with self._database.reading() as session:
            return dict(session.exec(select(Person.id, Person.name)).all())

    # -- added and invited

    def create_person(
        self, name: str, full_name: str, by: str, standing: Standing = Standing.MEMBER, roles: Sequence[Role] = ()
    ) -> Person:
        """Add a person, with roles of her own from now on.  Raises InvalidInput, Conflict (the name is taken)."""
        check_person(name, full_name)
        wanted = (
            [Role.ADMINISTRATOR] if standing is Standing.ADMINISTRATOR and not roles else list(dict.fromkeys(roles))
        )
        for role in wanted:
            check_roles(standing, role)
        at = now()
        person = Person(id=new_id(), name=name, full_name=full_name.strip(), standing=standing.value, created_at=at)
        with self._database.transaction() as session:
            if session.exec(select(Person).where(Person.name == name)).first():
                raise Conflict(f"there is a person named {name}", mend=f"verdelta person show {name}")
            if session.exec(select(ApiToken).where(ApiToken.name == name)).first():
                raise Conflict(
                    f"there is, or was, a token named {name}: evidence would not say which of them it was",
                    mend="Take another name.",
                )
            session.add(person)
            session.flush()
            for role in wanted:
                add_grant(session, person, role, by, Term(at, None))
            content = {"person_id": person.id, "standing": standing.value, "roles": wanted, "by": by}
            self._evidence.append(session, "person-added", name, content, at)
        return person

    def invite(self, name: str, by: str) -> NewInvitation:
        """Return a one-time secret with which a person sets her password and second step, within a week.

        What she had of either ends now, with her sessions.  Raises NotFound, Conflict (she has left).
        """
        secret, at = PREFIX + new_secret(), now()
        with self._database.transaction() as session:
            person = active(session, name, lock=True)
            had = session.get(PersonSecret, person.id) is not None
            _shut_out(session, person.id)
            made = Invitation(
                secret_digest=digest_of_secret(secret),
                person_id=person.id,
                made_by=by,
                created_at=at,
                expires_at=at + INVITATION_LIFE,
            )
            session.add(made)
            session.flush()
            content = {"person_id": person.id, "reset": had, "by": by, "until": made.expires_at.isoformat()}
            self._evidence.append(session, "person-invited", name, content, at)
        return NewInvitation(name, secret, made.expires_at)

    # -- joined

    def offer_second_step(self, invitation: str) -> tuple[str, Offer]:
        """Return the name of who is invited, and what her app needs; the same again gives the same.

        Raises NotAllowed (invitation unknown, spent or expired).
        """
        with self._database.transaction() as session:
            invited, person = _invited(session, invitation)
            if invited.second_step is None:
                invited.second_step = self._vault.seal(second_step.new_secret().encode(), person.id)
                session.add(invited)
            secret = self._vault.open(invited.second_step, person.id).decode()
        return person.name, second_step.offer(secret, person.name)

    def accept_invitation(self, invitation: str, password: str, code: str) -> Person:
        """Let a person in from now on who has set a password, and whose app gives the right codes.

        The invitation is spent, and so is the code.  Raises NotAllowed, InvalidInput (password, code).
        """
        with self._database.reading() as session:
            _, person = _invited(session, invitation)
        check_password(password, person.name)
        stored, at = passwords.hash_of(password), now()
        with self._database.transaction() as session:
            invited, person = _invited(session, invitation)
            if invited.second_step is None:
                raise InvalidInput("there is no second step yet", mend="Ask for one first: verdelta person join")
            secret = self._vault.open(invited.second_step, person.id).decode()
            counter = second_step.counter_of(secret, code, at)
            if counter is None:
                raise InvalidInput("the code is not the app's of this moment", mend="Is the clock of both right?")
            sealed, made_by = invited.second_step, invited.made_by
            _shut_out(session, person.id)
            session.add(
                PersonSecret(
                    person_id=person.id, password_hash=stored, second_step=sealed, last_counter=counter, set_at=at
                )
            )
            session.flush()
            content = {"person_id": person.id, "invited_by": made_by}
            self._evidence.append(session, "person-joined", person.name, content, at)
        return person

    # -- gone

    def leave(self, name: str, by: str) -> None:
        """End what a person may: sessions, password, roles, what she lent, teams.  What she did stays hers.

        Again is safe.  Raises NotFound.
        """
        at = now()
        with self._database.transaction() as session:
            person = person_named(session, name, lock=True)
            if person.left_at is not None:
                return
            ended = _gone(session, person, by, at)
            content = {"person_id": person.id, "grants": ended, "by": by}
            self._evidence.append(session, "person-left", name, content, at)

    def on_merge(self, callback: OnMerge) -> None:
        """Have a callback move what its feature keeps of the account that goes, in the transaction of the merge.

        It raises Conflict where that cannot be, and then nothing of the merge is done.
        """
        self._on_merge.append(callback)

    def merge_accounts(self, keep: str, gone: str, by: str) -> None:
        """Make two accounts of one human one: what the one that goes did is the other's; its roles and teams end.

        Raises NotFound, InvalidInput, Conflict (another standing, left before, two sides of one release).
        """
        if keep == gone:
            raise InvalidInput(f"{keep} cannot be merged with itself")
        at = now()
        with self._database.transaction() as session:
            first, second = (active(session, name, wholly=True) for name in sorted((keep, gone)))  # one order for all
            kept, going = (first, second) if first.name == keep else (second, first)
            if kept.standing != going.standing:
                raise Conflict(
                    f"{keep} is {kept.standing}, {gone} {going.standing}: what one may the other may not have done",
                    mend=f"Let one of them leave: verdelta person leave {gone}",
                )
            ended = _gone(session, going, by, at)
            session.add(MergedAccount(gone_id=going.id, kept_id=kept.id, merged_at=at))
            session.flush()
            for callback in self._on_merge:
                callback(session, kept.id, going.id)
            content = {"kept": kept.id, "gone": going.id, "gone_name": gone, "grants": ended, "by": by}
            self._evidence.append(session, "accounts-merged", keep, content, at)


def _accounts(session: Session, people: Sequence[Person]) -> list[Account]:
    """Return people with their grants; three questions, however many they are."""
    wanted = [person.id for person in people] if len(people) == 1 else None
    grants = select(RoleGrant).order_by(col(RoleGrant.begins_at).desc(), RoleGrant.id)
    secrets, identities = select(PersonSecret.person_id), select(PersonIdentity.person_id)
    if wanted:
        grants = grants.where(or_(col(RoleGrant.person_id).in_(wanted), col(RoleGrant.lent_by).in_(wanted)))
        secrets = secrets.where(col(PersonSecret.person_id).in_(wanted))
        identities = identities.where(col(PersonIdentity.person_id).in_(wanted))
    joined, linked = set(session.exec(secrets)), set(session.exec(identities))
    hers: dict[str, list[RoleGrant]] = {person.id: [] for person in people}
    for grant in session.exec(grants):
        if grant.person_id in hers:
            hers[grant.person_id].append(grant)
        if grant.lent_by in hers:
            hers[grant.lent_by].append(grant)
    return [Account(person, person.id in joined, person.id in linked, hers[person.id]) for person in people]


def _invited(session: Session, secret: str) -> tuple[Invitation, Person]:
    """Return an invitation that is open, and whose it is.  Raises NotAllowed."""
    found = session.get(Invitation, digest_of_secret(secret), with_for_update=True)
    if found is None or found.expires_at <= now():
        raise NotAllowed(
            "the invitation is not known: it was used, replaced, or has expired",
            mend="If you have joined: verdelta login. Otherwise ask an administrator: verdelta person invite",
        )
    return found, session.get_one(Person, found.person_id)


def _shut_out(session: Session, person_id: str) -> None:
    """End a person's sessions, password, second step and invitation."""
    end_sessions(session, person_id)
    session.exec(delete(PersonSecret).where(col(PersonSecret.person_id) == person_id))
    session.exec(delete(Invitation).where(col(Invitation.person_id) == person_id))


def _gone(session: Session, person: Person, by: str, at: datetime) -> list[str]:
    """End all that a person may from now on.  Returns the grants that this ended, hers and those that she lent."""
    _shut_out(session, person.id)
    session.exec(delete(PersonIdentity).where(col(PersonIdentity.person_id) == person.id))
    session.exec(delete(TeamMember).where(col(TeamMember.person_id) == person.id))
    theirs = or_(col(RoleGrant.person_id) == person.id, col(RoleGrant.lent_by) == person.id)
    ended = end(session, theirs, None, by, at)
    person.left_at = at
    session.add(person)
    session.flush()
    return [grant.id for grant in ended]
