"""The way of each component from development or purchase to live operation, as packages tell it.  Pure.

A manifest says where a component stands when the package is built; from there the release carries it on: what was
accepted is tested, what is deployed is live.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from .components import Component, Status
from .rules import ReleaseState

_CARRIED = {
    ReleaseState.ACCEPTED: Status.TESTED,
    ReleaseState.AUTHORISED: Status.READY,
    ReleaseState.DEPLOYING: Status.READY,
    ReleaseState.SUSPENDED: Status.READY,
    ReleaseState.DEPLOYED: Status.LIVE,
    ReleaseState.EARLY_LIFE_SUPPORT: Status.LIVE,
    ReleaseState.CLOSED: Status.LIVE,
}
_ORDER = list(Status)


class Built(NamedTuple):
    """One package of a release, and where the release stands with it (None: it was built anew since)."""

    version: str
    package: str
    built_at: datetime
    state: ReleaseState | None
    components: tuple[Component, ...]


class Step(NamedTuple):
    """A component as one package has it."""

    component: str
    kind: str
    version: str
    status: str  # "" where nobody said anything, and the release did not carry it on
    owner: str
    release_version: str
    package: str
    built_at: datetime


def history(packages: Iterable[Built], named: str = "") -> list[Step]:
    """Return every step of every component, or of the one named, by component and time: what differs is a step."""
    steps: dict[str, list[Step]] = {}
    for built in sorted(packages, key=lambda one: one.built_at):
        for component in built.components:
            if named and component.label != named:
                continue
            step = _step(component, built)
            known = steps.setdefault(component.label, [])
            if not known or _said(known[-1]) != _said(step):
                known.append(step)
    return [step for label in sorted(steps) for step in steps[label]]


def _step(component: Component, built: Built) -> Step:
    return Step(
        component=component.label,
        kind=component.kind.value,
        version=component.version,
        status=_status(component, built.state),
        owner=component.owner or "",
        release_version=built.version,
        package=built.package,
        built_at=built.built_at,
    )


def _status(component: Component, state: ReleaseState | None) -> str:
    """Return the status that was written, or the one to which the release has carried it, if that is later."""
    carried = _CARRIED.get(state) if state else None
    known = [status for status in (component.status, carried) if status is not None]
    return max(known, key=_ORDER.index).value if known else ""


def _said(step: Step) -> Mapping[str, str]:
    return {name: getattr(step, name) for name in ("version", "status", "owner", "kind")}
