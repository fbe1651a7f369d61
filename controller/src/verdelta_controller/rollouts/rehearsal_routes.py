"""Rehearsals over HTTP: begin one, see what it changed, accept that, and tell how the criteria came out."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import Reads, Tests
from ..foundation.errors import InvalidInput
from ..foundation.schema import Moment
from ..releases.acceptance import (
    JunitCriterion,
    ManualCriterion,
    MeasureCriterion,
    Outcome,
    Result,
    judge_measure,
    judge_tests,
)
from ..releases.expectations import Expectation
from ..releases.rehearsed import Line
from ..releases.tables import CriterionResult, RehearsedChangeRow
from ..releases.test_service import TestService
from .rehearsals import RehearsalService
from .routes import Fleet, Rollouts, RolloutView

router = APIRouter(prefix="/api/v1", tags=["rehearsals"])


def _rehearsals(request: Request) -> RehearsalService:
    service: RehearsalService = request.app.state.services.rehearsals
    return service


def _tests(request: Request) -> TestService:
    service: TestService = request.app.state.services.tests
    return service


Rehearsals = Annotated[RehearsalService, Depends(_rehearsals)]
Testing = Annotated[TestService, Depends(_tests)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class RehearsalOrder(BaseModel):
    """The hosts that a release is rehearsed on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"environment": "test"}]})

    hosts: list[str] = Field(default=[], max_length=1000)
    group: str = Field(default="", max_length=63)
    environment: str = Field(default="", max_length=63)


class LineView(BaseModel):
    """One thing that a rehearsal was observed to change, as it may be accepted."""

    host_class: str = Field(examples=["debian 12"])
    change: dict[str, Any] = Field(
        examples=[{"section": "software.dpkg", "key": "labapp:all", "after": {"version": "1.1"}}]
    )
    declared: bool = Field(examples=[False], description="whether the manifest declares it")
    hosts: list[str] = Field(examples=[["test-01"]])
    of: int = Field(examples=[2], description="hosts of the class")
    note: str = Field(examples=["not declared in the manifest"])


class ReviewView(BaseModel):
    """What a rehearsal changed, ready to be reviewed line by line."""

    rollout: int = Field(examples=[12])
    package: str = Field(examples=["52d8…"])
    lines: list[LineView]
    missing: list[str] = Field(examples=[[]], description="what was declared, and not seen")
    accepted: str | None = Field(examples=[None], description="digest of what was accepted for this package")


class AcceptOrder(BaseModel):
    """The reviewed lines: all that the release may change."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "package": "5" * 64,
                    "changes": [{"section": "software.dpkg", "key": "labapp:all", "after": {"version": "1.1"}}],
                }
            ]
        },
    )

    package: Digest = Field(description="the package that was reviewed")
    changes: list[Expectation] = Field(min_length=1, max_length=20_000)


class AcceptedView(BaseModel):
    """The rehearsed change, accepted."""

    package: str = Field(examples=["52d8…"])
    rollout: int = Field(examples=[12])
    digest: str = Field(examples=["c1aa…"])
    changes: int = Field(examples=[34])
    accepted_at: Moment
    accepted_by: str = Field(examples=["tess"])


class ResultOrder(BaseModel):
    """How a criterion came out: a measured value, counted tests, or what a person saw."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"passed": True, "note": "as described"}, {"value": 12.5, "unit": "ms"}]},
    )

    passed: bool | None = Field(default=None, description="of a manual step")
    note: str = Field(default="", max_length=400)
    value: float | None = Field(default=None, allow_inf_nan=False, description="of a measure")
    unit: str = Field(default="", max_length=40)
    tests: dict[str, int] | None = Field(default=None, description="passed, failed and skipped, of a test report")
    artifact: Digest | None = Field(default=None, description="SHA-256 of what shows it, in the library")


class ResultView(BaseModel):
    """How a criterion came out on one host, or on none."""

    criterion: str = Field(examples=["answers"])
    host: str = Field(examples=["test-01"])
    outcome: str = Field(examples=["passed"])
    detail: str = Field(examples=["answered 200"])
    artifact: str | None = Field(examples=[None])
    recorded_at: Moment
    recorded_by: str = Field(examples=["rehearsal"])


class CriterionView(BaseModel):
    """A criterion of the package, and how it came out."""

    id: str = Field(examples=["answers"])
    says: str = Field(examples=["The application answers"])
    check: str = Field(examples=["http"])
    criterion: dict[str, Any] = Field(examples=[{"check": "http", "port": 8080}])
    results: list[ResultView]


