"""What people are shown: deltas, verdicts, lists; as text, at the widths of real terminals, with hostile hosts."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from tests.support.views import EVE, UPGRADE, a_host, change, delta, host, item, snapshot

from verdelta_controller.cli import deltas, render, signs
from verdelta_controller.cli.text import amount, cut, listed, moment, plain, plain_lines, size
from verdelta_controller.releases.rules import ReleaseState
from verdelta_controller.rollouts.states import HostState, RolloutState, WaveState
from verdelta_controller.rollouts.verdict import Outcome

HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202eevil\u2066 \x07 a\nb :smile:"


def as_lines(picture: RenderableType, width: int = 80) -> list[str]:
    """Return what stands on a terminal of this width, without the spaces at the ends."""
    stream = io.StringIO()
    Console(file=stream, width=width, markup=False, highlight=False, emoji=False).print(picture)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


# -- text


def test_nothing_that_a_terminal_acts_on_is_left_in_a_text():
    assert (
        plain("a\x1b]0;title\x07b\r\nc\u202ed\x7f\x9b\ud800") == "a\\x1b]0;title\\x07b\\r\\nc\\u202ed\\x7f\\x9b\\ud800"
    )


@given(st.text())
def test_every_text_becomes_one_printable_line(text: str):
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)


def test_the_lines_of_a_message_are_kept_and_nothing_else_of_it_acts():
    assert plain_lines("a\n\x1bb") == "a\n\\x1bb"


def test_numbers_and_moments_are_said_as_people_read_them():
    assert [size(0), size(1023), size(2048), size(5 << 30)] == ["0 B", "1023 B", "2.0 KiB", "5.0 GiB"]
    assert [amount(1, "host"), amount(0, "host")] == ["1 host", "0 hosts"]
    assert [moment("2026-11-22T02:14:07.123456Z"), moment(None)] == ["2026-11-22 02:14:07 UTC", "never"]
    assert [cut("abcdef", 4), cut("abcd", 4)] == ["abc…", "abcd"]
    assert listed(["a", "b", "c"], 2) == "a, b, 1 more"


# -- signs


@pytest.mark.parametrize(
    ("table", "states"),
    [
        (signs.HOSTS, HostState),
        (signs.WAVES, WaveState),
        (signs.ROLLOUTS, RolloutState),
        (signs.RELEASES, ReleaseState),
        (signs.OUTCOMES, Outcome),
    ],
)
def test_every_state_has_a_sign_and_a_word(table, states):
    assert set(table) == {state.value for state in states}
    assert all(len(sign.sign) == 1 and sign.word for sign in table.values())


def test_a_state_of_a_newer_controller_is_shown_as_it_is():
    assert signs.sign_of(signs.HOSTS, "on_\x1bhold").word == "on hold"


# -- deltas


def test_a_delta_shows_rows_by_section_and_how_complete_the_evidence_is():
    found = delta(
        change("software.dpkg", "labapp:all", {"version": "1.0"}, {"version": "1.1"}),
        change("software.dpkg", "liblab:all", None, {"version": "1.0", "hold": False}),
        change("system.units", "labapp.service", {"enabled": "disabled"}, {"enabled": "enabled"}),
        change("system.users", "eve", {"uid": 1001}, None),
    )

    assert as_lines(deltas.delta(found, 80)) == [
        "  software.dpkg",
        "~   labapp:all      version  1.0 → 1.1",
        "+   liblab:all      version 1.0",
        "  system.units",
        "~   labapp.service  enabled  disabled → enabled",
        "  system.users",
        "-   eve             uid 1001",
        "1 added, 2 changed, 1 removed in 3 sections.  Both snapshots complete (41",
        "sections).",
    ]


def test_fields_of_one_row_stand_below_each_other():
    before = {"mode": "0644", "digest": "9f" * 32, "owner": "root"}
    after = {"mode": "0600", "digest": "07" * 32, "owner": "root"}

    assert as_lines(deltas.delta(delta(change("system.files", "/etc/x", before, after)), 80))[1:3] == [
        "~   /etc/x  mode    0644 → 0600",
        "            digest  9f9f9f9f9f9f… → 070707070707…",
    ]


def test_what_could_not_be_compared_is_named_and_no_difference_is_not_called_no_change():
    lines = as_lines(deltas.delta(delta(unknown=["software.rpm"], partial=["system.files"]), 200), 200)

    assert lines == [
        "No difference was seen.  1 of 41 sections not comparable: software.rpm. Read in part only: system.files."
    ]


def test_a_verdict_marks_what_is_not_as_authorised_by_a_sign_and_a_word():
    found = host("web-07", "at_variance", [UPGRADE, EVE])

    assert as_lines(deltas.verdict(found, delta(), 80)) == [
        "  software.dpkg",
        "~   labapp:all  version  1.0 → 1.1         matched",
        "  system.users",
        "!+  eve         uid 1001, shell /bin/bash  unexpected",
        "1 matched, 1 unexpected, 0 missing, 0 drift.  Both snapshots complete (41",
        "sections).",
    ]


def test_a_verdict_says_what_was_authorised_instead_what_is_missing_and_what_was_waived():
    wrong = item("unexpected", "s.s", "a", "version 1.0 → 1.2, authorised 1.1", {"version": "1.0"}, {"version": "1.2"})
    found = host(
        "web-07",
        "at_variance",
        [
            {**wrong, "expectation": 0},
            item("missing", "s.s", "b", "authorised, but not seen on the host"),
            item("drift", "s.s", "c", "added, before we came", None, {"uid": 0}),
            item("waived", "s.s", "d", "added (was unexpected; known)", None, {"uid": 1}),
            item("matched", "s.s", "e", "already so: version 1.1", {"version": "1.1"}, {"version": "1.1"}),
        ],
    )

    assert as_lines(deltas.verdict(found, None, 100), 100) == [
        "  s.s",
        "!~  a  version 1.0 → 1.2, authorised 1.1     unexpected",
        "!   b  authorised, but not seen on the host  missing",
        "!+  c  uid 0                                 drift",
        "+   d  added (was unexpected; known)         waived",
        "=   e  already so: version 1.1               matched",
        "1 matched, 1 unexpected, 1 missing, 1 drift, 1 waived.  There are no two snapshots to compare.",
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("1.0", "1.1", "1.0 → 1.1"),
        (1, True, "1 → true"),
        (None, "", 'none → ""'),
        (["a", "b"], ["b", "eve"], "+eve, -a"),
        (["a", "b"], ["b", "a"], "[a, b] → [b, a]"),
        ("x" * 90 + "1", "x" * 90 + "2", "…xxxxxxxxxx1 → …xxxxxxxxxx2"),
        ("9f" * 32, "9f" * 31 + "00", "…9f9f9f9f9f9f → …9f9f9f9f9f00"),
    ],
)
def test_a_move_shows_what_differs_however_long_the_values_are(before: object, after: object, said: str):
    assert deltas.moved(before, after) == said


def test_a_field_that_came_or_went_is_told_from_one_that_is_empty():
    found = delta(change("s.s", "a", {"x": None}, {"y": ""}))

    assert as_lines(deltas.delta(found, 80))[1:3] == ["~   a  x  none → not set", '       y  not set → ""']


def test_zero_is_a_value_and_shown():
    assert as_lines(deltas.delta(delta(change("system.users", "root", None, {"uid": 0})), 80))[1] == "+   root  uid 0"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_wider_than_the_terminal_whatever_a_host_says(width: int):
    long = "k" * 300
    found = host(
        "web-07",
        "at_variance",
        [
            item("unexpected", HOSTILE, long, HOSTILE, {"a" * 100: HOSTILE}, {"a" * 100: long}),
            item("missing", "s.s", "漢字" * 50, HOSTILE * 9),
        ],
    )

    lines = as_lines(deltas.verdict(found, delta(unknown=[HOSTILE]), width), width)

    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert "[bold]" in "".join(lines)


def test_wide_cuts_nothing():
    text = "v" * 500
    lines = as_lines(deltas.delta(delta(change("s.s", "k", {"f": "x"}, {"f": text})), 80, wide=True), 1000)

    assert any(text in line for line in lines)


# -- lists


def test_a_list_of_hosts_says_what_to_do_when_there_is_none():
    assert as_lines(render.hosts([])) == ["There is no host yet: verdelta host add --help"]


def test_lists_show_what_hosts_say_without_acting_on_it():
    lines = as_lines(render.hosts([a_host(HOSTILE, groups=[HOSTILE])]), 200)

    assert all(line.isprintable() for line in lines)
    assert "[bold]loud[/bold]" in lines[1]
    assert ":smile:" in lines[1]


def test_a_host_shows_its_pinned_key_and_the_numbers_of_its_states():
    lines = as_lines(render.host(a_host("web-07"), [snapshot(12), snapshot(9, software__rpm="failed")]), 120)

    assert "host key       SHA256:Zx0 (ssh-ed25519), pinned 2026-11-02 10:00:00 UTC" in lines
    assert any(line.startswith("12 ") and line.endswith("1 section") for line in lines)
    assert any(line.startswith("9 ") and line.endswith("unreadable: software.rpm") for line in lines)


def test_a_host_that_was_never_audited_says_how():
    assert as_lines(render.host(a_host("web-07"), []))[-1] == "It was never audited: verdelta audit web-07"


@pytest.mark.parametrize(
    ("found", "accepted", "said"),
    [
        (None, [], "first audit"),
        (delta(), [], "no change"),
        (delta(change("s.s", "k", None, {}), unknown=["x.y"]), [], "changed: 1 row"),
        (delta(unknown=["x.y"]), [], "incomplete: cannot compare x.y"),
        (delta(unknown=["x.y"]), ["x.y"], "no change"),
    ],
)
def test_an_audit_is_one_line_that_never_calls_the_unread_unchanged(found, accepted, said: str):
    document = {"host": "web-07", "snapshot": snapshot(), "delta": found}

    line = render.audit(document, accepted).plain

    assert line.endswith(said)
    assert "web-07" in line and "7d96d5fb7d96" in line


def test_an_inventory_names_a_section_that_could_not_be_read():
    ok = {"status": "ok", "error": None, "rows": {"labapp:all": {"version": "1.0"}}, "volatile": {}}
    failed = {"status": "failed", "error": "no\x1bt for you", "rows": {}, "volatile": {}}
    document = {
        "host": "web-07",
        "root": "7d" * 32,
        "taken_at": "2026-11-22T02:14:07Z",
        "sections": {"software.dpkg": ok, "software.rpm": failed},
    }

    assert as_lines(render.inventory(document))[:3] == [
        "software.dpkg  1 row",
        "  labapp:all  version 1.0",
        "software.rpm  failed: no\\x1bt for you",
    ]


def test_what_a_release_may_change_is_shown_in_words():
    changes = [
        {"section": "software.dpkg", "key": "labapp:*", "after": {"version": {"at_least": "1.1", "at_most": "1.9"}}},
        {"section": "system.files", "key": "/etc/x", "after": "any", "on": {"id": {"pattern": "deb*"}}},
    ]

    assert as_lines(render.authorised_changes(changes), 120) == [
        "MAY CHANGE      ROW        AFTERWARDS                         ON",
        "software.dpkg   labapp:*   version at least 1.1 at most 1.9   all",
        "system.files    /etc/x     any                                id deb*",
    ]
