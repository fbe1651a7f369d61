"""The commands for people, against the real application: how they join, log in, stand in and leave."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from tests.support.command_line import URL, CommandLine, InProcess
from tests.support.people import PASSWORD, STEP, Clock
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.cli import login, profile
from verdelta_controller.wiring import Services

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
IN_TWO_YEARS = f"{datetime.now(UTC) + timedelta(days=730):%Y-%m-%d}"
NEXT_WEEK = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path) as services:
        yield services


@pytest.fixture
def verdelta(services: Services, tmp_path: Path) -> CommandLine:
    client = TestClient(create_app(services), base_url=URL)
    return CommandLine(tmp_path, InProcess(client), a_token(services))


class Terminal:
    """Somebody else's terminal, with her own profile, her app, and files in which she hands secrets over."""

    def __init__(self, verdelta: CommandLine, folder: Path, name: str, clock: Clock) -> None:
        self.clock = clock
        self.run = CommandLine(folder, verdelta.transport, token="")
        self.folder = folder
        self.name = name
        self.password = self.file("password", PASSWORD)

    def file(self, name: str, content: str) -> Path:
        self.folder.mkdir(exist_ok=True)
        (self.folder / name).write_text(f"{content}\n")
        return self.folder / name

    def code(self, steps: int = 0) -> Path:
        return self.file("code", self.app.at(self.clock.now() + steps * STEP))

    def join(self, invitation: str, services: Services) -> None:
        offer = services.people.accounts.offer_second_step(invitation)[1]  # the same again as `join` is given
        self.app = pyotp.TOTP(offer.secret)
        done = self.run(
            *("person", "join", "--invitation-file", self.file("invitation", invitation)),
            *("--password-file", self.password, "--code-file", self.code(-1)),
        )
        assert done.exit_code == 0, done.stderr
        assert parse_qs(urlsplit(done.stdout.strip()).query)["secret"] == [offer.secret]
        for secret in (PASSWORD, invitation):
            assert secret not in done.output

    def log_in(self, *more: object, steps: int = 0):
        files = ("--password-file", self.password, "--code-file", self.code(steps))
        return self.run("login", self.name, *files, *more)

    @property
    def profile(self) -> Path:
        return self.folder / "config/verdelta/client.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def alice(verdelta: CommandLine, services: Services, tmp_path: Path, clock: Clock) -> Terminal:
    added = verdelta("person", "add", "alice", "--full-name", "Alice Adams", "--role", "release-manager")
    assert "verdelta person invite alice" in added.stderr
    invitation = verdelta("person", "invite", "alice")
    assert invitation.stdout.startswith("vdi_") and "verdelta person join" in invitation.stderr
    alice = Terminal(verdelta, tmp_path / "alice", "alice", clock)
    alice.join(invitation.stdout.strip(), services)
    return alice


def test_a_person_joins_logs_in_and_out_and_her_session_is_kept_for_her_alone(alice: Terminal):
    assert alice.run("whoami").exit_code == 4
    assert "verdelta login" in alice.run("host", "list").stderr
    done = alice.log_in()
    assert done.exit_code == 0 and f"You are alice at {URL} until" in done.stderr
    assert alice.profile.stat().st_mode & 0o077 == 0
    session = json.loads(alice.profile.read_text())["login"]["session"]
    assert session.startswith("vds_") and session not in done.output
    assert alice.run.json("whoami") == {
        "name": "alice",
        "role": "release-manager",
        "roles": ["release-manager"],
        "is_person": True,
    }
    assert "a person" in alice.run("whoami").stdout
    assert alice.run("logout").stderr == "alice is logged out.\n"
    assert alice.run("logout").stderr == "Nobody is logged in.\n"
    assert alice.run("whoami").exit_code == 4
    assert "login" not in json.loads(alice.profile.read_text())


