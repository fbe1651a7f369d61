"""HTTP: people, their roles, what they lend, and their teams."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from ..foundation.schema import GivenMoment, Moment
from .accounts import Account
from .http import ManagesAccess, Reads
from .login_routes import Access, Name
from .people_tables import RoleGrant
from .rules import Role, Standing
from .teams import TeamSeen

router = APIRouter(prefix="/api/v1", tags=["access"])


class PersonOrder(BaseModel):
    """A person to be added."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "alice", "full_name": "Alice Adams", "roles": ["release-manager"]}]},
    )

    name: Name
    full_name: str = Field(max_length=200)
    standing: Standing = Field(
        default=Standing.MEMBER, description="an administrator holds no other role, and signs not"
    )
    roles: list[Role] = Field(default=[], max_length=len(Role))


class GrantOrder(BaseModel):
    """A role to be given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "tester"}]})

    role: Role
    begins_at: GivenMoment | None = Field(default=None, description="now, where it is not said")
    ends_at: GivenMoment | None = Field(default=None, description="it stays, where it is not said")


class LoanOrder(BaseModel):
    """A role to be lent: to a person, or to each who is in a team now."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "role": "release-manager",
                    "to": "bob",
                    "begins_at": "2026-12-01T00:00:00Z",
                    "ends_at": "2026-12-15T00:00:00Z",
                }
            ]
        },
    )

    role: Role
    to: Name = ""
    team: Name = ""
    begins_at: GivenMoment
    ends_at: GivenMoment


class MergeOrder(BaseModel):
    """The account that goes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"gone": "alice2"}]})

    gone: Name


class TeamOrder(BaseModel):
    """A team to be added."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "web", "purpose": "looks after the web", "members": ["alice"]}]},
    )

    name: Name
    purpose: str = Field(default="", max_length=200)
    members: list[Name] = Field(default=[], max_length=500)


class TeamChange(BaseModel):
    """Who comes into a team, and who goes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"add": ["bob"], "remove": ["alice"]}]})

    add: list[Name] = Field(default=[], max_length=500)
    remove: list[Name] = Field(default=[], max_length=500)


class GrantView(BaseModel):
    """A role that is held, was held or will be."""

    role: str = Field(examples=["release-manager"])
    person: str = Field(examples=["bob"])
    begins_at: Moment
    ends_at: Moment | None = None
    granted_by: str = Field(examples=["root"])
    lent_by: str | None = Field(default=None, examples=["alice"])
    ended_at: Moment | None = None
    ended_by: str | None = Field(default=None, examples=["root"])


class PersonView(BaseModel):
    """A person, with all grants of roles to her and by her, the newest first."""

    name: str = Field(examples=["alice"])
    full_name: str = Field(examples=["Alice Adams"])
    standing: str = Field(examples=["member"])
    joined: bool = Field(examples=[True], description="has set a password and a second step")
    linked: bool = Field(examples=[False], description="may log in by way of the login provider")
    created_at: Moment
    left_at: Moment | None = None
    grants: list[GrantView]


class InvitationMade(BaseModel):
    """An invitation just made; its secret is shown this once."""

    name: str = Field(examples=["alice"])
    secret: str = Field(repr=False, examples=["vdi_0f3a…"])
    expires_at: Moment


class TeamView(BaseModel):
    """A team and who is in it."""

    name: str = Field(examples=["web"])
    purpose: str = Field(examples=["looks after the web"])
    members: list[str] = Field(examples=[["alice", "bob"]])


# -- people


@router.post("/people", status_code=201)
def add_person(order: PersonOrder, actor: ManagesAccess, people: Access) -> PersonView:
    """Add a person; she sets a password by an invitation."""
    people.accounts.create_person(order.name, order.full_name, actor.name, order.standing, order.roles)
    return _one(people, order.name)


@router.get("/people")
def list_people(actor: Reads, people: Access) -> list[PersonView]:
    """Return everybody, by name."""
    names = people.accounts.names()
    return [_person(account, names) for account in people.accounts.all()]


@router.get("/people/{name}")
def show_person(name: str, actor: Reads, people: Access) -> PersonView:
    """Return a person."""
    return _one(people, name)


@router.post("/people/{name}/invitations", status_code=201)
def invite(name: str, actor: ManagesAccess, people: Access) -> InvitationMade:
    """Return a secret with which the person sets a password and a second step; what she had of them ends now."""
    made = people.accounts.invite(name, actor.name)
    return InvitationMade(name=made.name, secret=made.secret, expires_at=made.expires_at)


@router.post("/people/{name}/departure", status_code=204)
def leave(name: str, actor: ManagesAccess, people: Access) -> None:
    """End all that a person may; what she did stays hers."""
    people.accounts.leave(name, actor.name)


@router.post("/people/{name}/merge")
def merge(name: str, order: MergeOrder, actor: ManagesAccess, people: Access) -> PersonView:
    """Make another account of the same human one with this: what was done under it is hers, its roles end."""
    people.accounts.merge_accounts(name, order.gone, actor.name)
    return _one(people, name)


# -- roles


@router.post("/people/{name}/roles", status_code=201)
def grant(name: str, order: GrantOrder, actor: ManagesAccess, people: Access) -> GrantView:
    """Give a person a role."""
    made = people.grants.grant(name, order.role, actor.name, order.begins_at, order.ends_at)
    return _grant(made, people.accounts.names())


@router.delete("/people/{name}/roles/{role}", status_code=204)
def withdraw(name: str, role: Role, actor: ManagesAccess, people: Access) -> None:
    """Take a role away, and with it what she lent of it."""
    people.grants.withdraw(name, role, actor.name)


@router.post("/people/{name}/loans", status_code=201)
def lend(name: str, order: LoanOrder, actor: Reads, people: Access) -> list[GrantView]:
    """Lend a role for a time: one's own, or (whoever manages access) that of somebody who is away."""
    made = people.grants.lend(name, order.role, actor, order.begins_at, order.ends_at, order.to, order.team)
    names = people.accounts.names()
    return [_grant(one, names) for one in made]


