"""Tokens over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..foundation.errors import NotAllowed
from ..foundation.schema import Moment
from .http import ManagesAccess, Reads, bearer
from .rules import Role
from .service import AccessService
from .tables import ApiToken

router = APIRouter(prefix="/api/v1", tags=["access"])


def _service(request: Request) -> AccessService:
    service: AccessService = request.app.state.services.access
    return service


Access = Annotated[AccessService, Depends(_service)]


class TokenOrder(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "ci", "role": "deployment-staff", "days": 90}]}
    )

    name: str = Field(max_length=63)
    role: Role
    days: int = Field(default=90, ge=1, le=366, description="days until it expires")


class TokenView(BaseModel):
    """A token, without its secret."""

    name: str = Field(examples=["ci"])
    role: str = Field(examples=["deployment-staff"])
    created_at: Moment
    expires_at: Moment
    revoked_at: Moment | None = None


class TokenMade(BaseModel):
    """A token just made; its secret is shown this once."""

    name: str = Field(examples=["ci"])
    role: str = Field(examples=["deployment-staff"])
    secret: str = Field(repr=False, examples=["vdt_0f3a…"])
    expires_at: Moment


class Link(BaseModel):
    """A path that opens the pages for whoever opens it first."""

    path: str = Field(repr=False, examples=["/login?link=4be1…"])


class Self(BaseModel):
    """Who is asking."""

    name: str = Field(examples=["ci"])
    role: str = Field(examples=["deployment-staff"], description="the roles, as they stand in a sentence")
    roles: list[Role]
    is_person: bool = Field(examples=[False], description="who logged in; otherwise it is a token, which never signs")


@router.get("/whoami")
def whoami(actor: Reads) -> Self:
    """Return who is asking, with the roles in force now."""
    roles = [role for role in Role if role in actor.roles]
    return Self(name=actor.name, role=actor.described, roles=roles, is_person=actor.person_id is not None)


@router.get("/tokens")
def list_tokens(actor: ManagesAccess, access: Access) -> list[TokenView]:
    """Return every token, the newest first."""
    return [_view(token) for token in access.tokens()]


@router.post("/tokens", status_code=201)
def create_token(order: TokenOrder, actor: ManagesAccess, access: Access) -> TokenMade:
    """Make a token."""
    made = access.create_token(order.name, order.role, order.days, actor.name)
    return TokenMade(name=made.name, role=made.role.value, secret=made.secret, expires_at=made.expires_at)


@router.delete("/tokens/{name}", status_code=204)
def revoke_token(name: str, actor: ManagesAccess, access: Access) -> None:
    """End a token and its page sessions."""
    access.revoke_token(name, actor.name)


@router.post("/page-links", status_code=201)
def create_link(request: Request, actor: Reads, access: Access) -> Link:
    """Return a link that opens the pages in a browser, once, within a quarter of an hour, for a token's holder."""
    if actor.person_id is not None:
        raise NotAllowed("the pages are opened with a token", mend="verdelta logout, or give one: --token-file")
    return Link(path=f"/login?link={access.create_link(bearer(request))}")


def _view(token: ApiToken) -> TokenView:
    return TokenView(
        name=token.name,
        role=token.role,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )
