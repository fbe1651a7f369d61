"""What surrounds every answer: headers that bind the browser, and a limit on what is taken in.

Plain ASGI, so that a stream goes through untouched, piece by piece.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..foundation.errors import TooLarge
from .errors import Failed, answer

BODY_LIMIT = 8 << 20  # bytes of a request to the API; what is streamed (artifacts, messages) has its own limit
STREAMED = (("POST", "/agent/"), ("PUT", "/api/v1/artifacts/"), ("POST", "/api/v1/artifacts/bundles"))

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

# Referrer-Policy is not "no-referrer": with that, browsers leave the origin out of forms, which is looked at here.
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class SecurityHeaders:
    """Puts the headers on every answer.  Nothing is kept by a browser or on the way, but for what says it may be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses a request that announces more than is taken; one that announces nothing is refused too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, unless the request is too large."""
        refused = _refusal(scope) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await answer(Request(scope), refused)(scope, receive, send)


async def on_failure(request: Request, error: Exception) -> Response:
    """Answer what nobody foresaw.  This happens outside of everything else, so the headers are put on here."""
    response = answer(request, Failed())
    response.headers.update({**SECURITY_HEADERS, "Cache-Control": "no-store"})
    return response


def _refusal(scope: Scope) -> TooLarge | None:
    method, path = scope["method"], scope["path"]
    if method not in ("POST", "PUT", "PATCH") or any(method == m and path.startswith(p) for m, p in STREAMED):
        return None
    headers = Headers(scope=scope)
    announced = headers.get("content-length")
    if announced is None:
        return TooLarge("a request has to say how long it is") if headers.get("transfer-encoding") else None
    if not announced.isdecimal() or int(announced) > BODY_LIMIT:
        return TooLarge(f"a request of {announced} bytes; at most {BODY_LIMIT}")
    return None
