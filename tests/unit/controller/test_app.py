"""What the application promises as a whole, whatever it is asked."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from tests.support.web import TestClient, a_client, a_controller

from verdelta_controller import app as application
from verdelta_controller.access import http
from verdelta_controller.web import middleware


@pytest.mark.parametrize("router", application.ROUTERS)
def test_the_application_does_not_start_with_a_route_that_demands_nothing(
    router: APIRouter, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(router, "routes", list(router.routes))
    router.add_api_route("/open-to-all", lambda: None)

    with a_controller(tmp_path) as services, pytest.raises(application.UndeclaredRoute, match="open-to-all"):
        application.create_app(services)


def test_the_application_starts_when_every_route_demands_a_permission_or_says_why_it_is_public(tmp_path):
    with a_controller(tmp_path) as services:
        application.create_app(services)


@pytest.fixture
def client(tmp_path) -> Iterator[TestClient]:
    with a_controller(tmp_path) as services:
        yield a_client(services)


@pytest.mark.parametrize(
    "length, status",
    [
        (str(middleware.BODY_LIMIT), 401),
        (str(middleware.BODY_LIMIT + 1), 413),
        ("9" * 30, 413),
        ("x", 413),
        ("-1", 413),
    ],
)
def test_a_request_that_announces_more_than_is_taken_is_refused_before_it_is_read(client, length, status):
    answer = client.post("/api/v1/hosts", content=b"{}", headers={"content-length": length})
    assert answer.status_code == status
    assert answer.json()["exit_code"] == (2 if status == 413 else 4)


def test_a_request_that_does_not_say_how_long_it_is_is_refused_unless_its_route_has_a_limit_of_its_own(client):
    def chunks() -> Iterator[bytes]:
        yield b"{}"

    assert client.post("/api/v1/hosts", content=chunks()).status_code == 413
    assert client.put("/api/v1/artifacts/x", content=chunks()).status_code != 413
    assert client.post("/agent/v1/messages", content=chunks()).status_code != 413


def test_a_form_that_is_too_large_is_refused_with_a_page(client):
    answer = client.post("/login", content=b"", headers={"content-length": str(middleware.BODY_LIMIT + 1)})
    assert answer.status_code == 413
    assert "<h1>Too large</h1>" in answer.text


@pytest.mark.parametrize("path, kind", [("/api/v1/hosts", "application/json"), ("/", "text/html; charset=utf-8")])
def test_what_nobody_foresaw_is_answered_without_a_word_about_the_inside(client, monkeypatch, path, kind):
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(http, "identify", fail)
    answer = client.get(path)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == kind
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["content-security-policy"] == middleware.POLICY
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method, path, status", [("GET", "/api/v1/nothing", 404), ("PUT", "/api/v1/hosts", 405)])
def test_an_address_that_is_not_there_is_answered_to_programs_as_every_error_is(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "mend", "exit_code"}


def test_a_method_that_is_not_possible_is_a_page_that_says_which_are(client):
    answer = client.get("/logout")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "Not possible here" in answer.text