def test_a_wrong_login_is_one_line_with_exit_code_4_and_without_what_was_typed(alice: Terminal):
    alice.file("password", "what I typed by mistake")
    done = alice.log_in()
    assert done.exit_code == 4 and done.stdout == ""
    assert done.stderr.startswith("the name, the password or the code is not right")
    assert "mistake" not in done.output
    assert not alice.profile.exists()


def test_a_session_goes_before_the_token_of_the_profile_until_logout(alice: Terminal, services: Services):
    token = services.access.create_token("ci", Role.AUDITOR, 1).secret
    profile.write_profile(alice.profile, profile.Access(URL, token, ""))
    assert alice.run.json("whoami")["name"] == "ci"
    alice.log_in()
    assert alice.run.json("whoami")["name"] == "alice"
    alice.run.environment["VERDELTA_TOKEN"] = token
    assert alice.run.json("whoami")["name"] == "ci"  # what is given goes before either
    assert "goes before it" in alice.log_in(steps=1).stderr
    alice.run.environment["VERDELTA_TOKEN"] = ""
    assert "token of the client profile is used" in alice.run("logout").stderr
    assert alice.run.json("whoami")["name"] == "ci"


def test_a_login_does_not_replace_the_profile_of_another_controller(alice: Terminal):
    other = profile.Access("https://deploy.example.org:8470", "vdt_1", "")
    profile.write_profile(alice.profile, other)
    refused = alice.log_in()
    assert refused.exit_code == 2 and "another controller, at https://deploy.example.org:8470" in refused.stderr
    assert profile.read_profile(alice.profile) == other
    assert alice.log_in("--profile", alice.folder / "mine.json").exit_code == 0
    assert alice.run("whoami", "--profile", alice.folder / "mine.json").exit_code == 0


def test_a_session_that_was_ended_says_so_and_does_not_fall_back_to_more_rights(
    alice: Terminal, verdelta: CommandLine, services: Services
):
    profile.write_profile(alice.profile, profile.Access(URL, a_token(services, Role.AUDITOR), ""))
    alice.log_in()
    refused = verdelta("person", "invite", "alice")
    assert refused.exit_code == 2 and "--yes" in refused.stderr  # nobody is there to be asked
    assert verdelta("person", "invite", "alice", "--yes").exit_code == 0
    ended = alice.run("whoami")
    assert ended.exit_code == 4 and "the session has ended" in ended.stderr and "verdelta login" in ended.stderr


def test_secrets_can_come_by_standard_input_and_nobody_is_asked_where_nobody_is(alice: Terminal):
    typed = f"{PASSWORD}\n{alice.code().read_text()}"
    stdin = ("--password-file", "-", "--code-file", "-")
    assert alice.run("login", "alice", *stdin, data=typed).exit_code == 0
    refused = alice.run("login", "alice")
    assert refused.exit_code == 2 and refused.stderr.startswith("Password: nobody is there to type it")


