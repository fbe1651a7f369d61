"""What hosts said, as text that is safe to look at."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.web import markup, text

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

MISLEADING = ["\0", "\x1b", "\x7f", "\x9b", "\r", "\n", "\t", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\xad"]


@pytest.mark.parametrize("character", [*MISLEADING, "\ud800", "\U000e0041"])
def test_a_character_that_cannot_be_seen_or_acts_on_others_is_spelt_out(character):
    shown = list(text.pieces(f"before{character}after"))
    assert [piece.text for piece in shown if not piece.spelt] == ["before", "after"]
    assert all(piece.text.isascii() and piece.text.startswith("\\") for piece in shown if piece.spelt)
    assert text.plain(character).isascii()


def test_lines_are_kept_in_prose_alone():
    assert [piece.text for piece in text.pieces("one\ntwo", lines=True)] == ["one\ntwo"]
    assert [piece.text for piece in text.pieces("one\ntwo")] == ["one", "\\n", "two"]


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_was_said_reaches_a_page_unescaped_or_unseen(said):
    shown = markup.said(said)
    inner = shown.striptags()
    assert inner.isprintable()
    assert shown.count("<") == shown.count("<bdi") * 2 + shown.count("<span") * 2 + 4 * shown.count("<details")


@pytest.mark.parametrize("length", [text.AT_ONCE + 1, text.SHOWN, text.SHOWN + 1, 10_000_000])
def test_a_long_text_is_shown_in_part_and_says_how_much_is_left(length):
    shown = markup.said("A" * length)
    assert f"{length - text.AT_ONCE:,} more character" in shown
    assert shown.count("A") == min(length, text.SHOWN) + shown.count("API")
    assert (f"{length - text.SHOWN:,} character" in shown) == (length > text.SHOWN)


@pytest.mark.parametrize(
    "said, shown",
    [
        (None, "none"),
        (True, "yes"),
        (0, "0"),
        ("", '""'),
        ([], "none"),
        (["a", None, [False]], "a, none, no"),
        ({"a": "ü"}, '{"a": "ü"}'),
    ],
)
def test_a_value_of_any_kind_has_a_text(said, shown):
    assert text.value(said) == shown


def test_a_digest_is_shown_by_its_beginning_and_nothing_else_is():
    assert "abababababab…" in markup.brief("ab" * 32)
    assert "…" not in markup.brief("ab" * 19)
    assert "…" not in markup.brief("zz" * 32)


@pytest.mark.parametrize(
    "seconds, said",
    [
        (-3600, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (7200, "2 hours ago"),
        (86_400 * 45, "1 month ago"),
        (86_400 * 800, "2 years ago"),
    ],
)
def test_how_long_ago_is_said_in_one_unit(seconds, said):
    assert text.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_a_moment_is_shown_in_utc():
    elsewhere = datetime.fromisoformat("2026-11-22T03:14:07+01:00")
    assert text.absolute(elsewhere) == "2026-11-22 02:14:07 UTC"


@given(st.text(), st.text())
def test_elements_of_different_names_have_different_identifiers(one, other):
    ids = [text.element_id("host", 1, name) for name in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in ids)
