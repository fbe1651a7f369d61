"""Roll-outs over HTTP, and live."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import Deploys, Reads
from ..fleet.service import FleetService
from ..foundation.errors import InvalidInput
from ..foundation.events import EventBus
from .bundle_export import Exporter
from .release_evidence_export import ReleaseExporter
from .service import RolloutService
from .states import RolloutState

router = APIRouter(prefix="/api/v1", tags=["roll-outs"])

HEARTBEAT = 15.0  # seconds without news after which the state is sent again, which also finds out who has gone


def _service(request: Request) -> RolloutService:
    service: RolloutService = request.app.state.services.rollouts
    return service


def _fleet(request: Request) -> FleetService:
    service: FleetService = request.app.state.services.fleet
    return service


def _events(request: Request) -> EventBus:
    bus: EventBus = request.app.state.services.events
    return bus


def _exporter(request: Request) -> Exporter:
    exporter: Exporter = request.app.state.services.exporter
    return exporter


Rollouts = Annotated[RolloutService, Depends(_service)]
Fleet = Annotated[FleetService, Depends(_fleet)]
Events = Annotated[EventBus, Depends(_events)]


def _release_exporter(request: Request) -> ReleaseExporter:
    exporter: ReleaseExporter = request.app.state.services.release_exporter
    return exporter


ReleaseExporters = Annotated[ReleaseExporter, Depends(_release_exporter)]
Exporters = Annotated[Exporter, Depends(_exporter)]


class RolloutOrder(BaseModel):
    """A release, and the hosts that it goes to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"release": "labapp", "version": "1.1", "group": "web", "wave_size": 10}]},
    )

    release: str = Field(max_length=100)
    version: str = Field(max_length=100)
    hosts: list[str] = Field(default=[], max_length=10_000)
    group: str = Field(default="", max_length=63)
    environment: str = Field(default="", max_length=63)
    wave_size: int = Field(default=0, ge=0, le=10_000, description="hosts a wave; 0 is one wave of all")


