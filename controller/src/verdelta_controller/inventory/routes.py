"""Audits, snapshots and deltas over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from verdelta_agent.delta import Delta
from verdelta_agent.model import OK

from ..access.http import Audits, ManagesHosts, Reads
from ..fleet.enrolling import Bootstrap
from ..fleet.service import FleetService
from ..fleet.tables import Host
from ..foundation.errors import NotFound
from ..foundation.schema import Moment
from .auditing import Auditor
from .device_names import DeviceNames, Names
from .service import InventoryService
from .tables import Snapshot

router = APIRouter(prefix="/api/v1", tags=["inventory"])


def _inventory(request: Request) -> InventoryService:
    service: InventoryService = request.app.state.services.inventory
    return service


def _fleet(request: Request) -> FleetService:
    service: FleetService = request.app.state.services.fleet
    return service


def _auditor(request: Request) -> Auditor:
    service: Auditor = request.app.state.services.auditor
    return service


def _bootstrap(request: Request) -> Bootstrap:
    service: Bootstrap = request.app.state.services.bootstrap
    return service


def _device_names(request: Request) -> DeviceNames:
    names: DeviceNames = request.app.state.services.device_names
    return names


Inventory = Annotated[InventoryService, Depends(_inventory)]
Fleet = Annotated[FleetService, Depends(_fleet)]
Auditors = Annotated[Auditor, Depends(_auditor)]
DevicesNamed = Annotated[DeviceNames, Depends(_device_names)]
Bootstraps = Annotated[Bootstrap, Depends(_bootstrap)]


class SnapshotView(BaseModel):
    """What a host looked like, without its rows."""

    id: int = Field(examples=[12])
    root: str = Field(examples=["7d96d5fb…"], description="digest of everything stable")
    agent: str = Field(examples=["0.1.0"])
    taken_at: str = Field(examples=["2026-11-22T02:14:07Z"], description="the host's own clock")
    received_at: Moment
    confirmed_at: Moment = Field(description="when the host last looked like this")
    envelope: str = Field(examples=["1f60…"], description="digest of the signed message that brought it")
    sections: dict[str, dict[str, str | None]] = Field(
        examples=[{"software.dpkg": {"status": "ok", "digest": "9f2c…", "error": None}}]
    )


class SectionView(BaseModel):
    """One section of a host with its rows."""

    status: str = Field(examples=["ok"], description="ok, absent (the host has no such thing) or failed")
    error: str | None = Field(examples=[None], description="why it failed, or what is missing from it")
    rows: dict[str, dict[str, Any]] = Field(examples=[{"labapp:all": {"version": "1.1", "hold": False}}])
    volatile: dict[str, dict[str, Any]] = Field(examples=[{}], description="shown, and never compared")
    names: dict[str, Names] = Field(
        examples=[{"0000:00:19.0": {"vendor": "Intel Corporation"}}],
        description="what the controller calls the ids in the rows, by key and field, where it knows; no evidence",
    )


class InventoryView(BaseModel):
    """What a host looks like, with its rows."""

    host: str = Field(examples=["web-07"])
    root: str = Field(examples=["7d96d5fb…"], description="digest of everything stable")
    taken_at: str = Field(examples=["2026-11-22T02:14:07Z"], description="the host's own clock")
    sections: dict[str, SectionView]


class ChangeView(BaseModel):
    """One row that is not as it was."""

    section: str = Field(examples=["software.dpkg"])
    key: str = Field(examples=["labapp:all"])
    op: str = Field(examples=["changed"])
    before: dict[str, Any] | None = Field(examples=[{"version": "1.0"}])
    after: dict[str, Any] | None = Field(examples=[{"version": "1.1"}])
    before_names: Names = Field(examples=[{}], description="what the controller calls the ids in it, where it knows")
    after_names: Names = Field(examples=[{}], description="of the row after; no evidence, and never compared")


class DeltaView(BaseModel):
    """The exact difference of two snapshots."""

    before: str = Field(examples=["7d96d5fb…"])
    after: str = Field(examples=["c1aa90e2…"])
    changes: list[ChangeView]
    unknown: list[str] = Field(examples=[["software.pip"]], description="sections that could not be compared")
    partial: list[str] = Field(
        examples=[["system.files"]], description="sections that were compared, of which one side was read in part only"
    )
    sections: int = Field(description="sections of the later snapshot", examples=[19])


class AuditView(BaseModel):
    """A fresh audit: the state, and what is different from the last known one."""

    host: str = Field(examples=["web-07"])
    snapshot: SnapshotView
    delta: DeltaView | None = Field(description="None on the first audit of a host")


class InstalledView(AuditView):
    """An agent just installed on a host, and its first audit."""

    reports_to: str = Field(
        examples=["https://deploy.example.org:8470"],
        description="where its nightly timer reports; empty when it has none and only answers over SSH",
    )


@router.post("/hosts/{name}/audits", status_code=201)
def audit(
    name: str, actor: Audits, fleet: Fleet, inventory: Inventory, auditor: Auditors, names: DevicesNamed
) -> AuditView:
    """Ask a host for a fresh, signed audit."""
    host = fleet.host_named(name)
    return _audited(host, auditor, inventory, names)


@router.post("/hosts/{name}/bootstrap")
def bootstrap(
    name: str,
    actor: ManagesHosts,
    fleet: Fleet,
    bootstraps: Bootstraps,
    auditor: Auditors,
    inventory: Inventory,
    names: DevicesNamed,
) -> InstalledView:
    """Install the agent on a host over SSH, enrol it, and audit the host: what came with the agent is known then."""
    audited = _audited(bootstraps.bootstrap(fleet.host_named(name)), auditor, inventory, names)
    return InstalledView(**dict(audited), reports_to=bootstraps.url)


def _audited(host: Host, auditor: Auditor, inventory: InventoryService, names: DeviceNames) -> AuditView:
    known = inventory.last_known(host.id)
    snapshot = auditor.audit(host).snapshot
    if snapshot is None:
        raise NotFound(f"{host.name}: the audit did not bring every section")
    delta = None if known is None else delta_view(inventory.compare(known, snapshot), known, snapshot, names)
    return AuditView(host=host.name, snapshot=snapshot_view(snapshot), delta=delta)


@router.get("/hosts/{name}/snapshots")
def list_snapshots(
    name: str, actor: Reads, fleet: Fleet, inventory: Inventory, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> list[SnapshotView]:
    """Return the states that a host was in, the newest first."""
    return [snapshot_view(found) for found in inventory.snapshots(fleet.host_named(name).id, limit)]


@router.get("/hosts/{name}/inventory")
def show_inventory(
    name: str,
    actor: Reads,
    fleet: Fleet,
    inventory: Inventory,
    names: DevicesNamed,
    section: Annotated[list[str], Query()] = [],  # noqa: B006
) -> InventoryView:
    """Return what a host looks like, with all rows or those of some sections."""
    host = fleet.host_named(name)
    snapshot = inventory.last_known(host.id)
    if snapshot is None:
        raise NotFound(f"{name} was never audited", mend=f"verdelta audit {name}")
    sections = {
        shown: SectionView(
            status=s.status, error=s.error, rows=s.rows, volatile=s.volatile, names=names.of_rows(shown, s.rows)
        )
        for shown, s in inventory.sections_of(snapshot, section or None).items()
    }
    return InventoryView(host=name, root=snapshot.root, taken_at=snapshot.taken_at, sections=sections)


@router.get("/hosts/{name}/delta")
def show_delta(
    name: str,
    actor: Reads,
    fleet: Fleet,
    inventory: Inventory,
    names: DevicesNamed,
    before: int | None = None,
    after: int | None = None,
) -> DeltaView:
    """Return the difference of two snapshots of a host; the last two states when nothing is said."""
    host = fleet.host_named(name)
    states = inventory.snapshots(host.id, 2)
    if before is None and len(states) < 2:
        raise NotFound(f"{name} has been in one state since its first audit: there is nothing to compare")
    old = _of(host.id, inventory.snapshot(before)) if before is not None else states[1]
    new = _of(host.id, inventory.snapshot(after)) if after is not None else states[0]
    return delta_view(inventory.compare(old, new), old, new, names)


def _of(host_id: str, snapshot: Snapshot) -> Snapshot:
    if snapshot.host_id != host_id:
        raise NotFound(f"snapshot {snapshot.id} is of another host")
    return snapshot


def snapshot_view(snapshot: Snapshot) -> SnapshotView:
    """Return a snapshot as it is shown."""
    return SnapshotView(
        id=snapshot.id or 0,
        root=snapshot.root,
        agent=snapshot.agent,
        taken_at=snapshot.taken_at,
        received_at=snapshot.received_at,
        confirmed_at=snapshot.confirmed_at,
        envelope=snapshot.envelope_digest,
        sections={
            name: {"status": status, "digest": digest, "error": error}
            for name, (status, digest, error) in snapshot.sections.items()
        },
    )


def delta_view(delta: Delta, before: Snapshot, after: Snapshot, names: DeviceNames) -> DeltaView:
    """Return the delta of two snapshots as it is shown, with all that it does not show."""
    sections = [*before.sections.items(), *after.sections.items()]
    return DeltaView(
        before=delta.before,
        after=delta.after,
        changes=[
            ChangeView(
                section=c.section,
                key=c.key,
                op=c.op,
                before=c.before,
                after=c.after,
                before_names=names.of(c.section, c.before),
                after_names=names.of(c.section, c.after),
            )
            for c in delta.changes
        ],
        unknown=delta.unknown,
        partial=sorted({name for name, (status, _, error) in sections if status == OK and error} - set(delta.unknown)),
        sections=len(after.sections),
    )
