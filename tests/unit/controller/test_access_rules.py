"""The table of permissions: what is not granted in it is denied."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from verdelta_controller.access.http import Reads, demands, open_to_all, public, undeclared
from verdelta_controller.access.rules import PERMISSIONS, Actor, Permission, Role, require
from verdelta_controller.foundation.errors import NotAllowed

READ, AUDIT, BUILD, TEST, RECORD, SIGN, DEPLOY, BOOK = (
    Permission(name) for name in ("read", "audit", "build-release", "test", "record", "sign", "deploy", "book")
)
GRANTED = {
    Role.ADMINISTRATOR: set(Permission) - {SIGN},
    Role.RELEASE_MANAGER: {READ, AUDIT, BUILD, Permission.AUTHORISE_RELEASE, DEPLOY, RECORD, SIGN, BOOK},
    Role.BUILD_MANAGER: {READ, AUDIT, BUILD, RECORD, SIGN, BOOK},
    Role.TEST_MANAGER: {READ, AUDIT, TEST, RECORD, SIGN, BOOK},
    Role.TESTER: {READ, AUDIT, TEST, RECORD},
    Role.BUSINESS_APPROVER: {READ, RECORD, SIGN},
    Role.CHANGE_MANAGER: {READ, RECORD, SIGN},
    Role.DEPLOYMENT_STAFF: {READ, AUDIT, DEPLOY, BOOK},
    Role.TECHNICIAN: {READ, AUDIT},
    Role.AUDITOR: {READ},
}


def test_every_role_has_exactly_the_permissions_that_were_decided():
    assert {role: set(granted) for role, granted in PERMISSIONS.items()} == GRANTED


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
def test_what_is_not_in_the_table_is_refused_and_the_refusal_names_who_could(role: Role, permission: Permission):
    actor = Actor("alice", frozenset({role}), person_id="1")
    if permission in GRANTED[role]:
        return require(actor, permission)
    with pytest.raises(NotAllowed, match=rf"alice \({role.value}\) may not {permission.value}") as refused:
        require(actor, permission)
    able = [one.value for one in Role if permission in GRANTED[one]]
    assert refused.value.mend == f"This takes one of the roles {', '.join(able)}."
    return None


@pytest.mark.parametrize("role", Role)
def test_a_token_signs_nothing_whatever_its_role(role: Role):
    with pytest.raises(NotAllowed, match="tokens never sign") as refused:
        require(Actor("ci", frozenset({role})), SIGN)
    assert refused.value.mend == "Log in as a person: verdelta login"


def test_a_person_may_what_any_of_her_roles_may_and_nothing_without_one():
    require(Actor("alice", frozenset({Role.AUDITOR, Role.CHANGE_MANAGER}), "1"), SIGN)
    with pytest.raises(NotAllowed, match="without a role"):
        require(Actor("alice", frozenset(), "1"), READ)


# -- what says nothing is found


def nothing() -> None:
    """Answer nobody."""


@open_to_all("a test calls it")
async def open_route(request: Request) -> Response:
    return Response()


async def plain_route(request: Request) -> Response:
    return Response()


async def websocket(socket: WebSocket) -> None: ...


def declared_routers() -> list[APIRouter]:
    router, outer = APIRouter(), APIRouter()
    router.add_api_route("/public", nothing, openapi_extra=public("a test calls it"))

    def reads(actor: Reads) -> None: ...
    def audits(actor: Annotated[Actor, demands(Permission.AUDIT)]) -> None: ...

    router.add_api_route("/reads", reads)
    router.add_api_route("/audits", audits)
    router.add_api_route("/beside", nothing, dependencies=[demands(Permission.READ)])
    router.routes.append(Route("/open", open_route))
    outer.include_router(router)
    return [router, outer]


def test_whatever_demands_a_permission_or_says_why_it_is_open_is_declared():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for router in declared_routers():
        app.include_router(router, prefix="/inner")
        assert undeclared(router.routes) == []
    assert undeclared(app.router.routes) == []


def add_api_route(router: APIRouter) -> None:
    router.add_api_route("/forgotten", nothing)


def add_route_with_another_dependency(router: APIRouter) -> None:
    router.add_api_route("/forgotten", nothing, dependencies=[Depends(nothing)])


def add_route_that_is_public_for_no_reason(router: APIRouter) -> None:
    router.add_api_route("/forgotten", nothing, openapi_extra=public(""))


def add_plain_route(router: APIRouter) -> None:
    router.routes.append(Route("/forgotten", plain_route))


def add_websocket(router: APIRouter) -> None:
    router.add_api_websocket_route("/forgotten", websocket)


def add_mount(router: APIRouter) -> None:
    router.routes.append(Mount("/forgotten", plain_route))


@pytest.mark.parametrize(
    "add",
    [
        add_api_route,
        add_route_with_another_dependency,
        add_route_that_is_public_for_no_reason,
        add_plain_route,
        add_websocket,
        add_mount,
    ],
)
def test_a_route_of_any_kind_that_says_nothing_is_found_however_deep_it_lies(add):
    inner, middle = APIRouter(), APIRouter()
    add(inner)
    middle.include_router(inner)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(middle)
    (found,) = undeclared(app.router.routes)
    assert "/forgotten" in found
