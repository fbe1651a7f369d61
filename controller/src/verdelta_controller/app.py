"""The web application: the API, the agents' door and the pages, over the same services.

It refuses to start when a route does not say what it demands of whoever calls.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from . import __version__
from .access import routes as access_routes
from .access.http import undeclared
from .fleet import agent_routes as enrolment_routes
from .fleet import routes as fleet_routes
from .foundation.errors import TooLarge, VerdeltaError
from .inventory import agent_routes as message_routes
from .inventory import routes as inventory_routes
from .library import routes as library_routes
from .releases import routes as release_routes
from .rollouts import routes as rollout_routes
from .web import pages
from .wiring import Services

log = structlog.get_logger()

BODY_LIMIT = 8 << 20  # bytes of a request to the API; what is streamed (artifacts, messages) has its own limit

FEATURES = (access_routes, fleet_routes, inventory_routes, library_routes, release_routes, rollout_routes)


class UndeclaredRoute(VerdeltaError):
    """A route does not say which permission it demands."""


def create_app(services: Services) -> FastAPI:
    """Return the application.  Raises UndeclaredRoute."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(services.engine.launch)
        await run_in_threadpool(services.rollouts.carry_on)
        try:
            yield
        finally:
            await run_in_threadpool(services.engine.close)
            services.database.close()

    app = FastAPI(
        title="Verdelta",
        version=__version__,
        summary="A release is done when audits prove that what changed is exactly what was released.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    for feature in FEATURES:
        app.include_router(feature.router)
    app.include_router(pages.router, include_in_schema=False)
    app.router.routes.extend([*enrolment_routes.routes, *message_routes.routes])
    pages.mount_static(app)
    app.add_exception_handler(VerdeltaError, _say)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.middleware("http")(_limit_body)
    app.middleware("http")(pages.add_security_headers)
    routers = (app.router, pages.router, *(feature.router for feature in FEATURES))
    missing = undeclared(route for router in routers for route in router.routes)
    if missing:
        raise UndeclaredRoute(f"these routes demand nothing: {', '.join(missing)}")
    return app


async def _say(request: Request, error: Exception) -> Response:
    """Answer with what happened and the mend: as JSON for programs, as a page for people."""
    if not isinstance(error, VerdeltaError):
        raise error
    if error.http_status >= 500:
        log.error("request failed", path=request.url.path, error=error.message)
    if pages.is_page(request):
        return pages.error_page(request, error)
    content = {"error": error.message, "mend": error.mend, "exit_code": error.exit_code}
    return JSONResponse(content, error.http_status)


async def _say_invalid(request: Request, error: Exception) -> Response:
    """Answer what is wrong with a request, without repeating what was sent: it may be a secret."""
    if not isinstance(error, RequestValidationError):
        raise error
    said = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"error": "; ".join(said), "mend": None, "exit_code": 2}, 422)


async def _limit_body(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a request to the API that announces more than it takes; one that announces nothing is refused too."""
    streamed = request.url.path.startswith(("/agent/", "/api/v1/artifacts/"))
    if request.method in ("POST", "PUT", "PATCH") and not streamed:
        announced = request.headers.get("content-length")
        if announced is None and request.headers.get("transfer-encoding"):
            return await _say(request, TooLarge("a request has to say how long it is"))
        if announced is not None and int(announced) > BODY_LIMIT:
            return await _say(request, TooLarge(f"a request of {announced} bytes; at most {BODY_LIMIT}"))
    return await call_next(request)
