"""The web application: the API, the agents' door and the pages, over the same services.

It refuses to start when a route does not say what it demands of whoever calls.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from . import __version__
from .access import login_routes, oidc_routes, people_routes
from .access import routes as access_routes
from .access.http import public, undeclared
from .fleet import agent_routes as enrolment_routes
from .fleet import environment_routes
from .fleet import routes as fleet_routes
from .foundation.errors import VerdeltaError
from .foundation.schema import REFUSALS
from .inventory import agent_routes as message_routes
from .inventory import routes as inventory_routes
from .library import bundle_routes, site_routes, trace_routes
from .library import routes as library_routes
from .releases import package_routes, policy_routes, record_routes, signing_routes
from .releases import routes as release_routes
from .rollouts import evidence_routes, inbox_routes, matrix_routes, rehearsal_routes
from .rollouts import routes as rollout_routes
from .web import errors, middleware, pages, static_files
from .wiring import Services

API = (
    access_routes,
    login_routes,
    oidc_routes,
    people_routes,
    fleet_routes,
    matrix_routes,  # before environment_routes, to which any word could be an environment's name
    environment_routes,
    inventory_routes,
    bundle_routes,
    library_routes,
    site_routes,
    trace_routes,
    policy_routes,
    release_routes,
    package_routes,
    record_routes,
    signing_routes,
    rollout_routes,
    rehearsal_routes,
    evidence_routes,
    inbox_routes,
)
ROUTERS = (*(feature.router for feature in API), *pages.ROUTERS)

HANDLERS = {
    VerdeltaError: errors.on_error,
    RequestValidationError: errors.on_invalid,
    HTTPException: errors.on_http,
    ClientDisconnect: errors.on_gone,
    Exception: middleware.on_failure,
}


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
            await run_in_threadpool(services.library_tasks.close)
            await run_in_threadpool(services.engine.close)
            services.database.close()

    app = FastAPI(
        title="Verdelta",
        version=__version__,
        summary="A release is done when audits prove that what changed is exactly what was released.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=REFUSALS,
    )
    app.state.services = services

    @app.get("/api/v1/openapi.json", include_in_schema=False, openapi_extra=public("what can be asked is no secret"))
    def openapi() -> dict[str, Any]:
        return app.openapi()

    for router in ROUTERS:
        app.include_router(router, include_in_schema=router not in pages.ROUTERS)
    app.router.routes.extend([*enrolment_routes.routes, *message_routes.routes, static_files.route])
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(middleware.BodyLimit)
    app.add_middleware(middleware.SecurityHeaders)
    missing = undeclared(app.router.routes)
    if missing:
        raise UndeclaredRoute(f"these routes demand nothing: {', '.join(missing)}")
    return app
