"""What a release will be accepted by, written before it is tested: it is part of the package, and so of its digest.

Pure.  Some criteria are looked up in the audits of the rehearsal (`state`), some are tried on each of its hosts
(`command`, `http`), and some are told to us (`junit`, `measure`, `manual`).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, Tag, model_validator

from verdelta_agent.model import FAILED, Row, Section

from .expectations import (
    PRINTABLE,
    After,
    Expectation,
    Fields,
    Key,
    SectionName,
    Strict,
    Text,
    applicable,
    fits,
    told_by,
)

Identifier = Annotated[str, StringConstraints(max_length=60, pattern=r"^[a-z0-9][a-z0-9-]*$")]
Word = Annotated[str, StringConstraints(max_length=1000, pattern=PRINTABLE)]
UrlPath = Annotated[str, StringConstraints(max_length=500, pattern=r"^/[!-~]*$")]

OUTPUT_LIMIT = 64 << 10  # bytes of what a command or a server answers that are looked at


class Outcome(StrEnum):
    """What became of a criterion.  What could not be found out is never passed."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Result(NamedTuple):
    """What became of a criterion, and why, in words."""

    outcome: Outcome
    detail: str


class _Criterion(Strict):
    id: Identifier = Field(description="names it in results", examples=["answers"])
    says: Text = Field(description="the criterion in words", examples=["The application answers"])


class StateCriterion(_Criterion):
    """A row of the audited state of each host: a package's version, a unit, a port, a file, hardware, a setting."""

    check: Literal["state"] = Field(description="how it is found out", examples=["state"])
    section: SectionName = Field(description="section of the snapshot", examples=["system.units"])
    key: Key = Field(description="key of the row, exact or with * and ?", examples=["labapp.service"])
    after: After = Field(description="any, absent, or fields with their values", examples=[{"enabled": "enabled"}])
    on: Fields | None = Field(
        default=None, description="only on hosts with this operating system", examples=[{"id": "debian"}]
    )

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        self.expectation()
        return self

    def expectation(self) -> Expectation:
        """Return it as a change's expectation, which knows how to compare.  Raises ValueError."""
        given = {"section": self.section, "key": self.key, "after": self.after}
        return Expectation(**given, **({"on": self.on} if self.on else {}))


class CommandCriterion(_Criterion):
    """A command that is run on each host, without a shell."""

    check: Literal["command"] = Field(description="how it is found out", examples=["command"])
    run: list[Word] = Field(
        min_length=1, max_length=100, description="the command's words", examples=[["labapp", "-t"]]
    )
    exit_code: int = Field(default=0, ge=0, le=255, description="that it ends with", examples=[0])
    prints: Key | None = Field(default=None, description="what its output fits, with * and ?", examples=["*ready*"])
    timeout: int = Field(default=60, ge=1, le=3600, description="seconds until it has to end", examples=[60])


class HttpCriterion(_Criterion):
    """A page that each host serves."""

    check: Literal["http"] = Field(description="how it is found out", examples=["http"])
    port: int = Field(ge=1, le=65535, description="TCP port on the host", examples=[8080])
    path: UrlPath = Field(default="/", description="path of the page", examples=["/health"])
    tls: bool = Field(
        default=False, description="whether to speak TLS; the certificate is not checked", examples=[True]
    )
    status: int = Field(default=200, ge=100, le=599, description="that it answers", examples=[200])
    contains: Text | None = Field(default=None, description="text that the answer holds", examples=["ok"])


class JunitCriterion(_Criterion):
    """The report of a test runner, as JUnit writes it: every test passed, and there are enough of them."""

    check: Literal["junit"] = Field(description="how it is found out", examples=["junit"])
    at_least: int = Field(default=1, ge=1, le=1_000_000, description="tests that have to have passed", examples=[25])


class MeasureCriterion(_Criterion):
    """Something that was measured, held against its limits."""

    check: Literal["measure"] = Field(description="how it is found out", examples=["measure"])
    unit: Text = Field(description="of the limits and of what is measured", examples=["ms"])
    at_least: float | None = Field(default=None, description="the lowest that may be", examples=[99.5])
    at_most: float | None = Field(default=None, description="the highest that may be", examples=[200.0])

    @model_validator(mode="after")
    def _a_limit(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a measure needs at_least, at_most or both")
        return self


class ManualCriterion(_Criterion):
    """Something that a person does and looks at."""

    check: Literal["manual"] = Field(description="how it is found out", examples=["manual"])
    instructions: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] = Field(
        description="what to do, and what to look for", examples=["Open the start page and log in."]
    )
    evidence: bool = Field(default=False, description="whether a file has to show it", examples=[True])


Criterion = Annotated[
    Annotated[StateCriterion, Tag("state")]
    | Annotated[CommandCriterion, Tag("command")]
    | Annotated[HttpCriterion, Tag("http")]
    | Annotated[JunitCriterion, Tag("junit")]
    | Annotated[MeasureCriterion, Tag("measure")]
    | Annotated[ManualCriterion, Tag("manual")],
    told_by("check", "state", "command", "http", "junit", "measure", "manual"),
]
ON_HOSTS = (StateCriterion, CommandCriterion, HttpCriterion)  # looked at on every host of the rehearsal