class BackOutOrder(BaseModel):
    """Which hosts to take back; all that were installed on when none is named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"hosts": ["web-07"]}]})

    hosts: list[str] = Field(default=[], max_length=10_000)


class RolloutSummary(BaseModel):
    """One line about a roll-out."""

    id: int = Field(examples=[12])
    release: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    purpose: str = Field(examples=["deployment"], description="deployment, or rehearsal")
    state: str = Field(examples=["suspended"])
    reason: str = Field(examples=[""], description="why it is held up, where that is no host's doing")
    cancelled: bool = Field(examples=[False])
    created_at: str = Field(examples=["2026-11-22T02:14:07Z"])
    created_by: str = Field(examples=["ci"])
    ended_at: str | None = Field(examples=[None])


class HostOfRollout(BaseModel):
    """One host of a roll-out and its verdict."""

    host: str = Field(examples=["web-07"])
    wave: int = Field(examples=[1])
    state: str = Field(examples=["at_variance"])
    reason: str = Field(examples=["1 unexpected"])
    install_error: str = Field(examples=[""])
    step: dict[str, str] | None = Field(examples=[{"kind": "changed", "task": "Install the packages"}])
    counts: dict[str, int] = Field(examples=[{"matched": 3, "unexpected": 1, "missing": 0, "drift": 0, "waived": 0}])
    items: list[dict[str, Any]] = Field(
        examples=[
            [{"outcome": "unexpected", "section": "system.users", "key": "eve", "detail": "added, not authorised"}]
        ]
    )
    before_snapshot: int | None = Field(examples=[12])
    after_snapshot: int | None = Field(examples=[13])
    installed_at: str | None = Field(examples=["2026-11-22T02:14:07Z"])
    concluded_at: str | None = Field(examples=["2026-11-22T02:14:09Z"])


class WaveView(BaseModel):
    """A wave and its hosts."""

    number: int = Field(examples=[1])
    state: str = Field(examples=["paused"])
    hosts: list[HostOfRollout]


class RolloutView(RolloutSummary):
    """A roll-out with its waves and hosts."""

    counts: dict[str, int] = Field(examples=[{"verified": 9, "at_variance": 1}])
    hosts_total: int = Field(examples=[40])
    hosts_ended: int = Field(examples=[14])
    waves: list[WaveView]


@router.get("/rollouts")
def list_rollouts(actor: Reads, rollouts: Rollouts) -> list[RolloutSummary]:
    """Return the roll-outs, the newest first."""
    return [RolloutSummary(**summary) for summary in rollouts.summaries()]


@router.post("/rollouts", status_code=201)
def start(order: RolloutOrder, actor: Deploys, rollouts: Rollouts, fleet: Fleet) -> RolloutView:
    """Begin to roll a release out."""
    if not (order.hosts or order.group or order.environment):
        raise InvalidInput("a roll-out needs at least one host", mend="Name hosts, a group or an environment.")
    hosts = fleet.hosts(order.hosts, order.group, order.environment)
    number = rollouts.start(order.release, order.version, hosts, order.wave_size, actor)
    return RolloutView(**rollouts.view(number))


@router.get("/rollouts/{rollout_id}")
def show(rollout_id: int, actor: Reads, rollouts: Rollouts) -> RolloutView:
    """Return one roll-out with its waves and hosts."""
    return RolloutView(**rollouts.view(rollout_id))


@router.get("/rollouts/{rollout_id}/hosts/{host}")
def show_host(rollout_id: int, host: str, actor: Reads, rollouts: Rollouts) -> HostOfRollout:
    """Return one host of a roll-out with its verdict, item by item."""
    return HostOfRollout(**rollouts.host_view(rollout_id, host))


@router.post("/rollouts/{rollout_id}/resume")
def resume(rollout_id: int, actor: Deploys, rollouts: Rollouts) -> RolloutView:
    """Go on with a suspended roll-out."""
    rollouts.resume(rollout_id, actor.name)
    return RolloutView(**rollouts.view(rollout_id))


@router.post("/rollouts/{rollout_id}/cancel")
def cancel(rollout_id: int, actor: Deploys, rollouts: Rollouts) -> RolloutView:
    """Stop a roll-out."""
    rollouts.cancel(rollout_id, actor.name)
    return RolloutView(**rollouts.view(rollout_id))


@router.post("/rollouts/{rollout_id}/back-out")
def back_out(rollout_id: int, order: BackOutOrder, actor: Deploys, rollouts: Rollouts) -> RolloutView:
    """Take hosts back to what they were before the roll-out."""
    rollouts.back_out(rollout_id, order.hosts, actor.name)
    return RolloutView(**rollouts.view(rollout_id))


@router.get(
    "/rollouts/{rollout_id}/evidence",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "docs/reference/evidence.md"}},
)
def export(rollout_id: int, actor: Reads, exporter: Exporters) -> Response:
    """Return all that proves a roll-out, as one file that `verdelta verify` checks without this controller."""
    name = f'attachment; filename="rollout-{rollout_id}.evidence.json"'
    return Response(exporter.export(rollout_id), headers={"Content-Disposition": name}, media_type="application/json")


@router.get(
    "/releases/{name}/{version}/evidence",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "docs/reference/evidence.md"}},
)
def export_release(name: str, version: str, actor: Reads, exporter: ReleaseExporters) -> Response:
    """Return all that proves a release, its rehearsals and roll-outs included, as one file for `verdelta verify`."""
    return Response(exporter.export(name, version), media_type="application/json")


def _known(rollout_id: int, actor: Reads, rollouts: Rollouts) -> int:
    """Return the number of a roll-out that there is: when a stream has begun, it is too late to say otherwise."""
    rollouts.summary(rollout_id)
    return rollout_id


@router.get("/rollouts/{rollout_id}/events", response_class=EventSourceResponse)
async def watch(
    rollout_id: Annotated[int, Depends(_known)], request: Request, actor: Reads, rollouts: Rollouts, events: Events
) -> AsyncIterator[ServerSentEvent]:
    """Stream a roll-out as it goes: its whole state at once, and again at each change, until it rests."""
    async with events.watch(f"rollout-{rollout_id}") as changed:
        while True:
            changed.clear()
            view = await asyncio.to_thread(rollouts.view, rollout_id)
            yield ServerSentEvent(event="rollout", data=view)
            if is_at_rest(view) or await request.is_disconnected():
                return
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT)
            except TimeoutError:
                continue


def is_at_rest(view: dict[str, Any]) -> bool:
    """Return whether nothing goes on in a roll-out until somebody asks for it."""
    return view["state"] not in (RolloutState.RUNNING, RolloutState.BACKING_OUT)
