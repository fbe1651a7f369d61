"""How a route says what it demands: by a parameter such as `actor: Reads`, made by `demands`, or by `public(why)`.

A plain route, which has no such parameters, says by `open_to_all(why)` that it checks by itself.
The application refuses to start when a route says neither (`undeclared`).
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from ..foundation.errors import NotAuthenticated
from .logins import PREFIX
from .people import People
from .rules import Actor, Permission, require
from .service import AccessService

COOKIE = "verdelta_session"
BEARER = HTTPBearer(
    auto_error=False, description="an API token (verdelta token create) or a session (login)"
)  # for the API's description

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def public(why: str) -> dict[str, str]:
    """Return the `openapi_extra` of a route that anyone may call, with the reason."""
    return {"x-public": why}


def open_to_all(why: str) -> Callable[[Endpoint], Endpoint]:
    """Mark the endpoint of a plain route that anyone may call, with the reason."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.open_to_all = why  # type: ignore[attr-defined]
        return endpoint

    return mark


def bearer(request: Request) -> str:
    """Return the token that a request carries, or "" when it carries none."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def identify(request: Request) -> Actor:
    """Return who is asking, by bearer token, a person's session or page session.  Raises NotAuthenticated."""
    access: AccessService = request.app.state.services.access
    people: People = request.app.state.services.people
    if secret := bearer(request):
        return people.logins.actor_of_session(secret) if secret.startswith(PREFIX) else access.actor_of_token(secret)
    cookie = request.cookies.get(COOKIE)
    if cookie and request.method in ("GET", "HEAD"):  # a cookie changes nothing: no forged request from another page
        return access.actor_of_session(cookie)
    raise NotAuthenticated("no token was given", mend="Send `Authorization: Bearer …`, or set VERDELTA_TOKEN.")


def demands(permission: Permission) -> Any:
    """Return the dependency that lets only those in who have the permission, and yields the actor."""

    def check(request: Request, _: Annotated[Any, Depends(BEARER)]) -> Actor:
        request.state.actor = actor = identify(request)
        require(actor, permission)
        return actor

    check.permission = permission  # type: ignore[attr-defined]
    return Depends(check)


def undeclared(routes: Iterable[Any]) -> list[str]:
    """Return the routes, of any kind and in every router among them, that say neither what they demand nor `public`."""
    found: list[str] = []
    for route in routes:
        inner = getattr(route, "original_router", None)  # a router that was included is one route to its application
        if inner is not None:
            found += undeclared(inner.routes)
        elif not _declared(route):
            found.append(f"{sorted(getattr(route, 'methods', None) or ())} {getattr(route, 'path', route)}")
    return found


def _declared(route: Any) -> bool:
    if not isinstance(route, APIRoute):
        return bool(getattr(getattr(route, "endpoint", None), "open_to_all", ""))
    calls: list[Callable[..., Any] | None] = [dependency.call for dependency in route.dependant.dependencies]
    return any(hasattr(call, "permission") for call in calls) or bool((route.openapi_extra or {}).get("x-public"))


Reads = Annotated[Actor, demands(Permission.READ)]
ManagesHosts = Annotated[Actor, demands(Permission.MANAGE_HOSTS)]
Audits = Annotated[Actor, demands(Permission.AUDIT)]
ManagesLibrary = Annotated[Actor, demands(Permission.MANAGE_LIBRARY)]
BuildsReleases = Annotated[Actor, demands(Permission.BUILD_RELEASE)]
AuthorisesReleases = Annotated[Actor, demands(Permission.AUTHORISE_RELEASE)]
Tests = Annotated[Actor, demands(Permission.TEST)]
Records = Annotated[Actor, demands(Permission.RECORD)]
Signs = Annotated[Actor, demands(Permission.SIGN)]
Books = Annotated[Actor, demands(Permission.BOOK)]
ManagesPolicy = Annotated[Actor, demands(Permission.MANAGE_POLICY)]
Deploys = Annotated[Actor, demands(Permission.DEPLOY)]
ManagesAccess = Annotated[Actor, demands(Permission.MANAGE_ACCESS)]
