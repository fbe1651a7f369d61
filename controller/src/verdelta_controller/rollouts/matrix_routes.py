"""What version runs where, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from ..access.http import Reads
from ..foundation.schema import Moment
from ..releases.matrix import Cell, HostCell, State, Versions
from .matrix_service import Column, Line, MatrixService

router = APIRouter(prefix="/api/v1/environments", tags=["environments"])

SHOWN = 20  # hosts of one cell, unless all are asked for


def _service(request: Request) -> MatrixService:
    service: MatrixService = request.app.state.services.matrix
    return service


Matrices = Annotated[MatrixService, Depends(_service)]


class ColumnView(BaseModel):
    """An environment, and how fresh the audits are that this is computed from."""

    environment: str = Field(examples=["live"], description="empty for the hosts that are in none")
    stage: str = Field(examples=["live"])
    hosts: int = Field(examples=[40])
    never_audited: int = Field(examples=[0])
    oldest_audit: Moment | None
    newest_audit: Moment | None


class VersionCount(BaseModel):
    """How many hosts have this; of several versions beside each other each is named."""

    versions: list[str] = Field(examples=[["1.1"]])
    hosts: int = Field(examples=[39])


class HostView(BaseModel):
    """What one host has."""

    host: str = Field(examples=["web-07"])
    state: State = Field(examples=["found"])
    versions: list[str] = Field(examples=[["1.0"]])
    expected: str | None = Field(examples=["1.1"], description="what the last verified release there says")
    drift: bool = Field(examples=[True], description="it is known to be otherwise than expected")
    audited_at: Moment | None


class CellView(BaseModel):
    """What an environment has of a component."""

    environment: str = Field(examples=["live"])
    found: list[VersionCount]
    not_there: int = Field(examples=[0])
    not_applicable: int = Field(examples=[0], description="hosts that have no such package manager")
    unknown: int = Field(examples=[0], description="never audited, or it could not be read, or not wholly")
    drift: int = Field(examples=[1])
    common: list[str] | None = Field(
        examples=[["1.1"]], description="what most of them have; empty when it is not there on most, null if unknown"
    )
    hosts: list[HostView] = Field(description="those that differ, drift or are unknown; all when they were asked for")
    left_off: int = Field(examples=[0], description="hosts that would stand there too")


class LineView(BaseModel):
    """A component, and what each environment has of it."""

    manager: str = Field(examples=["deb"])
    package: str = Field(examples=["labapp"])
    releases: list[str] = Field(examples=[["labapp"]], description="the releases that it is part of")
    cells: list[CellView]


class MatrixView(BaseModel):
    """What version runs where, computed from the newest audits."""

    at: Moment
    environments: list[ColumnView]
    components: list[LineView]
    left_off: int = Field(examples=[0], description="components that were too many for one answer")


@router.get("/matrix")
def show_matrix(
    actor: Reads,
    matrices: Matrices,
    release: Annotated[str, Query(max_length=100)] = "",
    hosts: bool = False,
) -> MatrixView:
    """Return what version of each released component runs where: what audits saw, not what records say."""
    found = matrices.matrix(release)
    return MatrixView(
        at=found.at,
        environments=[_column(column) for column in found.columns],
        components=[_line(line, found.columns, hosts) for line in found.lines],
        left_off=found.left_off,
    )


def _column(column: Column) -> ColumnView:
    fields = column._asdict()
    return ColumnView(environment=fields.pop("name"), **fields)


def _line(line: Line, columns: list[Column], every: bool) -> LineView:
    cells = [_cell(column.name, line.cells[column.name], every) for column in columns if column.name in line.cells]
    return LineView(**line.component._asdict(), releases=line.releases, cells=cells)


def _cell(environment: str, cell: Cell, every: bool) -> CellView:
    found = {versions: count for (state, versions), count in cell.counts.items() if state is State.FOUND}
    named = cell.all if every else cell.exceptions[:SHOWN]
    return CellView(
        environment=environment,
        found=[VersionCount(versions=list(versions), hosts=found[versions]) for versions in _most_first(found)],
        not_there=_count(cell, State.NOT_THERE),
        not_applicable=_count(cell, State.NOT_APPLICABLE),
        unknown=_count(cell, State.UNKNOWN),
        drift=cell.drift,
        common=None if cell.common is None else list(cell.common),
        hosts=[_host(one) for one in named],
        left_off=0 if every else len(cell.exceptions) - len(named),
    )


def _most_first(found: dict[Versions, int]) -> list[Versions]:
    return sorted(found, key=lambda versions: (-found[versions], versions))


def _count(cell: Cell, state: State) -> int:
    return sum(count for (one, _), count in cell.counts.items() if one is state)


def _host(cell: HostCell) -> HostView:
    said = cell.finding
    return HostView(
        host=cell.host,
        state=said.state,
        versions=list(said.versions),
        expected=said.expected or None,
        drift=said.drift,
        audited_at=cell.audited_at,
    )
