"""Duties and sign-offs over HTTP.  Only people sign: a token is refused, whatever it may otherwise do."""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import AuthorisesReleases, Reads, Signs
from ..access.rules import Role
from ..access.tables import Person
from ..foundation.schema import Moment
from .sides import Purpose
from .signing_off import SigningOffService
from .tables import ReleaseDuty, ReleaseSide, SignOffRow

router = APIRouter(prefix="/api/v1", tags=["releases"])


class Names(Protocol):
    """Who is called what."""

    def named(self, name: str) -> Person:
        """Return the person of a name.  Raises NotFound."""
        ...

    def names(self) -> dict[str, str]:
        """Return the name of each person by id."""
        ...


def _service(request: Request) -> SigningOffService:
    service: SigningOffService = request.app.state.services.signing_off
    return service


def _names(request: Request) -> Names:
    names: Names = request.app.state.services.people.accounts
    return names


Service = Annotated[SigningOffService, Depends(_service)]
Accounts = Annotated[Names, Depends(_names)]


class BindingView(BaseModel):
    """What would be signed: in words, and the digest that a signature binds."""

    purpose: str = Field(examples=["acceptance"])
    subject: str = Field(examples=["77aa…"])
    statement: str = Field(examples=["I tested labapp 1.1, package 52d8…, and accept it."])


class SignOffOrder(BaseModel):
    """A signature: the digest of what was read, and a code of the second step."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"subject": "7" * 64, "code": "123456"}]})

    subject: str = Field(pattern="^[0-9a-f]{64}$")
    code: str = Field(max_length=20, repr=False)


class SignOffView(BaseModel):
    """What a person signed, and whether it still holds."""

    id: int = Field(examples=[4])
    purpose: str = Field(examples=["acceptance"])
    by: str = Field(examples=["tess"])
    lent: bool = Field(examples=[False], description="whether the role was lent to whoever signed")
    package: str = Field(examples=["52d8…"])
    subject: str = Field(examples=["77aa…"])
    statement: str = Field(examples=["I tested labapp 1.1, package 52d8…, and accept it."])
    signed_at: Moment
    voided_at: Moment | None
    void_reason: str = Field(examples=[""])


class DutyOrder(BaseModel):
    """A duty in a release, for a person."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"person": "tess", "role": "test-manager"}]}
    )

    person: str = Field(max_length=100)
    role: Role


class PersonView(BaseModel):
    """A person in a release: the side on which she stands, why, and what she was appointed to."""

    person: str = Field(examples=["tess"])
    side: str = Field(examples=["test"])
    since: Moment
    reason: str = Field(examples=["appointed test-manager"])
    duties: list[str] = Field(examples=[["test-manager"]])


@router.get("/releases/{name}/{version}/sign-offs")
def list_sign_offs(name: str, version: str, actor: Reads, signing: Service) -> list[SignOffView]:
    """Return every sign-off of a release, those that are void among them."""
    return [_view(row) for row in signing.sign_offs(name, version)]


@router.get("/releases/{name}/{version}/sign-offs/{purpose}/statement")
def statement(name: str, version: str, purpose: Purpose, actor: Reads, signing: Service) -> BindingView:
    """Return what would be signed now."""
    binding = signing.binding(name, version, purpose)
    return BindingView(purpose=purpose.value, subject=binding.subject, statement=binding.statement)


@router.post("/releases/{name}/{version}/sign-offs/{purpose}", status_code=201)
def sign(name: str, version: str, purpose: Purpose, order: SignOffOrder, actor: Signs, signing: Service) -> SignOffView:
    """Sign exactly what was read."""
    return _view(signing.sign(name, version, purpose, order.subject, order.code, actor))


@router.get("/releases/{name}/{version}/people")
def people(name: str, version: str, actor: Reads, signing: Service, accounts: Accounts) -> list[PersonView]:
    """Return who stands on which side of a release, and what each was appointed to."""
    duties, sides = signing.people(name, version)
    names = accounts.names()
    return [_person(side, duties, names) for side in sides]


@router.post("/releases/{name}/{version}/people", status_code=201)
def appoint(
    name: str, version: str, order: DutyOrder, actor: AuthorisesReleases, signing: Service, accounts: Accounts
) -> list[PersonView]:
    """Appoint a person to a duty in a release."""
    person = accounts.named(order.person)
    signing.appoint(name, version, person.id, person.name, order.role, actor)
    return people(name, version, actor, signing, accounts)


def _view(row: SignOffRow) -> SignOffView:
    fields: dict[str, Any] = row.model_dump(include=set(SignOffView.model_fields))
    return SignOffView(**fields, by=row.person_name, lent=row.for_person_id is not None)


def _person(side: ReleaseSide, duties: list[ReleaseDuty], names: dict[str, str]) -> PersonView:
    return PersonView(
        person=names.get(side.person_id, side.person_id),
        side=side.side,
        since=side.since,
        reason=side.reason,
        duties=[duty.role for duty in duties if duty.person_id == side.person_id],
    )
