"""Who gets into the pages, and how they get out."""

from collections.abc import Iterator

import pytest
from tests.support.web import TestClient, a_client, a_controller, a_token, log_in

from verdelta_controller.access.rules import Role
from verdelta_controller.wiring import Services


@pytest.fixture
def services(tmp_path) -> Iterator[Services]:
    with a_controller(tmp_path) as services:
        yield services


@pytest.fixture
def client(services) -> TestClient:
    return a_client(services)


def cookie_of(response) -> str:
    return response.headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["/", "/?q=web&offset=100", "/hosts/x", "/hosts/x/inventory/y", "/rollouts", "/rollouts/1"]
)
def test_who_is_not_logged_in_is_led_to_the_login_and_from_there_to_where_they_wanted(client, services, path):
    answer = client.get(path)
    assert answer.status_code == 303
    form = client.get(answer.headers["location"])
    assert f'name="next" value="{path.replace("&", "&amp;")}"' in form.text

    entered = client.post("/login", data={"token": a_token(services), "next": path})
    assert (entered.status_code, entered.headers["location"]) == (303, path)


def test_a_token_opens_a_session_in_a_cookie_that_no_script_and_no_other_site_can_use(client, services):
    entered = client.post("/login", data={"token": f"  {a_token(services)}\n"})
    attributes = {part.strip().lower() for part in cookie_of(entered).split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= attributes
    assert "secure" not in attributes
    assert client.get("/").status_code == 200


def test_the_cookie_is_for_encrypted_connections_alone_where_the_controller_is_reached_by_one(services):
    there = "https://controller"
    client = TestClient(a_client(services).app, there, headers={"origin": there}, follow_redirects=False)
    assert "secure" in cookie_of(client.post("/login", data={"token": a_token(services)})).lower().split("; ")


@pytest.mark.parametrize("secret", ["", "vdt_wrong", "x" * 200, "'; DROP TABLE host", "vdt_\u202e"])
def test_a_wrong_token_opens_nothing_and_is_not_repeated(client, secret):
    answer = client.post("/login", data={"token": secret, "next": "/rollouts"})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert 'value="/rollouts"' in answer.text
    assert not secret or secret not in answer.text


def test_looking_at_a_link_does_not_spend_it_and_its_button_does(client, services):
    secret = services.access.create_link(a_token(services))
    for _ in range(3):
        assert secret in client.get(f"/login?link={secret}").text
    assert client.post("/login", data={"link": secret}).status_code == 303
    assert client.get("/").status_code == 200

    again = a_client(services).post("/login", data={"link": secret})
    assert again.status_code == 401
    assert "used already" in again.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tx",
        "/a\r\nSet-Cookie: x=y",
        "javascript:alert(1)",
        "hosts",
        "",
    ],
)
def test_the_login_leads_to_no_other_site(client, services, elsewhere):
    token = a_token(services)
    assert 'name="next" value="/"' in client.get("/login", params={"next": elsewhere}).text
    assert client.post("/login", data={"token": token, "next": elsewhere}).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver.evil.example"},
        {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
        {"origin": "http://testserver", "sec-fetch-site": "same-site"},
        {"origin": ""},
    ],
)
def test_a_form_of_another_site_does_nothing(client, services, path, headers):
    log_in(client, a_token(services))
    answer = client.post(path, headers=headers, data={"token": "vdt_other"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert client.get("/").status_code == 200


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(client, services):
    log_in(client, a_token(services))
    session = client.cookies["verdelta_session"]
    left = client.post("/logout")
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert "verdelta_session" not in client.cookies

    client.cookies.set("verdelta_session", session)
    assert client.get("/").status_code == 303


def test_a_session_ends_with_its_token(client, services):
    log_in(client, a_token(services, Role.AUDITOR))
    services.access.revoke_token("auditor")
    assert client.get("/").status_code == 303


def test_a_session_that_is_asked_for_from_another_site_stays_open(client, services):
    log_in(client, a_token(services))
    session = client.cookies["verdelta_session"]
    client.cookies.clear()
    assert "set-cookie" not in client.get("/").headers, "a strict cookie is not sent from there, and must not be lost"
    client.cookies.set("verdelta_session", session)
    assert client.get("/").status_code == 200


def test_who_came_from_another_site_can_go_on_with_the_session_that_is_not_sent_from_there(client):
    form = client.get("/login?next=/rollouts/1", headers={"sec-fetch-site": "cross-site"}).text
    assert '<a href="/rollouts/1">Go on' in form
    assert "Go on" not in client.get("/login?next=/rollouts/1").text


def test_whoever_is_logged_in_is_named_on_the_page(client, services):
    log_in(client, services.access.create_token("nightly", Role.AUDITOR, 1).secret)
    assert "nightly" in client.get("/").text
    assert "auditor" in client.get("/").text
