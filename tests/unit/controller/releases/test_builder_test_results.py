"""Reports of tests come from anywhere: what is a report is taken in, and nothing else does any harm."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verdelta_controller.foundation.errors import InvalidInput, TooLarge
from verdelta_controller.releases import test_results
from verdelta_controller.releases.test_results import BuilderTests, CaseOutcome, CaseResult, read_junit, summed_up

REPORT = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4">
  <testcase classname="tests.a" name="good" time="0.25"/>
  <testcase classname="tests.a" name="bad" time="1,234.5"><failure message="assert 1 == 2">line one
  line two</failure></testcase>
  <testcase name="broken" time="soon"><error>boom</error><system-out>noise</system-out></testcase>
  <testcase classname="tests.b" name="left"><skipped message="no root"/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_taken_in_with_every_outcome() -> None:
    assert read_junit(REPORT) == [
        CaseResult(name="tests.a.good", outcome=CaseOutcome.PASSED, seconds=0.25),
        CaseResult(
            name="tests.a.bad",
            outcome=CaseOutcome.FAILED,
            seconds=1234.5,
            message="assert 1 == 2 line one\n  line two",
        ),
        CaseResult(name="broken", outcome=CaseOutcome.FAILED, message="boom"),
        CaseResult(name="tests.b.left", outcome=CaseOutcome.SKIPPED, message="no root"),
    ]


def test_a_single_suite_is_a_report_too() -> None:
    assert len(read_junit(b"<testsuite><testcase name='x'/></testsuite>")) == 1


LAUGHS = b"<!DOCTYPE lolz [<!ENTITY a 'lol'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghij"
)
HOSTILE = {
    "billion laughs": LAUGHS + b"]><testsuite><testcase name='&j;'/></testsuite>",
    "an external entity": b"<!DOCTYPE t [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><testsuite>&x;</testsuite>",
    "an external document type": b"<!DOCTYPE t SYSTEM 'http://127.0.0.1:1/x.dtd'><testsuite/>",
    "an entity that is not defined": b"<testsuite><testcase name='&x;'/></testsuite>",
    "deep": b"<testsuite>" + b"<a>" * 100_000,
    "no XML": b"\x00\xff",
    "nothing": b"",
    "half": REPORT[:200],
    "another document": b"<html/>",
    "an encoding that nobody knows": b"<?xml version='1.0' encoding='klingon'?><testsuite/>",
    "very many tests": b"<testsuite>" + b"<testcase name='x'/>" * 20_001 + b"</testsuite>",
    "a second root": b"<testsuite/><testsuite/>",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_report_is_one_line(content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^report.xml:\d+: ") as caught:
        read_junit(content, "report.xml")
    assert "\n" not in caught.value.message


def test_a_large_report_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        read_junit(b" " * (test_results.LIMIT + 1))


def test_messages_are_cut_and_nothing_in_them_acts_on_a_terminal() -> None:
    content = (
        b"<testsuite><testcase name='x'><failure>\xc2\x9b31m" + b"x" * 100_000 + b"</failure></testcase></testsuite>"
    )
    (result,) = read_junit(content)
    assert len(result.message) == test_results.MESSAGE
    assert all(character.isprintable() or character == "\n" for character in result.message)


@given(st.binary(max_size=200) | st.text("<>/=\"' testcasefailurename&;![]-", max_size=200).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_whatever_the_bytes_they_are_a_report_or_an_error(content: bytes) -> None:
    try:
        assert isinstance(read_junit(content), list)
    except InvalidInput as error:
        assert error.message.startswith("JUnit report:")


def test_of_very_many_results_the_failed_ones_are_kept_and_all_are_counted() -> None:
    results = [CaseResult(name=f"t{n}", outcome=CaseOutcome.PASSED) for n in range(10_000)]
    results += [CaseResult(name=f"bad{n}", outcome=CaseOutcome.FAILED, message="m" * 2000) for n in range(2000)]
    tests = summed_up(results)
    assert (tests.passed, tests.failed, len(tests.results)) == (10_000, 2000, test_results.MOST_KEPT)
    assert all(result.outcome is CaseOutcome.FAILED for result in tests.results[:2000])
    assert len(json.dumps(tests.model_dump(mode="json"))) < 4 << 20
    assert BuilderTests.model_validate(tests.model_dump(mode="json")) == tests


@pytest.mark.parametrize(
    ("outcomes", "left_out", "good"),
    [(["passed"], False, True), ([], False, False), (["passed", "failed"], False, False), (["passed"], True, False),
     (["skipped"], False, False)],
)  # fmt: skip
def test_nothing_tested_is_not_good(outcomes: list[str], left_out: bool, good: bool) -> None:
    results = [CaseResult(name="x", outcome=CaseOutcome(outcome)) for outcome in outcomes]
    assert summed_up(results, left_out=left_out).are_good is good
