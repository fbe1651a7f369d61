"""The way through the provider as a person goes it: the command, the browser's page, the code between the two."""

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.command_line import URL, CommandLine, InProcess
from tests.support.oidc import BACK, CLIENT, SECRET, Issuer, an_issuer
from tests.support.web import TestClient, a_token

from verdelta_controller import wiring
from verdelta_controller.app import create_app
from verdelta_controller.cli import login
from verdelta_controller.foundation.settings import Settings
from verdelta_controller.wiring import Services

SUBJECT = "auth0|5f7c"
CODE = re.compile(r"<code>([B-Z]{4}-[B-Z]{4})</code>")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


@pytest.fixture
def services(tmp_path: Path, issuer: Issuer) -> Iterator[Services]:
    settings = Settings(
        state=tmp_path / "state",
        device_names="",
        url=BACK.removesuffix("/oidc/callback"),
        oidc_issuer=issuer.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
    )
    wiring.initialise(settings, "one-person")
    services = wiring.build(settings)
    yield services
    services.database.close()


@pytest.fixture
def client(services: Services) -> TestClient:
    return TestClient(create_app(services), base_url=URL)


@pytest.fixture
def verdelta(services: Services, client: TestClient, tmp_path: Path) -> CommandLine:
    verdelta = CommandLine(tmp_path / "root", InProcess(client), a_token(services))
    verdelta("person", "add", "alice", "--full-name", "Alice Adams", "--role", "tester")
    return verdelta


@pytest.fixture
def her(verdelta: CommandLine, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "alice", verdelta.transport, token="")


class Browser:
    """Where a person logs in at the provider, and reads the code of the page to which it sends her back."""

    def __init__(self, client: TestClient, issuer: Issuer, file: Path) -> None:
        self.client = client
        self.issuer = issuer
        self.file = file
        self.change: Callable[[dict[str, str]], dict[str, str]] = lambda brought: brought
        self.page = ""

    def open(self, url: str) -> None:
        answer = self.client.get("/oidc/callback", params=self.change(self.issuer.log_in(url, SUBJECT)))
        self.status, self.page, self.headers = answer.status_code, html.unescape(answer.text), answer.headers
        shown = CODE.search(self.page)
        self.file.write_text(shown[1] if shown else "BCDF-GHJK")


@pytest.fixture
def browser(client: TestClient, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Browser:
    browser = Browser(client, issuer, tmp_path / "code")
    monkeypatch.setattr(login, "open_browser", browser.open)
    return browser


def test_who_is_linked_logs_in_with_the_code_that_the_page_shows(verdelta, her, browser):
    assert "not linked" in verdelta("person", "show", "alice").stdout
    assert verdelta("person", "link", "alice", "--subject", SUBJECT).exit_code == 0
    assert verdelta.json("person", "show", "alice")["linked"] is True
    done = her("login", "--oidc", "--code-file", browser.file)
    assert done.exit_code == 0, done.output
    assert "/authorize?response_type=code" in done.stderr and f"You are alice at {URL} until" in done.stderr
    assert browser.status == 200 and "Hello, alice" in browser.page
    assert browser.headers["cache-control"] == "no-store" and "set-cookie" not in browser.headers
    assert her.json("whoami")["roles"] == ["tester"] and her.json("whoami")["is_person"] is True
    assert verdelta("person", "unlink", "alice", "--yes").exit_code == 0
    assert her("whoami").exit_code == 4


def test_who_is_not_linked_is_shown_what_to_tell_an_administrator(her, browser):
    done = her("login", "--oidc", "--code-file", browser.file)
    assert done.exit_code == 4 and done.stderr.splitlines()[-2] == "the code is not the one that the page shows"
    assert browser.status == 403
    assert f"the provider calls you {SUBJECT}, and nobody here is linked to that" in browser.page
    assert "verdelta person link NAME --subject SUBJECT" in browser.page
    assert CODE.search(browser.page) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda brought: {**brought, "error": "access_denied"}, "the provider let nobody in (access_denied)."),
        (lambda brought: {**brought, "error": "<script>alert(1)</script>"}, "the provider let nobody in."),
        (lambda brought: {"state": brought["state"]}, "the provider let nobody in."),
        (lambda brought: {"code": brought["code"]}, "this login is not known"),
        (lambda brought: {**brought, "state": "\0\ud7ff"}, "this login is not known"),
        (lambda brought: {**brought, "iss": "https://evil.example"}, "another provider sent you back"),
        (lambda brought: {**brought, "code": "stolen"}, "refused: 400"),
    ],
)
def test_what_went_wrong_is_said_on_the_page_and_lets_nobody_in(verdelta, her, browser, change, said):
    verdelta("person", "link", "alice", "--subject", SUBJECT)
    browser.change = change
    assert her("login", "--oidc", "--code-file", browser.file).exit_code == 4
    assert browser.status == 403 and said in browser.page and "<script>" not in browser.page
    assert "stolen" not in browser.page


def test_a_provider_that_names_itself_is_taken(verdelta, her, browser, issuer):
    verdelta("person", "link", "alice", "--subject", SUBJECT)
    browser.change = lambda brought: {**brought, "iss": issuer.url, "session_state": "x"}
    assert her("login", "--oidc", "--code-file", browser.file).exit_code == 0


@pytest.mark.parametrize("query", ["state=" + "x" * 101, "code=" + "x" * 4097, "error=" + "x" * 1001])
def test_what_is_too_long_is_not_looked_at(client, query):
    answer = client.get(f"/oidc/callback?{query}")
    assert answer.status_code == 422 and "xxxx" not in answer.text


@pytest.mark.parametrize("words", [[], ["alice", "--oidc"], ["--oidc", "--password-file", "x"]])
def test_who_logs_in_is_said_in_one_way(her, words):
    done = her("login", *words)
    assert done.exit_code == 2 and "verdelta login NAME, or verdelta login --oidc" in done.stderr


def test_without_anybody_to_type_the_code_it_is_asked_for_in_a_file(her, browser):
    done = her("login", "--oidc")
    assert done.exit_code == 2 and "nobody is there to type it" in done.stderr


def test_an_unlinking_asks_first(verdelta):
    assert verdelta("person", "unlink", "alice").exit_code == 2


@pytest.mark.parametrize(
    ("url", "display", "opened"),
    [("https://a.example/x", ":0", True), ("https://a.example/x", "", False), ("file:///etc/passwd", ":0", False)],
)
def test_a_browser_is_opened_where_somebody_sees_it_and_for_the_web_alone(url, display, opened, monkeypatch):
    launched: list[str] = []
    monkeypatch.setattr(login.click, "launch", launched.append)
    monkeypatch.setattr(login, "is_interactive", lambda: True)
    monkeypatch.setattr(login.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    login.open_browser(url)
    assert launched == ([url] if opened else [])
