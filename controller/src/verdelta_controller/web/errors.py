"""Errors as answers: JSON for programs, a page for people, and never a word about what went wrong inside."""

from urllib.parse import urlencode

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..foundation.errors import InvalidInput, NotAuthenticated, NotFound, VerdeltaError
from .rendering import render

log = structlog.get_logger()

TITLES = {
    401: "Please log in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    422: "Not valid",
    500: "Something failed",
    503: "Not available",
    504: "Took too long",
}
FOR_PROGRAMS = ("/api/", "/agent/", "/static/")


class Failed(VerdeltaError):
    """Something failed inside the controller; its log says what."""


class Refused(InvalidInput):
    """This request is not valid."""


class NothingHere(NotFound):
    """There is nothing at this address."""


class WrongMethod(InvalidInput):
    """This address is not for that."""

    http_status = 405


def is_page(request: Request) -> bool:
    """Return whether a person looks at the answer."""
    return not request.url.path.startswith(FOR_PROGRAMS) and "hx-request" not in request.headers


def answer(request: Request, error: VerdeltaError) -> Response:
    """Return what happened and the mend, as whoever asked can read it; who has to log in first is led there."""
    if not is_page(request):
        content = {"error": error.message, "mend": error.mend, "exit_code": error.exit_code}
        return JSONResponse(content, error.http_status)
    if isinstance(error, NotAuthenticated) and request.method in ("GET", "HEAD"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?{urlencode({'next': wanted})}", 303)
    title = TITLES.get(error.http_status, "Something is wrong")
    return render(request, "error.html", error.http_status, title=title, error=error)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of our own."""
    if not isinstance(error, VerdeltaError):
        raise error
    if error.http_status >= 500:
        log.error("request failed", path=request.url.path, error=error.message)
    return answer(request, error)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer what is wrong with a request, without repeating what was sent: it may be a secret."""
    if not isinstance(error, RequestValidationError):
        raise error
    said = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()]
    return answer(request, InvalidInput("; ".join(said)))


async def on_http(request: Request, error: Exception) -> Response:
    """Answer what the framework itself refuses: an address that is not there, or not for this method."""
    if not isinstance(error, HTTPException):
        raise error
    response = answer(request, _OF_FRAMEWORK.get(error.status_code, Refused)())
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response


async def on_gone(request: Request, error: Exception) -> Response:
    """Answer nobody: whoever asked has gone before they had said it all, and that is no failure of ours."""
    return Response(status_code=400)


_OF_FRAMEWORK: dict[int, type[VerdeltaError]] = {404: NothingHere, 405: WrongMethod}