def test_who_is_at_the_terminal_is_asked_without_echo(alice: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("verdelta_controller.cli.asking.is_interactive", lambda: True)
    done = alice.run("login", "alice", data=f"{PASSWORD}\n{alice.code().read_text()}")
    assert done.exit_code == 0
    assert done.stderr.startswith("Password: \nCode of your app: \nYou are alice")  # what is typed is not there


def test_no_secret_is_an_argument_of_any_command():
    for command in (login.login, login.logout):
        assert not {"password", "code", "--password", "--code"} & {o for p in command.params for o in p.opts}


def test_roles_are_given_lent_and_taken_back(alice: Terminal, verdelta: CommandLine):
    verdelta("person", "add", "bob", "--full-name", "Bob Brown")
    assert "tester" in verdelta("person", "grant", "bob", "tester", "--until", NEXT_WEEK).stdout
    alice.log_in()
    lent = alice.run(
        *("person", "lend", "alice", "release-manager", "--to", "bob", "--from", TODAY, "--until", NEXT_WEEK)
    )
    assert lent.exit_code == 0 and "in force" in lent.stdout, lent.output
    assert "release-manager (lent by alice), tester" in verdelta("person", "list").stdout
    assert "alice" in verdelta("person", "show", "bob").stdout
    assert alice.run("person", "take-back", "alice", "release-manager", "--to", "bob").exit_code == 0
    assert "lent by" not in verdelta("person", "list").stdout
    assert alice.run("person", "grant", "alice", "tester").exit_code == 4
    assert verdelta("person", "withdraw", "bob", "tester").exit_code == 0
    again = verdelta("person", "withdraw", "bob", "tester")
    assert again.exit_code == 2 and again.stderr.startswith("bob does not hold tester")
    assert "over" in verdelta("person", "show", "bob", "-o", "wide").stdout


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (("--from", "2020-01-01", "--until", NEXT_WEEK), "2020-01-01 is in the past"),
        (("--from", NEXT_WEEK, "--until", TODAY), "end before it begins"),
        (("--from", TODAY, "--until", IN_TWO_YEARS), "366 days at most"),
        (("--from", "tomorrow", "--until", TODAY), "'tomorrow' does not match"),
        (("--from", TODAY), "Missing option '--until'"),
    ],
)
def test_dates_that_cannot_be_are_one_line_and_exit_code_2(alice: Terminal, dates, said: str):
    alice.log_in()
    refused = alice.run("person", "lend", "alice", "release-manager", "--to", "bob", *dates)
    assert refused.exit_code == 2 and said in refused.stderr


def test_a_team_is_made_and_changed(alice: Terminal, verdelta: CommandLine):
    assert verdelta("team", "add", "deputies", "--purpose", "stand in", "--member", "alice").exit_code == 0
    verdelta("person", "add", "bob", "--full-name", "Bob Brown")
    assert "alice, bob" in verdelta("team", "members", "deputies", "--add", "bob").stdout
    assert verdelta.json("team", "members", "deputies")["members"] == ["alice", "bob"]
    assert "stand in" in verdelta("team", "list").stdout
    assert verdelta("team", "members", "none").exit_code == 2


def test_who_leaves_and_whose_accounts_are_merged_is_asked_first(alice: Terminal, verdelta: CommandLine):
    alice.log_in()
    verdelta("person", "add", "alice2", "--full-name", "Alice Adams")
    for command in (("merge", "alice", "alice2"), ("leave", "alice")):
        assert "--yes" in verdelta("person", *command).stderr
        done = verdelta("person", *command, "--yes")
        assert done.exit_code == 0, done.stderr
    states = {one["name"]: one["left_at"] for one in verdelta.json("person", "list")}
    assert states["alice"] and states["alice2"]
    assert alice.run("whoami").exit_code == 4


def test_a_token_of_any_role_is_no_person_and_is_told_so(verdelta: CommandLine):
    assert verdelta.json("whoami")["is_person"] is False
    assert "never signs" in verdelta("whoami").stdout


def test_a_person_opens_no_pages_with_her_session(alice: Terminal):
    alice.log_in()
    refused = alice.run("web", "link")
    assert refused.exit_code == 4 and "opened with a token" in refused.stderr


def test_an_administrator_who_is_a_person_manages_access_and_holds_nothing_else(
    verdelta: CommandLine, services: Services, tmp_path: Path, clock: Clock
):
    verdelta("person", "add", "root", "--full-name", "Ruth Root", "--administrator")
    root = Terminal(verdelta, tmp_path / "root", "root", clock)
    root.join(verdelta("person", "invite", "root").stdout.strip(), services)
    root.log_in()
    assert root.run("person", "add", "carol", "--full-name", "Carol", "--role", "tester").exit_code == 0
    refused = root.run("person", "grant", "root", "tester")
    assert refused.exit_code == 2 and "an administrator cannot be tester" in refused.stderr
