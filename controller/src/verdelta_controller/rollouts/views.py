"""A roll-out as people and programs see it: one JSON document, the same for the API, the command line and the pages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..releases.tables import Release
from .installers.listener import Step
from .states import ENDED, HostState
from .tables import Deployment, Rollout, Wave

COUNTED = ("matched", "unexpected", "missing", "drift", "waived")


def rollout_view(
    rollout: Rollout,
    release: Release,
    waves: Sequence[Wave],
    deployments: Sequence[Deployment],
    steps: Mapping[str, Step],
) -> dict[str, Any]:
    """Return a roll-out with its waves and hosts, and the counts that a heading shows."""
    hosts = [host_view(deployment, steps.get(deployment.host_name)) for deployment in deployments]
    states = Counter(host["state"] for host in hosts)
    return {
        **summary_view(rollout, release),
        "counts": dict(states),
        "hosts_total": len(hosts),
        "hosts_ended": sum(1 for deployment in deployments if HostState(deployment.state) in ENDED),
        "waves": [
            {
                "number": wave.number,
                "state": wave.state,
                "hosts": [host for host in hosts if host["wave"] == wave.number],
            }
            for wave in waves
        ],
    }


def summary_view(rollout: Rollout, release: Release) -> dict[str, Any]:
    """Return one line about a roll-out."""
    return {
        "id": rollout.id,
        "release": release.name,
        "version": release.version,
        "purpose": rollout.purpose,
        "state": rollout.state,
        "reason": rollout.reason,
        "cancelled": rollout.cancelled,
        "created_at": _moment(rollout.created_at),
        "created_by": rollout.created_by,
        "ended_at": _moment(rollout.ended_at),
    }


def host_view(deployment: Deployment, step: Step | None = None) -> dict[str, Any]:
    """Return one host of a roll-out with its verdict, item by item."""
    items = list(deployment.items)
    counted = Counter(item["outcome"] for item in items)
    return {
        "host": deployment.host_name,
        "wave": deployment.wave,
        "state": deployment.state,
        "reason": deployment.reason,
        "install_error": deployment.install_error,
        "step": {"kind": step.kind, "task": step.task} if step is not None else None,
        "counts": {name: counted.get(name, 0) for name in COUNTED},
        "items": items,
        "before_snapshot": deployment.before_snapshot,
        "after_snapshot": deployment.after_snapshot,
        "installed_at": _moment(deployment.installed_at),
        "concluded_at": _moment(deployment.concluded_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
