"""verdelta environment: what it shows, what it sends, and how it ends."""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from tests.support.command_line import URL, ByHand, CommandLine, InProcess
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.cli import calendars, matrices, moments
from verdelta_controller.cli.environment import STAGES
from verdelta_controller.cli.session import Session
from verdelta_controller.fleet.bookings import BookingState
from verdelta_controller.fleet.environment_rules import Stage
from verdelta_controller.foundation.errors import InvalidInput

HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202eevil\u2066 \x07 a\nb :smile:"
DAY = timedelta(days=1)
BEGIN = datetime(2026, 11, 26, 9, tzinfo=UTC)
TODAY = BEGIN.replace(hour=0)


def lines(picture: RenderableType, width: int = 100) -> list[str]:
    """Return what stands on a terminal of this width, without the spaces at the ends."""
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, highlight=False, emoji=False).print(picture)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def a_booking(number: int, begins: float, ends: float, **given: Any) -> dict[str, Any]:
    """Return a booking as the API shows it: from so many days after BEGIN until so many."""
    return {
        "number": number, "environment": "staging", "state": "planned", "booked_for": "web team",
        "purpose": "rehearsal", "release": "labapp", "version": "1.1", "exclusive": True, "conflicts": [],
        "begins_at": (BEGIN + begins * DAY).isoformat(), "ends_at": (BEGIN + ends * DAY).isoformat(),
        "booked_at": BEGIN.isoformat(), "booked_by": "alice", "closed_at": None, "closed_by": None, **given,
    }  # fmt: skip


def test_the_words_of_the_command_are_those_of_the_controller():
    assert tuple(Stage) == STAGES
    assert set(calendars.BOOKINGS) == {state.value for state in BookingState}


# -- pictures


def test_a_calendar_has_a_line_for_each_booking_and_says_every_conflict_in_words():
    booked = [
        a_booking(9, 0, 2, state="running", conflicts=[10]),
        a_booking(10, 1, 4, booked_for="eve", exclusive=False, release="", conflicts=[9]),
        a_booking(11, 3, 4, environment="test", version=""),
    ]
    assert lines(calendars.calendar(booked, TODAY, 1)) == [
        "staging",
        "      26 Nov",
        "   9  █!!····  ▶ running  web team: rehearsal (labapp 1.1)",
        "  10  ·!!▒▒··  · planned  eve: rehearsal",
        "",
        "test",
        "      26 Nov",
        "  11  ···██··  · planned  web team: rehearsal (labapp)",
        "",
        "! 9 and 10 conflict in staging: web team and eve, 2026-11-27 09:00:00 UTC to 2026-11-28 09:00:00 UTC",
        "3 bookings, 1 conflict.  █ exclusive  ▒ others may be there too  ! conflict.  Days of UTC.",
    ]


def test_a_booking_that_ends_at_midnight_does_not_touch_the_day_that_begins_then():
    booked = [a_booking(1, 0, 15 / 24)]
    assert "█······" in lines(calendars.calendar(booked, TODAY, 1))[2]


def test_a_calendar_with_nothing_in_it_says_so():
    assert lines(calendars.calendar([], BEGIN, 4)) == ["Nothing is booked in 4 weeks from 2026-11-26 on."]


A_HOST = {"host": "web-7", "state": "found", "versions": ["1.0"], "expected": "1.1", "drift": True}
A_CELL = {
    "environment": "live", "found": [{"versions": ["1.1"], "hosts": 39}, {"versions": ["1.0"], "hosts": 1}],
    "not_there": 2, "not_applicable": 0, "unknown": 1, "drift": 1, "common": ["1.1"], "left_off": 0,
    "hosts": [{**A_HOST, "audited_at": (BEGIN - DAY / 4).isoformat()},
              {**A_HOST, "host": "web-8", "state": "unknown", "versions": [], "drift": False, "audited_at": None}],
}  # fmt: skip
A_MATRIX = {
    "at": BEGIN.isoformat(),
    "environments": [
        {"environment": "test", "stage": "test", "hosts": 0, "never_audited": 0, "oldest_audit": None,
         "newest_audit": None},
        {"environment": "live", "stage": "live", "hosts": 43, "never_audited": 1,
         "oldest_audit": (BEGIN - 3 * DAY).isoformat(), "newest_audit": (BEGIN - DAY / 48).isoformat()},
    ],
    "components": [{"manager": "deb", "package": "labapp", "releases": ["labapp"], "cells": [A_CELL]}],
    "left_off": 0,
}  # fmt: skip


