"""verdelta inbox, and the count of what waits wherever a person is."""

import io
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import URL, ByHand, CommandLine

from verdelta_controller.cli import inbox, profile

EMPTY = {"name": "bea", "count": 0, "note": "", "entries": []}
ENTRY = {
    "kind": "gate",
    "what": "sign-off business: not signed",
    "release": "labapp 1.1",
    "since": "2026-11-26T09:12:44Z",
    "role": "business-approver",
    "lent": False,
    "action": "verdelta release sign labapp 1.1 business",
}
LOAN = ENTRY | {
    "kind": "loan",
    "what": "test-manager, lent by theo, ends on 2026-12-01",
    "release": "",
    "role": "test-manager",
    "lent": True,
    "action": "verdelta person show bea",
}
ANSWERS: dict[str, Any] = {
    "GET inbox": (200, {"name": "bea", "count": 2, "note": "", "entries": [ENTRY, LOAN]}),
    "GET inbox/count": (200, {"count": 2}),
    "GET releases": (200, []),
    "GET whoami": (200, {"name": "bea", "roles": ["business-approver"], "is_person": True}),
}
PICTURE = """\
labapp 1.1  sign-off business: not signed
            business-approver, since 2026-11-26 09:12 UTC
            → verdelta release sign labapp 1.1 business
-           test-manager, lent by theo, ends on 2026-12-01
            test-manager (lent), since 2026-11-26 09:12 UTC
            → verdelta person show bea
2 things wait for you.
"""
REMINDER = "2 things wait for you.  verdelta inbox\n"


def command_line(folder: Path, **answers: Any) -> CommandLine:
    """Return the command line of somebody who is logged in."""
    changed = {name.replace("_", " ", 1): answer for name, answer in answers.items()}
    verdelta = CommandLine(folder, ByHand(ANSWERS | changed), token="")
    path = folder / "config/verdelta/client.json"
    profile.write_profile(path, profile.Access(URL, "", ""), profile.Login("bea", "vds_x"))
    return verdelta


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Streams:
        stdout = stderr = Terminal()

    monkeypatch.setattr(inbox, "sys", Streams)


def test_every_entry_says_what_where_since_when_in_which_role_and_what_to_run(tmp_path):
    done = command_line(tmp_path)("inbox")
    assert (done.exit_code, done.stdout, done.stderr) == (0, PICTURE, "")


def test_an_empty_inbox_says_so_and_a_token_s_says_why(tmp_path):
    empty = command_line(tmp_path, GET_inbox=(200, EMPTY))("inbox")
    assert (empty.exit_code, empty.stdout) == (0, "Nothing waits for you.\n")
    token = command_line(tmp_path, GET_inbox=(200, EMPTY | {"note": "this is a token's inbox"}))("inbox")
    assert (token.exit_code, token.stdout) == (0, "this is a token's inbox\n")


def test_programs_get_the_document(tmp_path):
    assert command_line(tmp_path).json("inbox") == ANSWERS["GET inbox"][1]


def test_what_others_wrote_does_not_act_on_the_terminal(tmp_path):
    hostile = {"name": "bea", "count": 1, "note": "", "entries": [ENTRY | {"what": "\x1b[2Jgone [bold]"}]}
    done = command_line(tmp_path, GET_inbox=(200, hostile))("inbox")
    assert "\x1b" not in done.stdout
    assert "\\x1b[2Jgone [bold]" in done.stdout


def test_whoami_tells_a_person_how_much_waits(tmp_path):
    assert "inbox  2 things wait for you." in command_line(tmp_path)("whoami").stdout


def test_whoami_says_who_it_is_also_where_the_count_cannot_be_had(tmp_path):
    failing = (500, {"error": "broken", "mend": None, "exit_code": 1})
    done = command_line(tmp_path, **{"GET_inbox/count": failing})("whoami")
    assert (done.exit_code, "inbox" in done.stdout) == (0, False)


@pytest.mark.usefixtures("at_a_terminal")
class TestAtATerminal:
    def test_commands_about_releases_end_with_how_much_waits(self, tmp_path):
        done = command_line(tmp_path)("release", "list")
        assert (done.exit_code, done.stderr) == (0, REMINDER)

    def test_the_exit_code_of_the_command_stays(self, tmp_path):
        gate = {"before": "accepted", "gate": "criteria", "status": "not_met", "evidence": "none", "by": "", "at": None}
        document = {"release": "labapp", "version": "1.1", "state": "built", "policy": "p", "policy_version": 1}
        shown = document | {"gates": [gate | {"action": "build", "action_for": "build-manager"}]}
        done = command_line(tmp_path, **{"GET_releases/labapp/1.1/gates": (200, shown)})(
            "release", "gates", "labapp", "1.1"
        )
        assert (done.exit_code, done.stderr) == (3, REMINDER)

    def test_nothing_is_said_where_nothing_waits_or_a_program_reads_it(self, tmp_path):
        nothing = command_line(tmp_path, **{"GET_inbox/count": (200, {"count": 0})})
        assert nothing("release", "list").stderr == ""
        assert command_line(tmp_path)("release", "list", "-o", "json").stderr == ""

    def test_a_count_that_cannot_be_had_is_no_failure(self, tmp_path):
        failing = (503, {"error": "too busy", "mend": None, "exit_code": 1})
        done = command_line(tmp_path, **{"GET_inbox/count": failing})("release", "list")
        assert (done.exit_code, done.stderr) == (0, "")

    def test_a_token_is_not_asked_for(self, tmp_path):
        verdelta = command_line(tmp_path)
        verdelta.environment["VERDELTA_TOKEN"] = "vdt_x"
        assert verdelta("release", "list").stderr == ""
        assert verdelta.transport.asked == ["GET releases"]


def test_what_is_piped_ends_with_nothing_more_and_asks_for_nothing_more(tmp_path):
    verdelta = command_line(tmp_path)
    assert verdelta("release", "list").stderr == ""
    assert verdelta.transport.asked == ["GET releases"]
