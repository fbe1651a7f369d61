"""Letting people in: with an API token, or with a one-time link; and out again.

A link is spent by a button, never by looking at it: programs that preview links would spend it before the person does.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from ..access.http import COOKIE, public
from ..access.service import SESSION_LIFE, AccessService
from ..foundation.errors import NotAllowed, NotAuthenticated
from .rendering import render

router = APIRouter()

OURS = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")  # an address of this controller, and of nobody else

Secret = Annotated[str, Form(max_length=200)]


class ForeignForm(NotAllowed):
    """This form was not sent by one of these pages."""


def from_our_pages(request: Request) -> None:
    """Refuse a form that another site made a browser send.  Raises ForeignForm."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = site == "same-origin" if site else bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    if not ours:
        raise ForeignForm(mend="Open the page of this controller, and send the form from there.")


def _access(request: Request) -> AccessService:
    service: AccessService = request.app.state.services.access
    return service


Access = Annotated[AccessService, Depends(_access)]


@router.get("/login", openapi_extra=public("whoever comes in comes in here"))
def login(
    request: Request,
    link: Annotated[str, Query(max_length=200)] = "",
    next: Annotated[str, Query(max_length=2000)] = "/",
) -> Response:
    """Return the form to log in with, or the button that opens a one-time link."""
    return _form(request, link, next, None)


@router.post(
    "/login",
    openapi_extra=public("whoever comes in comes in here"),
    dependencies=[Depends(from_our_pages)],
)
def enter(
    request: Request,
    access: Access,
    token: Secret = "",
    link: Secret = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Open a session for who has a token or a link, and go on to where they wanted to be."""
    try:
        session = access.open_session(link or token.strip())
    except NotAuthenticated as error:
        return _form(request, "", next, error)
    response = RedirectResponse(_ours(next), 303)
    response.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_LIFE.total_seconds()),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.post(
    "/logout",
    openapi_extra=public("leaving takes no permission"),
    dependencies=[Depends(from_our_pages)],
)
def leave(request: Request, access: Access) -> Response:
    """End the session of this browser."""
    if session := request.cookies.get(COOKIE):
        access.close_session(session)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _form(request: Request, link: str, next: str, error: NotAuthenticated | None) -> Response:
    """Return the form; who came from another site may be logged in already: a strict cookie is not sent from there."""
    status = error.http_status if error else 200
    came_from_elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
    context = {"link": link, "next": _ours(next), "error": error, "came_from_elsewhere": came_from_elsewhere}
    return render(request, "login.html", status, **context)


def _ours(address: str) -> str:
    return address if OURS.fullmatch(address) else "/"
