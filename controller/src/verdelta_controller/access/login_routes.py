"""HTTP: joining, logging in and out.  Secrets are in bodies alone: addresses are written into logs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..foundation.errors import NotAuthenticated
from ..foundation.schema import Moment
from .http import BEARER, bearer, public
from .logins import PREFIX
from .people import People

router = APIRouter(prefix="/api/v1", tags=["access"])

LOGIN = public("who logs in cannot be known yet")
JOIN = public("the invitation says who it is")

Name = Annotated[str, Field(max_length=63)]
Code = Annotated[str, Field(max_length=10, repr=False, description="six digits, of the app; it works once")]
Password = Annotated[str, Field(max_length=1000, repr=False)]
InvitationSecret = Annotated[str, Field(max_length=100, repr=False)]


def people_of(request: Request) -> People:
    """Return the use-cases around people."""
    people: People = request.app.state.services.people
    return people


Access = Annotated[People, Depends(people_of)]


class Login(BaseModel):
    """What somebody proves who they are with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "alice", "password": "a long sentence", "code": "123456"}]},
    )

    name: Name
    password: Password
    code: Code


class SessionMade(BaseModel):
    """Somebody logged in; the secret is shown this once, and goes where a token would."""

    name: str = Field(examples=["alice"])
    secret: str = Field(repr=False, examples=["vds_0f3a…"])
    expires_at: Moment


class Invited(BaseModel):
    """An invitation that somebody was given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"invitation": "vdi_0f3a"}]})

    invitation: InvitationSecret


class SecondStep(BaseModel):
    """What the app of whoever joins needs for computing codes."""

    name: str = Field(examples=["alice"])
    secret: str = Field(repr=False, examples=["JBSWY3DPEHPK3PXP"], description="base 32")
    uri: str = Field(repr=False, examples=["otpauth://totp/Verdelta:alice?secret=…&issuer=Verdelta"])


class Joining(Invited):
    """What whoever joins has chosen, and a code that shows that the app works."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"invitation": "vdi_0f3a", "password": "a long sentence", "code": "123456"}],
        },
    )

    password: Password
    code: Code


class Welcome(BaseModel):
    """Who has joined."""

    name: str = Field(examples=["alice"])


@router.post("/sessions", status_code=201, openapi_extra=LOGIN)
def log_in(login: Login, people: Access) -> SessionMade:
    """Open a session for half a day, with a password and a code that works once."""
    made = people.logins.log_in(login.name, login.password, login.code)
    return SessionMade(name=made.name, secret=made.secret, expires_at=made.expires_at)


@router.delete("/sessions/current", status_code=204, openapi_extra=public("leaving takes no permission"))
def log_out(request: Request, _: Annotated[object, Depends(BEARER)], people: Access) -> None:
    """End the session that asks; one that has ended already stays so."""
    secret = bearer(request)
    if not secret.startswith(PREFIX):
        raise NotAuthenticated(
            "no session was given: there is nothing to end", mend="verdelta token revoke ends a token."
        )
    people.logins.log_out(secret)


@router.post("/joining", openapi_extra=JOIN)
def begin_joining(invited: Invited, people: Access) -> SecondStep:
    """Return what the app needs, for whoever has an invitation; the same again returns the same."""
    name, offer = people.accounts.offer_second_step(invited.invitation)
    return SecondStep(name=name, secret=offer.secret, uri=offer.uri)


@router.post("/joining/acceptance", openapi_extra=JOIN)
def join(joining: Joining, people: Access) -> Welcome:
    """Set a password and a second step; the invitation is spent."""
    return Welcome(name=people.accounts.accept_invitation(joining.invitation, joining.password, joining.code).name)
