"""Names can be typed, secrets cannot be guessed, and both go everywhere unquoted."""

import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.foundation.ids import digest_of_secret, is_name, new_id, new_secret
from verdelta_controller.foundation.text import one_line


def test_identities_and_secrets_are_long_and_never_the_same():
    assert len({new_id() for _ in range(1000)}) == len({new_secret() for _ in range(1000)}) == 1000
    assert (len(new_id()), len(new_secret())) == (32, 64)


@given(st.text())
def test_every_text_has_a_digest_and_none_has_anothers(text):
    assert len(digest_of_secret(text)) == 64
    assert digest_of_secret(text) != digest_of_secret(text + "x")


@pytest.mark.parametrize("name", ["a", "web-07", "web-07.example.org", "R2_d2", "0", "a" * 63])
def test_names_as_people_give_them_are_names(name):
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "a-", "a.", "a" * 64, "a b", "a/b", "a\n", "\n", "a\0", "\u0661"]
)
def test_what_could_be_an_option_a_path_or_a_line_is_no_name(name):
    assert not is_name(name)


@given(st.text(max_size=80))
def test_a_name_needs_no_quotes_anywhere(text):
    if is_name(text):
        assert shlex.quote(text) == quote(text, safe="") == text


@given(st.text())
def test_text_of_others_is_shown_on_one_short_line(text):
    shown = one_line(text)
    assert shown.isprintable() and len(shown) <= 10 * 500


def test_of_a_long_text_the_end_is_shown():
    assert one_line("x" * 10_000 + " end").endswith("x end")
    assert one_line("a\nb\t\x1b[31mc\ud800") == "a b \\x1b[31mc\\ud800"
