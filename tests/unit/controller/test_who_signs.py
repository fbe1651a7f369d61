"""A route that demands a signature: people come through, tokens and administrators do not."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.people import ADMINISTRATOR, Clock, Joined, joined
from tests.support.web import TestClient, a_client, a_controller, a_token

from verdelta_controller.access.http import Signs
from verdelta_controller.access.rules import PERMISSIONS, Permission, Role, Standing
from verdelta_controller.wiring import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path) as services:
        yield services


@pytest.fixture
def client(services: Services) -> TestClient:
    client = a_client(services)

    @client.app.post("/api/v1/sign/{code}")
    def sign(actor: Signs, code: str) -> str:
        services.people.confirm_second_step(actor, code)
        return actor.name

    return client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def ask(client: TestClient, secret: str, code: str = "000000"):
    return client.post(f"/api/v1/sign/{code}", headers={"Authorization": f"Bearer {secret}"})


@pytest.mark.parametrize("role", Role)
def test_a_token_signs_nothing_whatever_its_role(client: TestClient, services: Services, role: Role):
    refused = ask(client, a_token(services, role))
    assert refused.status_code == 403
    assert refused.json()["error"].endswith("may not sign: tokens never sign")
    assert refused.json()["mend"] == "Log in as a person: verdelta login"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
def test_a_person_signs_in_the_roles_that_sign_with_a_code_of_her_own(
    client: TestClient, services: Services, clock: Clock, role: Role
):
    alice = joined(services.people, clock, "alice", role)
    bob = joined(services.people, clock, "bob", role)
    secret = alice.log_in()
    if Permission.SIGN not in PERMISSIONS[role]:
        assert ask(client, secret, alice.code(1)).status_code == 403
        return
    assert ask(client, secret, bob.code(1)).status_code == 403  # another's code
    assert ask(client, secret, alice.code(1)).json() == "alice"
    again = ask(client, secret, alice.code(1))
    assert again.status_code == 403 and "used already" in again.json()["error"]


def test_an_administrator_signs_nothing(client: TestClient, services: Services, clock: Clock):
    services.people.accounts.create_person("root", "Root", ADMINISTRATOR.name, Standing.ADMINISTRATOR)
    root = Joined(services.people, "root", clock)
    refused = ask(client, root.log_in(), root.code(1))
    assert refused.status_code == 403 and "root (administrator) may not sign" in refused.json()["error"]


def test_a_role_that_is_lent_signs_until_it_ends(client: TestClient, services: Services, clock: Clock):
    people = services.people
    alice, bob = joined(people, clock, "alice", Role.CHANGE_MANAGER), joined(people, clock, "bob", Role.AUDITOR)
    secret = bob.log_in()
    assert ask(client, secret, bob.code(1)).status_code == 403
    end = clock.now() + timedelta(minutes=5)
    people.grants.lend("alice", Role.CHANGE_MANAGER, alice.actor, clock.now(), end, to="bob")
    assert ask(client, secret, bob.code(1)).json() == "bob"
    clock.passes(timedelta(minutes=5))
    assert ask(client, secret, bob.code()).status_code == 403
