"""What an authorised change covers, and which states satisfy it."""

import itertools
import shutil
import subprocess
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from verdelta_controller.releases.expectations import Expectation, applicable, fits
from verdelta_controller.releases.versions import NoVersion, compare_versions

HAS_DPKG = shutil.which("dpkg") is not None


def expectation(after: Any, section: str = "software.dpkg", key: str = "labapp:*", **more: Any) -> Expectation:
    return Expectation.model_validate({"section": section, "key": key, "after": after, **more})


def complaint(matcher: Any, value: Any, section: str = "software.dpkg") -> str | None:
    """Return what is said about one field, None when it is as authorised."""
    mismatches = expectation({"field": matcher}, section).mismatches({"field": value})
    return mismatches[0].authorised if mismatches else None


# --- keys


@pytest.mark.parametrize(
    ("pattern", "text", "is_covered"),
    [
        ("labapp:*", "labapp:amd64", True),
        ("labapp:*", "labapp:", True),
        ("labapp:*", "liblabapp:amd64", False),
        ("labapp:*", "Labapp:amd64", False),
        ("lab?pp", "labapp", True),
        ("lab?pp", "labpp", False),
        ("/etc/[ab].conf", "/etc/[ab].conf", True),
        ("/etc/[ab].conf", "/etc/a.conf", False),
        ("/etc/[ab]*", "/etc/[ab].conf", True),
        ("/etc/[ab]*", "/etc/a.conf", False),
        ("a.c*", "abc", False),
        ("*", "anything\nat all", True),
        ("a*", "a\n", True),
        ("a?", "a\n", True),
        ("a", "a\n", False),
        ("[!a]*", "b", False),
        ("\\*", "*", False),
    ],
)
def test_only_star_and_question_mark_stand_for_something(pattern: str, text: str, is_covered: bool) -> None:
    assert fits(pattern, text) is is_covered
    assert expectation("any", key=pattern).covers("software.dpkg", text) is is_covered


def test_another_section_is_not_covered() -> None:
    assert not expectation("any").covers("software.rpm", "labapp:amd64")