def judge_state(criterion: StateCriterion, sections: Mapping[str, Section], os_row: Row | None) -> Result | None:
    """Return what the audit of a host says of a criterion; None when it is not for hosts like this one."""
    expectation = criterion.expectation()
    if not applicable([expectation], os_row):
        return None
    section = sections.get(criterion.section)
    if section is None or section.status == FAILED:
        reason = (section.error if section else "") or "the audit does not have it"
        return Result(Outcome.UNKNOWN, f"{criterion.section} could not be read: {reason}")
    covered = {key: row for key, row in section.rows.items() if fits(criterion.key, key)}
    if not covered and section.error:  # read in part: what is not seen may be there
        return Result(Outcome.UNKNOWN, f"{criterion.section} was read in part: {section.error}")
    return _held(expectation, covered)


def _held(expectation: Expectation, covered: Mapping[str, Row]) -> Result:
    if not covered:
        wrong = expectation.mismatches(None) if expectation.after != "any" else [None]
        return Result(Outcome.FAILED, f"{expectation.key} is not there") if wrong else Result(Outcome.PASSED, "absent")
    for key, row in sorted(covered.items()):
        for mismatch in expectation.mismatches(row):
            what = f"{key} {mismatch.field}".rstrip()
            has = f"is {str(row[mismatch.field])[:80]}" if mismatch.field in row else "is there"
            return Result(Outcome.FAILED, f"{what} {has}, wanted {mismatch.authorised}")
    return Result(Outcome.PASSED, ", ".join(sorted(covered)[:3]) + (" …" if len(covered) > 3 else ""))


def judge_command(criterion: CommandCriterion, exit_code: int, output: str) -> Result:
    """Return what a command that was run says of its criterion; `output` is its beginning, standard output only."""
    if exit_code != criterion.exit_code:
        return Result(Outcome.FAILED, f"exit code {exit_code}, wanted {criterion.exit_code}")
    if criterion.prints is not None and not fits(criterion.prints, output.strip()):
        return Result(Outcome.FAILED, f"printed {_short(output)}, wanted {criterion.prints}")
    return Result(Outcome.PASSED, f"exit code {exit_code}")


def judge_answer(criterion: HttpCriterion, status: int, text: str) -> Result:
    """Return what a server's answer says of its criterion; `text` is the beginning of the answer."""
    if status != criterion.status:
        return Result(Outcome.FAILED, f"answered {status}, wanted {criterion.status}")
    if criterion.contains is not None and criterion.contains not in text:
        return Result(Outcome.FAILED, f"answered {_short(text)}, wanted {criterion.contains} in it")
    return Result(Outcome.PASSED, f"answered {status}")


def judge_measure(criterion: MeasureCriterion, value: float, unit: str) -> Result:
    """Return what a measured value says of its criterion; a value in another unit says nothing."""
    if unit != criterion.unit:
        return Result(Outcome.UNKNOWN, f"measured in {unit}, the criterion is in {criterion.unit}")
    low = criterion.at_least is None or value >= criterion.at_least
    high = criterion.at_most is None or value <= criterion.at_most
    limits = [f"at least {criterion.at_least:g}"] if criterion.at_least is not None else []
    limits += [f"at most {criterion.at_most:g}"] if criterion.at_most is not None else []
    outcome = Outcome.PASSED if low and high else Outcome.FAILED
    return Result(outcome, f"{value:g} {unit} ({', '.join(limits)})")


def judge_tests(criterion: JunitCriterion, passed: int, failed: int, skipped: int) -> Result:
    """Return what a test report says of its criterion."""
    said = f"{passed} passed, {failed} failed, {skipped} skipped"
    if failed:
        return Result(Outcome.FAILED, said)
    enough = passed >= criterion.at_least
    return Result(Outcome.PASSED, said) if enough else Result(Outcome.FAILED, f"{said}; wanted {criterion.at_least}")


class Told(NamedTuple):
    """A result that is on record: of which criterion, on which host ("" where it is of none)."""

    criterion: str
    host: str
    outcome: Outcome


class Summary(NamedTuple):
    """How the criteria of a package came out together."""

    passed: bool
    detail: str
    open: tuple[str, ...]  # criteria without a result
    failed: tuple[str, ...]


def summarise(criteria: Sequence[Any], results: Sequence[Told]) -> Summary:
    """Return how the criteria came out: passed only when each of them has results, and all of these passed."""
    by_criterion: dict[str, list[Outcome]] = {}
    for result in results:
        by_criterion.setdefault(result.criterion, []).append(result.outcome)
    missing = tuple(c.id for c in criteria if not by_criterion.get(c.id))
    bad = tuple(c.id for c in criteria if any(o is not Outcome.PASSED for o in by_criterion.get(c.id, ())))
    good = len(criteria) - len(missing) - len(bad)
    parts = [f"{good} of {len(criteria)} criteria passed"]
    parts += [f"not passed: {', '.join(bad[:5])}"] if bad else []
    parts += [f"without a result: {', '.join(missing[:5])}"] if missing else []
    return Summary(not missing and not bad, "; ".join(parts), missing, bad)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:60]}…"' if len(line) > 60 else f'"{line}"'
