"""What people put on record about a release, over HTTP: things done, known errors, waivers of gates, rejection."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import Reads, Records, Tests
from ..foundation.schema import GivenMoment, Moment
from .known_errors import Severity
from .record_service import NewError, RecordService
from .routes import Reason, Releases, ReleaseSummary, summary
from .tables import GateRecord, GateWaiver, KnownError

router = APIRouter(prefix="/api/v1", tags=["releases"])


def _service(request: Request) -> RecordService:
    service: RecordService = request.app.state.services.records
    return service


Service = Annotated[RecordService, Depends(_service)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class RecordOrder(BaseModel):
    """That something was done, and how it came out."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"of": "security-scan", "passed": True, "note": "0 findings"}]}
    )

    of: str = Field(max_length=60)
    passed: bool
    note: str = Field(default="", max_length=2000)
    artifact: Digest | None = Field(default=None, description="SHA-256 of the report, in the library")


class RecordView(BaseModel):
    """That something was done, and how it came out."""

    of: str = Field(examples=["security-scan"])
    passed: bool = Field(examples=[True])
    note: str = Field(examples=["0 findings"])
    package: str = Field(examples=["52d8…"])
    artifact: str | None = Field(examples=[None])
    recorded_at: Moment
    recorded_by: str = Field(examples=["ci"])


class ErrorOrder(BaseModel):
    """A known error."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"title": "loses its settings", "severity": "high"}]}
    )

    title: str = Field(min_length=1, max_length=200)
    severity: Severity
    workaround: str = Field(default="", max_length=5000)
    component: str = Field(default="", max_length=200)


class Resolution(BaseModel):
    """What became of a known error."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"state": "fixed", "resolution": "built anew"}]}
    )

    state: Literal["fixed", "accepted"]
    resolution: str = Field(min_length=1, max_length=2000)


class ErrorView(BaseModel):
    """A known error."""

    id: int = Field(examples=[3])
    title: str = Field(examples=["loses its settings"])
    severity: str = Field(examples=["high"])
    state: str = Field(examples=["open"])
    workaround: str = Field(examples=["Keep a copy of /etc/labapp.conf."])
    component: str = Field(examples=["labapp"])
    package: str = Field(examples=["52d8…"])
    resolution: str = Field(examples=[""])
    found_at: Moment
    found_by: str = Field(examples=["tess"])
    resolved_at: Moment | None
    resolved_by: str | None = Field(examples=[None])


class WaiverOrder(BaseModel):
    """A gate that a release is to be let through without."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"gate": "document design", "reason": "as 1.0", "expires_at": "2026-12-24T00:00:00Z"}]
        },
    )

    gate: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=2000)
    expires_at: GivenMoment


class WaiverView(BaseModel):
    """A waiver: asked for, and granted by a second person or not yet."""

    id: int = Field(examples=[2])
    gate: str = Field(examples=["document design"])
    reason: str = Field(examples=["as 1.0"])
    asked_by: str = Field(examples=["alice"])
    asked_at: Moment
    granted_by: str | None = Field(examples=["carol"])
    granted_at: Moment | None
    expires_at: Moment


@router.post("/releases/{name}/{version}/rejection")
def reject(name: str, version: str, order: Reason, actor: Tests, releases: Releases) -> ReleaseSummary:
    """Send a release that is in test back to be built anew."""
    return summary(releases.reject(name, version, order.reason, actor))


@router.get("/releases/{name}/{version}/records")
def list_records(name: str, version: str, actor: Reads, records: Service) -> list[RecordView]:
    """Return what was put on record, the newest first."""
    return [_record(record) for record in records.records(name, version)]


@router.post("/releases/{name}/{version}/records", status_code=201)
def record(name: str, version: str, order: RecordOrder, actor: Records, records: Service) -> RecordView:
    """Put on record that something was done for the present package."""
    return _record(records.record(name, version, order.of, order.passed, order.note, order.artifact, actor))


@router.get("/releases/{name}/{version}/known-errors")
def list_errors(name: str, version: str, actor: Reads, records: Service) -> list[ErrorView]:
    """Return the known errors of a release, the newest first."""
    return [_error(error) for error in records.known_errors(name, version)]


@router.post("/releases/{name}/{version}/known-errors", status_code=201)
def report(name: str, version: str, order: ErrorOrder, actor: Records, records: Service) -> ErrorView:
    """Write a known error of the present package down."""
    given = NewError(order.title, order.severity, order.workaround, order.component)
    return _error(records.report(name, version, given, actor))


@router.post("/known-errors/{number}/resolution")
def resolve(number: int, order: Resolution, actor: Records, records: Service) -> ErrorView:
    """Say that a known error is fixed, or accepted as it is."""
    return _error(records.resolve(number, order.state, order.resolution, actor))


@router.get("/releases/{name}/{version}/waivers")
def list_waivers(name: str, version: str, actor: Reads, records: Service) -> list[WaiverView]:
    """Return the waivers of a release, the newest first."""
    return [_waiver(waiver) for waiver in records.waivers(name, version)]


@router.post("/releases/{name}/{version}/waivers", status_code=201)
def ask_waiver(name: str, version: str, order: WaiverOrder, actor: Records, records: Service) -> WaiverView:
    """Ask for a gate to be waived; a second person grants it."""
    return _waiver(records.ask_waiver(name, version, order.gate, order.reason, order.expires_at, actor))


@router.post("/waivers/{number}/grant")
def grant_waiver(number: int, actor: Records, records: Service) -> WaiverView:
    """Grant a waiver that somebody else asked for."""
    return _waiver(records.grant_waiver(number, actor))


def _record(row: GateRecord) -> RecordView:
    return RecordView(**row.model_dump(include=set(RecordView.model_fields)))


def _error(row: KnownError) -> ErrorView:
    return ErrorView(**row.model_dump(include=set(ErrorView.model_fields)))


def _waiver(row: GateWaiver) -> WaiverView:
    names: dict[str, Any] = {"asked_by": row.asked_by_name, "granted_by": row.granted_by_name or None}
    return WaiverView(**{**row.model_dump(include=set(WaiverView.model_fields)), **names})