def _fits_slowly(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_fits_slowly(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _fits_slowly(pattern[1:], text[1:])


@given(st.text("ab*?[]!-", min_size=1, max_size=8), st.text("ab[]!-", max_size=8))
def test_patterns_mean_what_their_definition_says(pattern: str, text: str) -> None:
    assert fits(pattern, text) is _fits_slowly(pattern, text)


def test_no_pattern_is_slow_on_any_key() -> None:
    began = time.process_time()
    assert not fits("*a" * 200 + "b", "a" * 20_000)
    assert time.process_time() - began < 2


# --- states


def test_any_is_satisfied_by_every_state_and_absent_by_none_alone() -> None:
    assert expectation("any").mismatches({"version": "1"}) == []
    assert expectation("any").mismatches(None) == []
    assert expectation("absent").mismatches(None) == []
    assert expectation("absent").mismatches({}) == [("", "to be absent")]
    assert expectation({"version": "1.1"}).mismatches(None) == [("", "to be there with version 1.1")]


def test_fields_that_are_not_named_make_no_difference_to_the_state() -> None:
    assert expectation({"version": "1.1"}).mismatches({"version": "1.1", "hold": True}) == []


def test_a_mapping_authorises_the_fields_that_it_names_and_any_all() -> None:
    named = expectation({"version": "1.1"})
    assert (named.authorises("version"), named.authorises("mode")) == (True, False)
    assert expectation("any").authorises("mode")


@pytest.mark.parametrize(
    ("matcher", "value"),
    [
        ("1.1", "1.1"),
        (1, 1),
        (True, True),
        (None, None),
        (["a", 1], ["a", 1]),
        ("any", 17),
        ({"pattern": "1.*"}, "1.9"),
        ({"one_of": ["a", 1, None]}, None),
        ({"one_of": ["any"]}, "any"),
        ({"at_least": 1000}, 1000),
        ({"at_most": 10}, -5),
        ({"at_least": 1, "at_most": 3}, 2),
        ({"at_least": "1.9"}, "1.10"),
        ({"at_least": "1.0~rc1", "at_most": "1.0"}, "1.0"),
        ({"at_least": "2.0"}, "1:0.1"),
    ],
)
def test_a_value_that_is_as_authorised(matcher: Any, value: Any) -> None:
    assert complaint(matcher, value) is None


@pytest.mark.parametrize(
    ("matcher", "value", "said"),
    [
        ("1.1", "1.2", "1.1"),
        ("1.1", 1.1, "1.1 (text; the host has a number)"),
        (1, "1", "1 (a number; the host has text)"),
        (1, True, "1"),
        (True, 1, "true"),
        (True, "true", "true (a truth value; the host has text)"),
        (None, "", "null"),
        (None, False, "null"),
        (["a"], ["a", "b"], "[a]"),
        ([1], [True], "[1]"),
        (["a"], "a", "[a]"),
        ({"pattern": "1.*"}, "2.0", "1.*"),
        ({"pattern": "1*"}, 11, "1*"),
        ({"one_of": ["a", "b"]}, "c", "one of a, b"),
        ({"one_of": ["any"]}, "other", "one of any"),
        ({"at_least": 1, "at_most": 3}, 4, "at least 1, at most 3"),
        ({"at_least": 1}, "4", "at least 1 (a number; the host has text)"),
        ({"at_least": 1}, True, "at least 1 (a number; the host has a truth value)"),
        ({"at_least": 1}, None, "at least 1 (a number; the host has nothing)"),
        ({"at_most": "1.0"}, "1.0+b1", "at most 1.0"),
        ({"at_least": "1.0"}, "1.0~rc1", "at least 1.0"),
        ({"at_least": "1.0"}, "of today", 'at least 1.0 ("of today" is no version that can be ordered)'),
        ({"at_least": "1.0"}, "9" * 5000, "at least 1.0 (a text of 5000 characters is no version)"),
    ],
)
def test_a_value_that_is_not_says_what_would_have_been(matcher: Any, value: Any, said: str) -> None:
    assert complaint(matcher, value) == said


def test_a_field_that_the_row_does_not_have_is_no_null() -> None:
    assert expectation({"hold": None}).mismatches({}) == [("hold", "null")]
    assert expectation({"hold": "any"}).mismatches({}) == []


@pytest.mark.parametrize(
    "after",
    [
        "maybe",
        {},
        [],
        None,
        {"version": 1.1},
        {"version": {}},
        {"version": {"pattern": "x", "at_least": "1"}},
        {"version": {"at_least": "2", "at_most": "1"}},
        {"version": {"at_least": 2, "at_most": 1}},
        {"version": {"at_least": "x y"}},
        {"version": {"at_least": True}},
        {"version": {"one_of": []}},
        {"version": [[1]]},
    ],
)
def test_a_state_that_could_never_be_judged_is_refused(after: Any) -> None:
    with pytest.raises(ValidationError):
        expectation(after)


def test_an_expectation_comes_back_from_its_document() -> None:
    one = expectation(
        {"a": None, "b": {"one_of": [1, None]}, "c": {"at_least": "1"}, "d": {"pattern": "x*"}, "e": [1], "f": "any"},
        on={"id": "debian"},
    )
    assert Expectation.model_validate(one.document()) == one
    assert one.document()["after"] == {
        "a": None,
        "b": {"one_of": [1, None]},
        "c": {"at_least": "1"},
        "d": {"pattern": "x*"},
        "e": [1],
        "f": "any",
    }


# --- hosts


DEBIAN_12 = {"id": "debian", "version_id": "12", "family": "debian", "architecture": "x86_64"}


@pytest.mark.parametrize(
    ("on", "applies"),
    [
        (None, True),
        ({"id": "debian"}, True),
        ({"id": "Debian"}, False),
        ({"id": "debian", "architecture": "aarch64"}, False),
        ({"version_id": {"pattern": "1?"}}, True),
        ({"version_id": {"at_least": "9"}}, True),
        ({"version_id": {"at_least": "12.1"}}, False),
        ({"id": {"one_of": ["debian", "ubuntu"]}}, True),
        ({"codename": "any"}, True),
        ({"codename": "bookworm"}, False),
    ],
)
def test_an_expectation_applies_to_the_hosts_that_it_names(on: Any, applies: bool) -> None:
    one = expectation("any", **({"on": on} if on else {}))
    assert applicable([one], DEBIAN_12) == ([one] if applies else [])


def test_nothing_is_left_out_of_a_host_whose_system_is_not_known() -> None:
    both = [expectation("any", on={"id": "debian"}), expectation("any", on={"id": "rhel"})]
    assert applicable(both, None) == both


# --- versions


@pytest.mark.parametrize(
    ("section", "rising"),
    [
        ("software.dpkg", ["1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0.1", "1.9", "1.10", "1:0.1"]),
        ("software.rpm", ["1.0~rc1-1", "1.0-1.el9", "1.0-2.el9", "1.0^git1-1", "1.9-1", "1.10-1", "1:0.1-1"]),
        ("software.pip", ["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "1!0.1"]),
        (
            "system.files",
            ["1.0-alpha", "1.0-alpha.1", "1.0-rc.2", "1.0-rc.10", "1.0", "1.0.0.1", "1.9", "1.10", "2024.1.3"],
        ),
    ],
)
def test_versions_stand_in_the_order_of_their_section(section: str, rising: list[str]) -> None:
    for low, high in itertools.pairwise(rising):
        assert compare_versions(section, low, high) < 0, (low, high)
        assert compare_versions(section, high, low) > 0, (low, high)
        assert compare_versions(section, low, low) == 0


@pytest.mark.parametrize(
    ("section", "one", "same"),
    [
        ("software.dpkg", "0:1.0", "1.0"),
        ("software.rpm", "1.0-3.el9", "1.0"),
        ("software.pip", "1.0", "1.0.0"),
        ("system.files", "1.0", "1"),
        ("system.files", "1.0+build5", "1.0.0"),
    ],
)
def test_versions_that_are_written_differently_and_are_the_same(section: str, one: str, same: str) -> None:
    assert compare_versions(section, one, same) == 0


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("software.dpkg", "1.0 2"),
        ("software.dpkg", "v1.0"),
        ("software.dpkg", ""),
        ("software.rpm", "a:1.0-1"),
        ("software.rpm", "1.0 - 1"),
        ("software.rpm", ":"),
        ("software.pip", "latest"),
        ("software.pip", "1.0\n"),
        ("hardware.system", "6.1.0-13-amd64"),
        ("hardware.system", "A07"),
        ("hardware.system", "1..2"),
        ("hardware.system", "\u0661.\u0662"),
    ],
)
def test_a_text_without_a_sure_order_is_no_version(section: str, text: str) -> None:
    with pytest.raises(NoVersion):
        compare_versions(section, text, "1.0")


SECTIONS = st.sampled_from(["software.dpkg", "software.rpm", "software.pip", "system.kernel"])
VERSIONS = st.text("0123456789.:-~^+!abrcvpost_ ", max_size=12) | st.text(max_size=12)


@given(SECTIONS, VERSIONS, VERSIONS)
def test_whatever_a_host_calls_a_version_it_is_ordered_or_it_is_none(section: str, one: str, other: str) -> None:
    try:
        order = compare_versions(section, one, other)
    except NoVersion:
        return
    assert compare_versions(section, other, one) == -order


@pytest.mark.skipif(not HAS_DPKG, reason="needs dpkg, whose order this is held against")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0-1", "1.0-1ubuntu1"),
        ("1.0~", "1.0~~"),
        ("1.0a", "1.0"),
        ("1.0+x", "1.0-x"),
        ("0:1", "1"),
        ("1.2.3", "1.2-3"),
    ],
)
def test_debian_versions_stand_as_dpkg_has_them(one: str, other: str) -> None:
    order = compare_versions("software.dpkg", one, other)
    relation = "lt" if order < 0 else "gt" if order > 0 else "eq"
    subprocess.run(["dpkg", "--compare-versions", one, relation, other], check=True)
