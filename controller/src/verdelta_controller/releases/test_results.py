"""What the builder's own tests found: prior to the independent test, and no part of it.  Pure.

Source of the JUnit form: the schema of Apache Ant's task junitreport, as Jenkins, pytest and Maven Surefire write it
(https://github.com/jenkinsci/xunit-plugin, junit-10.xsd): testsuites > testsuite > testcase > failure|error|skipped.
A report comes from whatever ran the tests, so nothing in it is trusted: no document type (and with it no entities), and
caps on its bytes, depth and cases.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any
from xml.parsers import expat  # defusedxml would wrap this; a document type is refused before any entity exists

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..foundation.errors import InvalidInput, TooLarge

LIMIT = 16 << 20  # bytes of a report
DEPTH = 30
MOST_CASES = 20_000
MOST_KEPT = 5_000  # results of one build; the counts are of all
MESSAGE = 2_000  # characters
MOST_MESSAGES = 500


class CaseOutcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CaseResult(_Model):
    """One test."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=500)] = Field(examples=["unit"])
    outcome: CaseOutcome = Field(examples=["passed"])
    seconds: float = Field(default=0.0, ge=0, le=1e9, allow_inf_nan=False, examples=[1.25])
    message: Annotated[str, StringConstraints(max_length=MESSAGE)] = Field(default="", examples=["1 of 20 failed"])


class BuilderTests(_Model):
    """The builder's tests of one build: how many of each outcome, and the results, those that failed first.

    `left_out` says that tests were there and the builder chose not to run them.
    """

    passed: int = Field(default=0, ge=0, le=10**6, examples=[214])
    failed: int = Field(default=0, ge=0, le=10**6, examples=[0])
    skipped: int = Field(default=0, ge=0, le=10**6, examples=[2])
    left_out: bool = Field(
        default=False, examples=[False], description="the tests of the manifest were not run (--without-tests)"
    )
    results: list[CaseResult] = Field(default=[], max_length=MOST_KEPT)

    @property
    def are_good(self) -> bool:
        """Whether something was tested, nothing failed, and nothing was left out."""
        return self.passed > 0 and not self.failed and not self.left_out


def summed_up(results: Sequence[CaseResult], *, left_out: bool = False) -> BuilderTests:
    """Return the results with their counts; of very many, those that passed are dropped first, and messages."""
    ordered = sorted(results, key=lambda result: (list(_BY_INTEREST).index(result.outcome), result.name))
    counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in CaseOutcome}
    kept = [
        result if number < MOST_MESSAGES else result.model_copy(update={"message": ""})
        for number, result in enumerate(ordered[:MOST_KEPT])
    ]
    return BuilderTests(
        passed=counts[CaseOutcome.PASSED],
        failed=counts[CaseOutcome.FAILED],
        skipped=counts[CaseOutcome.SKIPPED],
        left_out=left_out,
        results=kept,
    )


_BY_INTEREST = (CaseOutcome.FAILED, CaseOutcome.SKIPPED, CaseOutcome.PASSED)


def read_junit(content: bytes, name: str = "JUnit report") -> list[CaseResult]:
    """Return the tests of a JUnit report.  Raises InvalidInput, TooLarge; `name` is the file's, for errors."""
    if len(content) > LIMIT:
        raise TooLarge(f"{name}: larger than {LIMIT >> 20} MiB")
    reader = _Reader()
    try:
        reader.read(content)
    except expat.ExpatError as error:
        line = getattr(error, "lineno", 1)
        raise InvalidInput(f"{name}:{line}: not XML: {expat.ErrorString(error.code)}") from error
    except (_NotTaken, ValueError, LookupError) as error:
        raise InvalidInput(f"{name}:{reader.line}: {error}") from error
    if not reader.is_report:
        raise InvalidInput(f"{name}:1: not a JUnit report: expected testsuites or testsuite")
    return reader.results


class _NotTaken(Exception):
    """Something that no report of tests has."""


class _Reader:
    """Takes a report in element by element; of what it does not know, nothing is kept."""

    def __init__(self) -> None:
        self.results: list[CaseResult] = []
        self.is_report = False
        self._depth = 0
        self._case: dict[str, Any] | None = None
        self._text: list[str] = []
        self._room = 0  # characters that a message may still have
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.buffer_text = True

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._parser.CurrentLineNumber

    def read(self, content: bytes) -> None:
        """Take a whole report in."""
        self._parser.Parse(content, True)

    def _refuse_document_type(self, *_: object) -> None:
        raise _NotTaken("a document type, which could define entities, is not taken")

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise _NotTaken(f"nested more than {DEPTH} deep")
        if self._depth == 1:
            self.is_report = element in ("testsuites", "testsuite")
        elif element == "testcase" and self._case is None:
            if len(self.results) == MOST_CASES:
                raise _NotTaken(f"more than {MOST_CASES} tests")
            self._case = {"name": _name(attributes), "seconds": _seconds(attributes), "outcome": CaseOutcome.PASSED}
        elif self._case is not None and element in ("failure", "error", "skipped"):
            skipped = element == "skipped" and self._case["outcome"] is not CaseOutcome.FAILED
            self._case["outcome"] = CaseOutcome.SKIPPED if skipped else CaseOutcome.FAILED
            self._text = [attributes.get("message", "")[:MESSAGE]]
            self._room = MESSAGE

    def _characters(self, text: str) -> None:
        if self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def _end(self, element: str) -> None:
        self._depth -= 1
        if element in ("failure", "error", "skipped") and self._case is not None:
            self._case["message"] = printable(" ".join(part.strip() for part in self._text if part.strip()))
            self._room = 0
        elif element == "testcase" and self._case is not None:
            self.results.append(CaseResult(**self._case))
            self._case = None


def _name(attributes: dict[str, str]) -> str:
    parts = (attributes.get("classname", ""), attributes.get("name", ""))
    return printable(".".join(part for part in parts if part))[:500] or "without a name"


def _seconds(attributes: dict[str, str]) -> float:
    """Return how long a test took; some writers put commas into it, and what is no time is none."""
    try:
        seconds = float(attributes.get("time", "0").replace(",", ""))
    except ValueError:
        return 0.0
    return round(seconds, 3) if 0 <= seconds < 1e9 else 0.0


def printable(text: str, most: int = MESSAGE) -> str:
    """Return text in which nothing acts on a terminal, with its line breaks, cut to `most` characters."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text[: most * 2].replace("\t", " "))[:most]


def failures(tests: BuilderTests) -> Iterable[CaseResult]:
    """Return the results that failed, as far as they were kept."""
    return (result for result in tests.results if result.outcome is CaseOutcome.FAILED)