class TestView(BaseModel):
    """The criteria of a package, and what they come to together."""

    __test__ = False  # not a test

    passed: bool = Field(examples=[False])
    detail: str = Field(examples=["3 of 4 criteria passed; without a result: looks-right"])
    criteria: list[CriterionView]


@router.post("/releases/{name}/{version}/rehearsals", status_code=201)
def rehearse(
    name: str, version: str, order: RehearsalOrder, actor: Tests, rollouts: Rollouts, fleet: Fleet
) -> RolloutView:
    """Begin to rehearse a release on test hosts."""
    if not (order.hosts or order.group or order.environment):
        raise InvalidInput("a rehearsal needs at least one host", mend="Name hosts, a group or an environment.")
    hosts = fleet.hosts(order.hosts, order.group, order.environment)
    return RolloutView(**rollouts.view(rollouts.rehearse(name, version, hosts, actor)))


@router.get("/releases/{name}/{version}/rehearsed-change")
def review(name: str, version: str, actor: Reads, rehearsals: Rehearsals, tests: Testing) -> ReviewView:
    """Return what the newest rehearsal changed, line by line."""
    found = rehearsals.review(name, version)
    accepted = tests.accepted(name, version)
    return ReviewView(
        rollout=found.rollout,
        package=found.package,
        lines=[_line(line) for line in found.lines],
        missing=found.missing,
        accepted=accepted.digest if accepted else None,
    )


@router.post("/releases/{name}/{version}/rehearsed-change", status_code=201)
def accept(name: str, version: str, order: AcceptOrder, actor: Tests, rehearsals: Rehearsals) -> AcceptedView:
    """Accept the reviewed lines as what the release may change."""
    return _accepted(rehearsals.accept(name, version, order.package, order.changes, actor))


@router.get("/releases/{name}/{version}/criteria")
def criteria(name: str, version: str, actor: Reads, tests: Testing) -> TestView:
    """Return the criteria of the present package, and how they came out."""
    criteria, rows, summary = tests.results(name, version)
    return TestView(passed=summary.passed, detail=summary.detail, criteria=[_criterion(one, rows) for one in criteria])


@router.post("/releases/{name}/{version}/criteria/{criterion}/results", status_code=201)
def tell(name: str, version: str, criterion: str, order: ResultOrder, actor: Tests, tests: Testing) -> ResultView:
    """Tell how one criterion came out."""
    known, _, _ = tests.results(name, version)
    result = _result(next((one for one in known if one.id == criterion), None), order)
    return _shown(tests.tell(name, version, criterion, result, order.artifact, actor))


def _result(criterion: Any, order: ResultOrder) -> Result:
    """Return what is told of a criterion.  Raises InvalidInput when it is not what the criterion asks for."""
    if isinstance(criterion, MeasureCriterion) and order.value is not None:
        return judge_measure(criterion, order.value, order.unit)
    if isinstance(criterion, JunitCriterion) and order.tests is not None:
        return judge_tests(criterion, *(max(0, order.tests.get(name, 0)) for name in ("passed", "failed", "skipped")))
    if isinstance(criterion, ManualCriterion) and order.passed is not None:
        return Result(Outcome.PASSED if order.passed else Outcome.FAILED, order.note)
    if criterion is None:
        return Result(Outcome.UNKNOWN, "")  # the service says that there is none
    wanted = {"measure": "a value and its unit", "junit": "a test report", "manual": "whether it passed"}
    if criterion.check not in wanted:
        raise InvalidInput(
            f"{criterion.id} is tried in the rehearsal itself, and nobody tells it",
            mend="verdelta release test NAME VERSION",
        )
    raise InvalidInput(f"{criterion.id} takes {wanted[criterion.check]}")


def _line(line: Line) -> LineView:
    return LineView(
        host_class=line.host_class,
        change=line.expectation.document(),
        declared=line.declared,
        hosts=list(line.hosts),
        of=line.of,
        note=line.note,
    )


def _accepted(row: RehearsedChangeRow) -> AcceptedView:
    return AcceptedView(
        package=row.package,
        rollout=row.rollout_id,
        digest=row.digest,
        changes=len(row.changes),
        accepted_at=row.accepted_at,
        accepted_by=row.accepted_by,
    )


def _criterion(criterion: Any, rows: Sequence[CriterionResult]) -> CriterionView:
    return CriterionView(
        id=criterion.id,
        says=criterion.says,
        check=criterion.check,
        criterion=criterion.model_dump(mode="json", exclude_defaults=True),
        results=[_shown(row) for row in rows if row.criterion == criterion.id],
    )


def _shown(row: CriterionResult) -> ResultView:
    return ResultView(**row.model_dump(include=set(ResultView.model_fields)))