def test_a_matrix_says_what_runs_where_what_differs_and_how_complete_it_is():
    assert lines(matrices.matrix(A_MATRIX), 120) == [
        "COMPONENT     live",
        "              43 hosts",
        "              30 min to 3 days old",
        "labapp  deb   1.1  39",
        "              1.0  1",
        "              not there  2",
        "              ? unknown  1",
        "              ! drift  1",
        "",
        "ENVIRONMENT   HOST    COMPONENT     AUDITED   VERIFIED               AUDIT",
        "live          web-7   labapp  deb   1.0       1.1        ! drift     6 h old",
        "live          web-8   labapp  deb   unknown   1.1        ? unknown   never",
        "",
        "1 component in 1 environment, computed from audits; unknown in 1 place: never audited, or not to be read.",
        "Not as last verified: 1.",
    ]


def test_whatever_a_host_or_a_person_said_acts_on_no_terminal():
    hostile_host = {**A_HOST, "host": HOSTILE, "versions": [HOSTILE], "expected": HOSTILE, "audited_at": None}
    cell = {**A_CELL, "found": [{"versions": [HOSTILE], "hosts": 1}], "hosts": [hostile_host]}
    shown = {**A_MATRIX, "components": [{**A_MATRIX["components"][0], "package": HOSTILE, "cells": [cell]}]}
    booked = [
        a_booking(n, 0, 1, booked_for=HOSTILE, purpose=HOSTILE, environment=HOSTILE, conflicts=[3 - n]) for n in (1, 2)
    ]
    pictures = [
        matrices.matrix(shown),
        calendars.calendar(booked, BEGIN, 1),
        calendars.booking(booked[0]),
        calendars.bookings(booked),
    ]
    for width in (40, 80, 200):
        for picture in pictures:
            for line in lines(picture, width):
                assert line.isprintable() or line == "", line
                assert cell_len(line) <= width


# -- moments


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in Berlin, as POSIX writes it."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_a_moment_without_a_zone_is_one_of_this_machine_and_that_is_said(capsys):
    assert moments.parse(Session(), "--to", "2026-12-01T09:00") == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert capsys.readouterr().err == "--to: taken as local time, 2026-12-01 09:00 CET (UTC+0100)\n"
    for text in ("2026-12-01T09:00Z", "2026-12-01 10:00+01:00"):
        assert moments.parse(Session(), "--to", text) == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-10-25T02:30", "twice, or never"),
        ("2026-03-29T02:30", "twice, or never"),
        ("2026-12-01", "the time of day is missing"),
        ("20261201", "the time of day is missing"),
        ("tomorrow", "no moment"),
        ("", "no moment"),
        ("2026-13-01T00:00", "no moment"),
        ("0001-01-01T00:00+14:00", "no moment"),
        ("0001-01-01T00:00", "no moment"),
        ("9999-12-31T23:59-14:00", "no moment"),
        ("\ud800", "no moment"),
        pytest.param("1" * 10_000, "no moment", id="long"),
    ],
)
def test_what_is_no_moment_is_refused_with_how_to_write_one(text, said):
    with pytest.raises(InvalidInput, match=said):
        moments.parse(Session(), "--to", text)


# -- against the application


@pytest.fixture
def verdelta(tmp_path: Path) -> Iterator[CommandLine]:
    with a_controller(tmp_path) as services:
        transport = InProcess(TestClient(create_app(services), base_url=URL))
        line = CommandLine(tmp_path, transport, a_token(services))
        line.auditor = CommandLine(tmp_path, transport, a_token(services, Role.AUDITOR))  # type: ignore[attr-defined]
        yield line


