"""HTTP: logins by way of an OpenID provider, and who is linked to whom there.  The browser's way back is a page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..foundation.schema import Moment
from .http import ManagesAccess
from .login_routes import LOGIN, SessionMade
from .oidc_logins import OidcLogins

router = APIRouter(prefix="/api/v1", tags=["access"])


def logins_of(request: Request) -> OidcLogins:
    """Return the use-cases around logins by a provider."""
    logins: OidcLogins = request.app.state.services.oidc
    return logins


Logins = Annotated[OidcLogins, Depends(logins_of)]


class LoginBegun(BaseModel):
    """Where a browser is to go, and what shows later who began; it is shown this once."""

    url: str = Field(repr=False, examples=["https://login.example.org/authorize?client_id=verdelta&state=…"])
    secret: str = Field(repr=False, examples=["vdo_0f3a…"])
    expires_at: Moment


class LoginCompleted(BaseModel):
    """What the terminal holds, and the code that the page showed to whoever came back."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"secret": "vdo_0f3a", "code": "BCDF-GHJK"}]}
    )

    secret: str = Field(max_length=100, repr=False)
    code: str = Field(max_length=20, repr=False)


class IdentityOrder(BaseModel):
    """What the provider calls a person."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"subject": "00u1a2b3"}]})

    subject: str = Field(max_length=255)


@router.post("/oidc/logins", status_code=201, openapi_extra=LOGIN)
def begin(logins: Logins) -> LoginBegun:
    """Begin a login by way of the provider; it lasts ten minutes."""
    begun = logins.begin()
    return LoginBegun(url=begun.url, secret=begun.secret, expires_at=begun.expires_at)


@router.post("/oidc/sessions", status_code=201, openapi_extra=LOGIN)
def complete(completed: LoginCompleted, logins: Logins) -> SessionMade:
    """Open a session for half a day, for who began a login and came back from the provider."""
    made = logins.complete(completed.secret, completed.code)
    return SessionMade(name=made.name, secret=made.secret, expires_at=made.expires_at)


@router.put("/people/{name}/identity", status_code=204)
def link(name: str, order: IdentityOrder, actor: ManagesAccess, logins: Logins) -> None:
    """Link a person to what the provider calls her."""
    logins.link(name, order.subject, actor.name)


@router.delete("/people/{name}/identity", status_code=204)
def unlink(name: str, actor: ManagesAccess, logins: Logins) -> None:
    """Let a person in by no provider any more; her sessions end."""
    logins.unlink(name, actor.name)