@router.delete("/people/{name}/loans/{role}", status_code=204)
def take_back(
    name: str, role: Role, actor: Reads, people: Access, to: Annotated[str, Query(max_length=63)] = ""
) -> None:
    """End what a person lent of a role: to everybody, or to one."""
    people.grants.take_back(name, role, actor, to)


# -- teams


@router.post("/teams", status_code=201)
def add_team(order: TeamOrder, actor: ManagesAccess, people: Access) -> TeamView:
    """Add a team."""
    return _team(people.teams.create(order.name, order.purpose, order.members, actor.name))


@router.get("/teams")
def list_teams(actor: Reads, people: Access) -> list[TeamView]:
    """Return every team, by name."""
    return [_team(seen) for seen in people.teams.all()]


@router.get("/teams/{name}")
def show_team(name: str, actor: Reads, people: Access) -> TeamView:
    """Return a team."""
    return _team(people.teams.named(name))


@router.patch("/teams/{name}")
def change_team(name: str, order: TeamChange, actor: ManagesAccess, people: Access) -> TeamView:
    """Change who is in a team."""
    return _team(people.teams.change(name, order.add, order.remove, actor.name))


def _one(people: Access, name: str) -> PersonView:
    return _person(people.accounts.account(name), people.accounts.names())


def _person(account: Account, names: dict[str, str]) -> PersonView:
    person = account.person
    return PersonView(
        name=person.name,
        full_name=person.full_name,
        standing=person.standing,
        joined=account.joined,
        linked=account.linked,
        created_at=person.created_at,
        left_at=person.left_at,
        grants=[_grant(one, names) for one in account.grants],
    )


def _grant(grant: RoleGrant, names: dict[str, str]) -> GrantView:
    return GrantView(
        role=grant.role,
        person=names[grant.person_id],
        begins_at=grant.begins_at,
        ends_at=grant.ends_at,
        granted_by=grant.granted_by,
        lent_by=names[grant.lent_by] if grant.lent_by else None,
        ended_at=grant.ended_at,
        ended_by=grant.ended_by,
    )


def _team(seen: TeamSeen) -> TeamView:
    return TeamView(name=seen.team.name, purpose=seen.team.purpose, members=seen.members)
