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
        GET /inbox
        GET /inbox/count
        POST /page-links
        GET /people
        GET /people/{name}
        POST /people/{name}/loans
        DELETE /people/{name}/loans/{role}
        GET /teams
        GET /teams/{name}
        GET /hosts
        GET /hosts/{name}
        GET /hosts/{name}/snapshots
        GET /hosts/{name}/inventory
        GET /hosts/{name}/delta
        GET /credentials
        GET /artifacts
        POST /artifacts/missing
        GET /artifacts/{digest}
        GET /artifacts/{digest}/description
        GET /artifacts/{digest}/content
        GET /library/tasks/{task}
        GET /library/content
        GET /library/sites
        GET /library/retired
        GET /releases
        GET /releases/{name}/{version}
        GET /releases/{name}/{version}/gates
        GET /releases/{name}/{version}/evidence
        GET /releases/{name}/{version}/people
        GET /releases/{name}/{version}/sign-offs
        GET /releases/{name}/{version}/sign-offs/{purpose}/statement
        GET /releases/{name}/{version}/records
        GET /releases/{name}/{version}/known-errors
        GET /releases/{name}/{version}/waivers
        GET /releases/{name}/{version}/criteria
        GET /releases/{name}/{version}/rehearsed-change
        GET /policies
        GET /policies/in-force
        GET /policies/{number}
        GET /releases/{name}/{version}/sbom
        GET /releases/{name}/{version}/lock
        GET /release-differences
        GET /release-components
        GET /playbooks
        GET /rollouts
        GET /rollouts/{rollout_id}
        GET /rollouts/{rollout_id}/hosts/{host}
        GET /rollouts/{rollout_id}/evidence
        GET /rollouts/{rollout_id}/events
        GET /environments
        GET /environments/matrix
        GET /environments/bookings
        GET /environments/{name}
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
        POST /environments
        PUT /environments/order
        PATCH /environments/{name}
        DELETE /environments/{name}
        """,
    Permission.AUDIT: """
        POST /hosts/{name}/audits
        POST /library/checks
        POST /library/sites/{site}/checks
        """,
    Permission.MANAGE_LIBRARY: """
        POST /library/sites
        POST /library/sites/{site}/replication
        POST /library/sites/{site}/archive
        POST /artifacts/{digest}/restoration
        """,
    Permission.BUILD_RELEASE: "POST /releases",
    Permission.AUTHORISE_RELEASE: """
        POST /library/retired
        POST /releases/drafts
        POST /releases/{name}/{version}/people
        POST /releases/{name}/{version}/authorisation
        POST /releases/{name}/{version}/closure
        POST /releases/{name}/{version}/cancellation
        """,
    Permission.TEST: """
        POST /releases/{name}/{version}/rehearsals
        POST /releases/{name}/{version}/rehearsed-change
        POST /releases/{name}/{version}/criteria/{criterion}/results
        POST /releases/{name}/{version}/rejection
        """,
    Permission.RECORD: """
        POST /artifacts/bundles
        PUT /artifacts/{file_name}
        POST /artifacts/uploads
        GET /artifacts/uploads/{upload}
        PUT /artifacts/uploads/{upload}
        POST /artifacts/uploads/{upload}/completion
        POST /releases/{name}/{version}/records
        POST /releases/{name}/{version}/known-errors
        POST /releases/{name}/{version}/waivers
        POST /known-errors/{number}/resolution
        POST /waivers/{number}/grant
        """,
    Permission.SIGN: "POST /releases/{name}/{version}/sign-offs/{purpose}",
    Permission.MANAGE_POLICY: "POST /policies",
    Permission.DEPLOY: """
        POST /rollouts
        POST /rollouts/{rollout_id}/resume
        POST /rollouts/{rollout_id}/cancel
        POST /rollouts/{rollout_id}/back-out
        """,
    Permission.BOOK: """
        POST /environments/{name}/bookings
        PATCH /environments/bookings/{number}
        POST /environments/bookings/{number}/cancel
        """,
    Permission.MANAGE_ACCESS: """
        GET /tokens
        POST /tokens
        DELETE /tokens/{name}
        POST /people
        POST /people/{name}/invitations
        POST /people/{name}/departure
        POST /people/{name}/merge
        POST /people/{name}/roles
        DELETE /people/{name}/roles/{role}
        PUT /people/{name}/identity
        DELETE /people/{name}/identity
        POST /teams
        PATCH /teams/{name}
        """,
}
PUBLIC = ["GET /schemas/release"]
LEAVING = "DELETE /sessions/current"
BEGINNING = "POST /oidc/logins"  # for anybody; no provider is set up here
FOR_WHO_COMES_IN = {
    "POST /sessions": {"name": "alice", "password": "wrong", "code": "000000"},
    "POST /oidc/sessions": {"secret": "vdo_0", "code": "BCDF-GHJK"},
    "POST /joining": {"invitation": "vdi_0"},
    "POST /joining/acceptance": {"invitation": "vdi_0", "password": "wrong", "code": "000000"},
}

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
    assert found == {f"{method} {path}" for method, path, _ in ROUTES} | {
        *PUBLIC,
        *FOR_WHO_COMES_IN,
        LEAVING,
        BEGINNING,
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
def test_a_role_gets_as_far_as_the_table_lets_it(client, role: Role, method: str, path: str, permission: Permission):
    answer = ask(client, method, path, Authorization=f"Bearer {client.tokens[role]}")
    if permission is Permission.SIGN:
        assert answer.status_code == 403 and "tokens never sign" in answer.json()["error"]
        assert answer.json()["exit_code"] == 4 and "verdelta login" in answer.json()["mend"]
    elif permission in PERMISSIONS[role]:
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


@pytest.mark.parametrize("route", FOR_WHO_COMES_IN)
def test_who_comes_in_needs_no_token_and_is_refused_without_what_lets_in(client, route: str):
    assert ask(client, *route.split()).status_code == 422
    answer = client.post(f"/api/v1{route.split()[1]}", json=FOR_WHO_COMES_IN[route])
    assert answer.status_code in (401, 403)
    assert answer.json()["exit_code"] == 4


@pytest.mark.parametrize("who", ["", "Bearer", "Bearer vdt_0"])
def test_who_leaves_has_to_have_come(client, who: str):
    assert ask(client, *LEAVING.split(), **({"Authorization": who} if who else {})).status_code == 401
    assert ask(client, *LEAVING.split(), Authorization="Bearer vds_0").status_code == 204


def test_where_no_provider_is_set_up_no_login_by_one_begins(client):
    assert ask(client, *BEGINNING.split()).status_code == 404


def test_what_is_public_is_answered_to_anybody(client):
    for route in [*PUBLIC, "GET /openapi.json"]:
        assert ask(client, *route.split()).status_code == 200
