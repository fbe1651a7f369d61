"""Documents of the API, made by hand: for tests of what the command line shows of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

ENDED = ("verified", "at_variance", "failed", "indeterminate", "backed_out", "back_out_failed")
OUTCOMES = ("matched", "unexpected", "missing", "drift", "waived")


def item(outcome: str, section: str, key: str, detail: str, before: Any = None, after: Any = None) -> dict[str, Any]:
    """Return an item of a verdict; an unexpected one is covered by no authorised change."""
    expectation = None if outcome in ("unexpected", "drift") else 0
    return {
        "outcome": outcome,
        "section": section,
        "key": key,
        "detail": detail,
        "before": before,
        "after": after,
        "expectation": expectation,
    }


UPGRADE = item("matched", "software.dpkg", "labapp:all", "version 1.0 → 1.1", {"version": "1.0"}, {"version": "1.1"})
EVE = item(
    "unexpected", "system.users", "eve", "added, not authorised", None, {"uid": 1001, "shell": "/bin/bash", "gecos": ""}
)


def host(name: str, state: str, items: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """Return one host of a roll-out."""
    counted = Counter(one["outcome"] for one in items)
    return {
        "host": name,
        "wave": 1,
        "state": state,
        "reason": "",
        "install_error": "",
        "step": None,
        "counts": {outcome: counted[outcome] for outcome in OUTCOMES},
        "items": list(items),
        "before_snapshot": 1,
        "after_snapshot": 2,
        "installed_at": None,
        "concluded_at": None,
        **more,
    }


def wave(number: int, state: str, *hosts: dict[str, Any]) -> dict[str, Any]:
    """Return one wave."""
    return {"number": number, "state": state, "hosts": [{**one, "wave": number} for one in hosts]}


def rollout(state: str, *waves: Mapping[str, Any], release: str = "labapp", number: int = 12) -> dict[str, Any]:
    """Return a roll-out with its waves."""
    hosts = [one for every in waves for one in every["hosts"]]
    return {
        "id": number,
        "release": release,
        "version": "1.1",
        "state": state,
        "cancelled": False,
        "created_at": "2026-11-22T10:00:00.000+00:00",
        "created_by": "ci",
        "ended_at": None,
        "counts": dict(Counter(one["state"] for one in hosts)),
        "hosts_total": len(hosts),
        "hosts_ended": sum(one["state"] in ENDED for one in hosts),
        "waves": list(waves),
    }


def change(section: str, key: str, before: Any, after: Any) -> dict[str, Any]:
    """Return a change of a delta."""
    op = "added" if before is None else "removed" if after is None else "changed"
    return {"section": section, "key": key, "op": op, "before": before, "after": after}


def delta(*changes: Mapping[str, Any], unknown: Sequence[str] = (), partial: Sequence[str] = ()) -> dict[str, Any]:
    """Return the delta of two snapshots with 41 sections."""
    return {
        "before": "7d96d5fb" * 8,
        "after": "c1aa90e2" * 8,
        "changes": list(changes),
        "unknown": list(unknown),
        "partial": list(partial),
        "sections": 41,
    }


def a_host(name: str, **more: Any) -> dict[str, Any]:
    """Return a host."""
    return {
        "id": "3f9c0a",
        "name": name,
        "reach": "ssh",
        "agent": "agentless",
        "address": "192.0.2.7",
        "port": 22,
        "user": "deploy",
        "become": True,
        "python": "/usr/bin/python3",
        "environment": "live",
        "groups": ["web"],
        "accepted_gaps": [],
        "host_key_fingerprint": "SHA256:Zx0 (ssh-ed25519)",
        "host_key_pinned_at": "2026-11-02T10:00:00Z",
        "created_at": "2026-11-02T10:00:00Z",
        **more,
    }


def snapshot(number: int = 12, **sections: str) -> dict[str, Any]:
    """Return a snapshot whose sections have these statuses; a dot in a name is written as two underscores."""
    named = {name.replace("__", "."): status for name, status in sections.items()} or {"software.dpkg": "ok"}
    return {
        "id": number,
        "root": "7d96d5fb" * 8,
        "agent": "0.1.0",
        "taken_at": "2026-11-22T02:14:07Z",
        "received_at": "2026-11-22T02:14:08.1Z",
        "confirmed_at": "2026-11-22T02:14:08.1Z",
        "envelope": "9f" * 32,
        "sections": {name: {"status": status, "digest": "9f", "error": None} for name, status in named.items()},
    }
