"""What is shown: one document for programs, tables for people, and nothing that drives their terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.model import ABSENT, FAILED, OK, STATUSES, Section, Snapshot, document
from verdelta_agent.show import as_json, as_tables, plain

TEXTS = st.text(max_size=8)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.lists(TEXTS, max_size=2))
ROWS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), max_size=3)
SECTIONS = st.dictionaries(
    TEXTS, st.builds(Section, st.sampled_from(STATUSES), ROWS, ROWS, st.one_of(st.none(), TEXTS)), max_size=3
)


def snapshot(sections: dict[str, Section]) -> Snapshot:
    return Snapshot("me", "2026-01-02T03:04:05Z", "0.1.0", sections)


@given(SECTIONS)
def test_the_json_is_exactly_the_document(sections) -> None:
    whole = document(snapshot(sections))
    assert json.loads(as_json(whole)) == whole


@given(SECTIONS)
def test_the_json_is_ascii_with_sorted_names(sections) -> None:
    text = as_json(document(snapshot(sections)))
    assert text.isascii()
    assert not any(character < " " and character != "\n" for character in text)

    def in_order(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=in_order)


def test_every_row_has_a_line_so_that_diff_shows_what_changed() -> None:
    old = {"jq:amd64": {"version": "1.6"}, "vim:amd64": {"hold": False, "version": "9.0"}}
    new = {**old, "jq:amd64": {"version": "1.7"}}
    lines = [
        set(as_json(document(snapshot({"a": Section(OK, rows, {})}))).splitlines())
        for rows in (old, new)
    ]  # fmt: skip
    digests = {line for line in lines[0] ^ lines[1] if "digest" in line or "root" in line}
    assert (lines[0] ^ lines[1]) - digests == {
        '    "jq:amd64": {"version": "1.6"},',
        '    "jq:amd64": {"version": "1.7"},',
    }


def test_a_table_says_what_each_section_is_and_sums_up() -> None:
    sections = {
        "software.rpm": Section(ABSENT, {}, {}),
        "system.users": Section(OK, {"root": {"uid": 0, "groups": ["adm", "sys"], "shell": None}}, {}, "partial: x"),
        "system.files": Section(FAILED, {}, {}, "permission: /etc"),
    }
    assert list(as_tables(snapshot(sections))) == [
        "software.rpm (absent)",
        "system.files (failed): permission: /etc",
        "system.users (1): partial: x",
        "  root  groups adm sys, shell -, uid 0",
        "3 sections, 1 failed, 1 partial",
    ]


@given(SECTIONS)
def test_nothing_of_a_host_reaches_the_terminal_but_what_it_prints(sections) -> None:
    lines = list(as_tables(snapshot(sections)))
    assert len(lines) == 1 + len(sections) + sum(len(section.rows) for section in sections.values())
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Müller €", "Müller €"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
        ("\u2028", "\\u2028"),
    ],
)
def test_control_characters_and_changes_of_direction_are_spelt_out(text: str, shown: str) -> None:
    assert plain(text) == shown
