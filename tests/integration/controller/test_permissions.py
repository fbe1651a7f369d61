"""Every route of the API, asked by everybody: who has no token is not let in, and who may not, may not.

This table is the decision.  A new route has to be placed in it; what the application does is held against it.
"""

import re
from collections.abc import Iterator

import pytest
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import PERMISSIONS, Permission, Role
from verdelta_controller.app import create_app

DEMANDED = {
    Permission.READ: """
        GET /whoami
        POST /page-links
        GET /hosts
        GET /hosts/{name}
        GET /hosts/{name}/snapshots
        GET /hosts/{name}/inventory
        GET /hosts/{name}/delta
        GET /credentials
        GET /artifacts
        POST /artifacts/missing
        GET /artifacts/{digest}/description
        GET /releases
        GET /releases/{name}/{version}
        GET /releases/{name}/{version}/sbom
        GET /releases/{name}/{version}/lock
        GET /release-differences
        GET /playbooks
        GET /rollouts
        GET /rollouts/{rollout_id}
        GET /rollouts/{rollout_id}/hosts/{host}
        GET /rollouts/{rollout_id}/evidence
        GET /rollouts/{rollout_id}/events
        GET /evidence/key
        GET /evidence/checkpoint
        POST /evidence/check
        """,
    Permission.MANAGE_HOSTS: """
        POST /hosts
        PATCH /hosts/{name}
        PUT /hosts/{name}/host-key
        POST /hosts/{name}/invitations
        POST /hosts/{name}/bootstrap
        POST /host-keys/scan
        POST /credentials
        """,
    Permission.AUDIT: "POST /hosts/{name}/audits",
    Permission.BUILD_RELEASE: """
        PUT /artifacts/{file_name}
        POST /artifacts/bundles
        POST /releases
        """,
    Permission.AUTHORISE_RELEASE: "POST /releases/{name}/{version}/authorisation",
    Permission.DEPLOY: """
        POST /rollouts
        POST /rollouts/{rollout_id}/resume
        POST /rollouts/{rollout_id}/cancel
        POST /rollouts/{rollout_id}/back-out
        """,
    Permission.MANAGE_ACCESS: """
        GET /tokens
        POST /tokens
        DELETE /tokens/{name}
        """,
}
PUBLIC = ["GET /schemas/release"]

ROUTES = [
    (*route.split(), permission)
    for permission, routes in DEMANDED.items()
    for route in map(str.strip, routes.strip().splitlines())
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        client = TestClient(create_app(services), base_url="http://127.0.0.1")
        client.tokens = {role: a_token(services, role) for role in Role}
        yield client


def ask(client: TestClient, method: str, path: str, **headers: str):
    """Ask with nothing in the request but who is asking: what else is missing is looked at later."""
    named = re.sub(r"\{rollout_id\}", "4711", path)
    return client.request(method, f"/api/v1{re.sub(r'{[a-z_]+}', 'nobody', named)}", headers=headers)


def test_every_route_of_the_description_is_in_the_table(client):
    described = client.get("/api/v1/openapi.json").json()["paths"]
    found = {
        f"{method.upper()} {path.removeprefix('/api/v1')}" for path, methods in described.items() for method in methods
    }
    assert found == {f"{method} {path}" for method, path, _ in ROUTES} | set(PUBLIC)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
def test_a_role_gets_as_far_as_the_table_lets_it(client, role: Role, method: str, path: str, permission: Permission):
    answer = ask(client, method, path, Authorization=f"Bearer {client.tokens[role]}")
    if permission in PERMISSIONS[role]:
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"] == f"{role.value} ({role.value}) may not {permission.value}"
        assert answer.json()["exit_code"] == 4 and "administrator" in answer.json()["mend"]


@pytest.mark.parametrize(
    "who", ["", "Bearer", "Bearer ", "Bearer vdt_0", "Basic dTpw", "Bearer \xff", "vdt_0", "Bearer a b"]
)
@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
def test_without_a_token_nothing_is_answered(client, who: str, method: str, path: str, permission: Permission):
    answer = ask(client, method, path, **({"Authorization": who.encode("latin-1")} if who else {}))
    assert answer.status_code == 401, answer.text
    assert set(answer.json()) == {"error", "mend", "exit_code"} and answer.json()["exit_code"] == 4


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "HEAD", "PROPFIND"])
@pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
def test_no_other_method_gets_past(client, method: str, path: str):
    answer = ask(client, method, path)
    assert answer.status_code in (401, 405), answer.status_code


@pytest.mark.parametrize(("method", "path", "permission"), [route for route in ROUTES if route[0] != "GET"])
def test_a_page_session_changes_nothing_through_the_api(client, method: str, path: str, permission: Permission):
    access = client.app.state.services.access
    session = access.open_session(client.tokens[Role.ADMINISTRATOR])
    assert ask(client, "GET", "/whoami", Cookie=f"verdelta_session={session}").status_code == 200
    assert ask(client, method, path, Cookie=f"verdelta_session={session}").status_code == 401


def test_what_is_public_is_answered_to_anybody(client):
    for route in [*PUBLIC, "GET /openapi.json"]:
        assert ask(client, *route.split()).status_code == 200
