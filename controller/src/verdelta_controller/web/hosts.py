"""The pages about hosts: all of them, one with its history, and what it looks like."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from verdelta_agent.model import FAILED, OK, Digested, Rows

from ..access.http import Reads
from ..fleet import host_keys
from ..fleet.tables import Host
from ..foundation.errors import NotFound
from ..inventory.service import InventoryService, LastAudit, digested
from ..inventory.tables import Snapshot
from ..rollouts.judging import os_row
from . import text, timeline
from .paging import Number, Offset, Page
from .rendering import render
from .state import Services, services_of

router = APIRouter()

HOSTS = 100  # a page
STATES = 10  # of a host's history, a page
CHANGES = 40  # of one state in the history; the page of that change has the rest
CHANGES_ALONE = 500
ROWS = 200
COLUMNS = 8  # of a section; where most rows have more fields than that, each row is written out

Text = Annotated[str, Query(max_length=200)]


class Reading(NamedTuple):
    """How far one section of a host could be read."""

    name: str
    status: str  # ok, partial, absent or failed
    error: str | None
    accepted: bool  # its operator does without it

    @property
    def is_gap(self) -> bool:
        """Return whether something in this section may have changed unseen."""
        return self.status in ("failed", "partial")


class Line(NamedTuple):
    """One host in the list."""

    host: Host
    audit: LastAudit | None
    gaps: list[Reading]
    deployment: dict[str, Any] | None


@router.get("/")
def hosts(
    request: Request, actor: Reads, q: Text = "", group: Text = "", environment: Text = "", offset: Offset = 0
) -> Response:
    """Return the hosts, by name, a hundred a page."""
    services = services_of(request)
    found = services.fleet.search(q.strip(), group.strip(), environment.strip(), HOSTS, offset)
    ids = [host.id for host in found.hosts]
    audits, deployments = services.inventory.last_audits(ids), services.overview.newest_on(ids)
    lines = [_line(host, audits.get(host.id), deployments.get(host.id)) for host in found.hosts]
    page = Page(offset, len(lines), found.total, HOSTS)
    wanted = {"q": q, "group": group, "environment": environment}
    return render(request, "hosts.html", lines=lines, page=page, wanted=wanted)


@router.get("/hosts/{name}")
def host(
    request: Request, actor: Reads, name: str, before: Annotated[int | None, Query(ge=0, le=1 << 62)] = None
) -> Response:
    """Return one host: what it is, how it changed, how far it can be read, and what was deployed to it."""
    services = services_of(request)
    found = services.fleet.host_named(name)
    current = services.inventory.last_known(found.id)
    entries, older = _history(services, found, before)
    return render(
        request,
        "host.html",
        host=found,
        fingerprint=host_keys.fingerprint(found.host_key) if found.host_key else None,
        current=current,
        system=_system(services.inventory, current),
        readings=readings(digested(current), found) if current else [],
        entries=entries,
        older=older,
        before=before,
        listed=CHANGES,
        by_section=timeline.by_section,
        deployments=services.rollouts.history_of(found),
    )


@router.get("/hosts/{name}/changes/{snapshot_id}")
def changes(request: Request, actor: Reads, name: str, snapshot_id: Number, offset: Offset = 0) -> Response:
    """Return everything that was different when a host came into one of its states."""
    services = services_of(request)
    found = services.fleet.host_named(name)
    states = services.inventory.snapshots(found.id, 2, snapshot_id + 1)
    if len(states) < 2 or states[0].id != snapshot_id:
        raise NotFound(f"{name} did not change into a state {snapshot_id}", mend="Its page has all of its changes.")
    around = services.overview.between(found.id, states[1].id or 0, snapshot_id)
    entry = _entry(services, states[0], states[1], around)
    page = Page(offset, len(entry.changes[offset : offset + CHANGES_ALONE]), len(entry.changes), CHANGES_ALONE)
    groups = timeline.by_section(entry.changes[offset : offset + CHANGES_ALONE])
    return render(request, "changes.html", host=found, entry=entry, groups=groups, page=page)


@router.get("/hosts/{name}/inventory/{section}")
def section(request: Request, actor: Reads, name: str, section: str, q: Text = "", offset: Offset = 0) -> Response:
    """Return the rows of one section, as the host was last seen."""
    services = services_of(request)
    found = services.fleet.host_named(name)
    current = services.inventory.last_known(found.id)
    if current is None or section not in current.sections:
        raise NotFound(f"{name} has reported no section {section}", mend=f"verdelta audit {name}")
    whole = services.inventory.sections_of(current, [section])[section]
    names = services.device_names.of_rows(section, whole.rows)
    rows = {key: row for key, row in sorted(whole.rows.items()) if _has(q.strip(), key, row, names.get(key, {}))}
    chosen = dict(list(rows.items())[offset : offset + ROWS])
    common = columns(chosen)
    return render(
        request,
        "section.html",
        host=found,
        current=current,
        reading=next(reading for reading in readings(digested(current), found) if reading.name == section),
        rows=chosen,
        names=names,
        columns=common,
        has_more=any(set(row) - set(common) for row in chosen.values()),
        volatile=dict(list(whole.volatile.items())[:ROWS]),
        page=Page(offset, len(chosen), len(rows), ROWS),
        q=q,
    )


def readings(sections: Mapping[str, Digested], of: Host) -> list[Reading]:
    """Return how far each section could be read, by name."""
    return [
        Reading(name, "partial" if one.status == OK and one.error else one.status, one.error, name in of.accepted_gaps)
        for name, one in sorted(sections.items())
    ]


def columns(rows: Rows) -> list[str]:
    """Return the fields that make the columns of a table: those of most rows, or none where they would not fit."""
    counted = Counter(name for row in rows.values() for name in row)
    common = sorted(name for name, count in counted.items() if count * 2 >= len(rows))
    return common if len(common) <= COLUMNS else []


def _line(of: Host, audit: LastAudit | None, deployment: dict[str, Any] | None) -> Line:
    gaps = [reading for reading in readings(audit.sections, of) if reading.is_gap] if audit else []
    return Line(of, audit, gaps, deployment)


def _history(services: Services, of: Host, before: int | None) -> tuple[list[timeline.Entry], int | None]:
    """Return some states of a host, and the state before which the next page begins, if there is one."""
    states = services.inventory.snapshots(of.id, STATES + 1, before)
    around = services.overview.between(of.id, states[-1].id or 0, states[0].id or 0) if states else []
    pairs = zip(states[:STATES], [*states[1:], None], strict=False)
    entries = [_entry(services, after, earlier, around) for after, earlier in pairs]
    return entries, states[STATES - 1].id if len(states) > STATES else None


def _entry(
    services: Services, after: Snapshot, earlier: Snapshot | None, around: list[dict[str, Any]]
) -> timeline.Entry:
    delta = services.inventory.compare(earlier, after) if earlier is not None else None
    return timeline.entry(after, earlier, delta, around, services.device_names.of)


def _system(inventory: InventoryService, current: Snapshot | None) -> Mapping[str, Any]:
    """Return what a host says of its operating system."""
    if current is None or current.sections.get("system.host", [FAILED])[0] == FAILED:
        return {}
    return os_row(inventory.sections_of(current, ["system.host"])) or {}


def _has(wanted: str, key: str, row: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    said = [key, *(text.value(one) for one in row.values()), *names.values()]
    return not wanted or any(wanted.casefold() in one.casefold() for one in said)