def after(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def test_an_environment_is_made_ordered_shown_and_removed(verdelta: CommandLine):
    assert verdelta("environment", "add", "canary", "--stage", "live", "--team", "web").exit_code == 0
    assert [one["name"] for one in verdelta.json("environment", "list")][3:] == ["live", "canary"]
    ordered = verdelta("environment", "order", "build", "test", "staging", "canary", "live")
    assert ordered.exit_code == 0
    assert [one["name"] for one in verdelta.json("environment", "list")][3:] == ["canary", "live"]
    assert "Nothing is booked in 4 weeks" in verdelta("environment", "show", "canary").stdout
    assert verdelta("environment", "set", "canary").exit_code == 2
    assert verdelta.json("environment", "set", "canary", "--description", "First.")["description"] == "First."
    assert verdelta.json("environment", "show", "canary")["team"] == "web"
    assert verdelta("environment", "remove", "canary").exit_code == 2  # nobody is there to answer
    assert verdelta("environment", "remove", "canary", "--yes").exit_code == 0
    missing = verdelta("environment", "show", "stagin")
    assert (missing.exit_code, "did you mean staging?" in missing.stderr) == (2, True)


def test_a_host_is_put_into_an_environment_that_is_there(verdelta: CommandLine):
    refused = verdelta("host", "add", "a", "--reach", "check-in", "--environment", "lve")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("there is no environment 'lve'; did you mean live?\n")
    assert verdelta("host", "add", "a", "--reach", "check-in", "--environment", "live").exit_code == 0
    assert verdelta("environment", "remove", "live", "--yes").exit_code == 5


def test_a_second_exclusive_booking_is_refused_and_shared_when_that_is_said(verdelta: CommandLine):
    book = ["environment", "book", "staging", "--for", "web team", "--purpose", "rehearsal", "--exclusive"]
    first = verdelta.json(*book, "--from", after(1), "--to", after(3), "--release", "labapp", "--version", "1.1")
    second = [*book, "--from", after(2), "--to", after(4)]
    refused = verdelta(*second)
    assert (refused.exit_code, refused.stdout) == (5, "")
    assert f"(booking {first['number']}: rehearsal)" in refused.stderr and "--share" in refused.stderr
    shared = verdelta.json(*second, "--share")
    assert shared["conflicts"] == [first["number"]]
    shown = verdelta("environment", "bookings", "staging").stdout
    assert "2 bookings, 1 conflict." in shown and "labapp 1.1" in shown
    assert "EXCLUSIVE" in verdelta("environment", "bookings", "-o", "wide").stdout
    assert verdelta("environment", "cancel", first["number"]).exit_code == 2  # nobody is there to answer
    assert "cancelled" in verdelta("environment", "cancel", first["number"], "--yes").stdout
    longer = verdelta.json("environment", "prolong", shared["number"], "--to", after(30))
    assert longer["ends_at"] > shared["ends_at"] and longer["conflicts"] == []


def test_a_booking_in_the_past_is_refused(verdelta: CommandLine):
    book = ["environment", "book", "staging", "--for", "x", "--purpose", "x"]
    refused = verdelta(*book, "--to", "2026-01-01T00:00Z")
    assert (refused.exit_code, "in the past" in refused.stderr) == (2, True)
    refused = verdelta(*book, "--from", "2026-01-01T00:00Z", "--to", after(1))
    assert (refused.exit_code, "in the past" in refused.stderr) == (2, True)
    assert verdelta.json("environment", "bookings") == []


@pytest.mark.parametrize("moment", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00+14:00", "2026-12-01T00:00:00", "x"])
def test_a_moment_that_is_in_no_calendar_is_refused_wherever_it_is_given(verdelta: CommandLine, moment: str):
    client = verdelta.transport._client  # type: ignore[union-attr]
    client.headers["Authorization"] = f"Bearer {verdelta.environment['VERDELTA_TOKEN']}"
    path, said = "/api/v1/environments", {"booked_for": "x", "purpose": "x", "ends_at": after(1)}
    answers = [
        client.get(f"{path}/bookings", params={"begins_at": moment}),
        client.post(f"{path}/staging/bookings", json={**said, "ends_at": moment}),
        client.post(f"{path}/staging/bookings", json={**said, "begins_at": moment}),
        client.patch(f"{path}/bookings/1", json={"ends_at": moment}),
    ]
    assert [answer.status_code for answer in answers[:3]] == [422] * 3
    assert answers[3].status_code in (404, 422)


def test_an_auditor_reads_and_books_nothing(verdelta: CommandLine):
    auditor: CommandLine = verdelta.auditor  # type: ignore[attr-defined]
    assert auditor("environment", "bookings").exit_code == 0
    refused = auditor("environment", "book", "staging", "--for", "x", "--purpose", "x", "--to", after(1))
    assert (refused.exit_code, "may not book" in refused.stderr) == (4, True)


def test_drift_ends_the_matrix_with_exit_code_3(tmp_path: Path, verdelta: CommandLine):
    hand = ByHand({"GET environments/matrix": (200, A_MATRIX)})
    assert CommandLine(tmp_path, hand)("environment", "matrix").exit_code == 3
    assert CommandLine(tmp_path, hand)("environment", "matrix", "-o", "json").exit_code == 3
    empty = verdelta("environment", "matrix")
    assert (empty.exit_code, empty.stdout.startswith("No release has a component")) == (0, True)
