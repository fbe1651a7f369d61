"""How a route says what it demands: `actor: Reader`-like parameters made by `demands`, or `public(why)`.

The application refuses to start when a route says neither (`undeclared`).
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from ..foundation.errors import NotAuthenticated
from .rules import Actor, Permission, require
from .service import AccessService

COOKIE = "verdelta_session"


def public(why: str) -> dict[str, str]:
    """Return the `openapi_extra` of a route that anyone may call, with the reason."""
    return {"x-public": why}


def identify(request: Request) -> Actor:
    """Return who is asking, by bearer token or page session.  Raises NotAuthenticated."""
    access: AccessService = request.app.state.services.access
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        return access.actor_of_token(secret.strip())
    cookie = request.cookies.get(COOKIE)
    if cookie and request.method in ("GET", "HEAD"):  # a cookie changes nothing: no forged request from another page
        return access.actor_of_session(cookie)
    raise NotAuthenticated("no token was given", mend="Send `Authorization: Bearer …`, or set VERDELTA_TOKEN.")


def demands(permission: Permission) -> Any:
    """Return the dependency that lets only those in who have the permission, and yields the actor."""

    def check(request: Request) -> Actor:
        actor = identify(request)
        require(actor, permission)
        return actor

    check.permission = permission  # type: ignore[attr-defined]
    return Depends(check)


def undeclared(routes: Iterable[Any]) -> list[str]:
    """Return the routes that neither demand a permission nor are marked public.

    Give the routes of every router: an application lists a router that it includes as one thing, not its routes.
    """
    return [
        f"{sorted(route.methods or ())} {route.path}"
        for route in routes
        if isinstance(route, APIRoute) and not _declared(route)
    ]


def _declared(route: APIRoute) -> bool:
    calls: list[Callable[..., Any] | None] = [dependency.call for dependency in route.dependant.dependencies]
    return any(hasattr(call, "permission") for call in calls) or bool((route.openapi_extra or {}).get("x-public"))


Reads = Annotated[Actor, demands(Permission.READ)]
ManagesHosts = Annotated[Actor, demands(Permission.MANAGE_HOSTS)]
Audits = Annotated[Actor, demands(Permission.AUDIT)]
BuildsReleases = Annotated[Actor, demands(Permission.BUILD_RELEASE)]
AuthorisesReleases = Annotated[Actor, demands(Permission.AUTHORISE_RELEASE)]
Deploys = Annotated[Actor, demands(Permission.DEPLOY)]
ManagesAccess = Annotated[Actor, demands(Permission.MANAGE_ACCESS)]
