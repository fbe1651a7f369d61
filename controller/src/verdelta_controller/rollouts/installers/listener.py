"""What Ansible says while it runs, as steps; and how each host ended, from its statistics at the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...foundation.clock import now


@dataclass(frozen=True)
class Step:
    """One thing that Ansible said about one host."""

    host: str
    kind: str  # started, ok, changed, skipped, failed or unreachable
    task: str
    text: str = ""


@dataclass
class Outcome:
    """How a run ended, host by host: ok, failed, unreachable, or not reached by the play (a host it never named)."""

    status: str  # ended (the play came to its end), or ansible-runner's own: canceled, failed, timeout
    hosts: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ended_at: dict[str, datetime] = field(default_factory=dict)  # when the last step on each host ended


class Listener:
    """Turns the runner's events into steps and keeps how each host ended."""

    KINDS = {  # noqa: RUF012 - a constant
        "runner_on_start": "started",
        "runner_on_ok": "ok",
        "runner_on_skipped": "skipped",
        "runner_on_failed": "failed",
        "runner_on_unreachable": "unreachable",
    }

    def __init__(self, on_step: Callable[[Step], None], on_end: Callable[[], None]) -> None:
        self._on_step = on_step
        self._on_end = on_end
        self.started = False
        self._stats: Mapping[str, Mapping[str, int]] = {}
        self._errors: dict[str, str] = {}
        self._ended_at: dict[str, datetime] = {}

    def hear(self, event: dict[str, Any]) -> bool:
        """Take one event; True keeps the runner's own record of it, which its statistics need."""
        name, data = event.get("event", ""), event.get("event_data", {})
        if name == "playbook_on_start":
            self.started = True
        elif name == "playbook_on_stats":
            self._stats = data
            self._on_end()
        elif name in self.KINDS:
            step = self._step(self.KINDS[name], data)
            self._ended_at[step.host] = _moment(event)
            self._on_step(step)
        return True

    def _step(self, kind: str, data: Mapping[str, Any]) -> Step:
        result = data.get("res") or {}
        host, task = str(data.get("host", "")), str(data.get("task", ""))
        if kind == "ok" and result.get("changed"):
            kind = "changed"
        text = ""
        if kind in ("failed", "unreachable"):
            text = _said(result)
            if not (kind == "failed" and data.get("ignore_errors")):
                self._errors[host] = f"{task}: {text}" if task else text
        return Step(host, kind, task, text)

    def outcome(self, status: str, names: Sequence[str]) -> Outcome:
        """Return how each host ended.  A host that the statistics do not name was not reached by the play."""
        hosts = {name: self._ended(name) for name in names}
        errors = {name: self._errors.get(name, "") for name, how in hosts.items() if how != "ok"}
        return Outcome(status, hosts, errors, dict(self._ended_at))

    def _ended(self, name: str) -> str:
        if self._stats.get("dark", {}).get(name):
            return "unreachable"
        if self._stats.get("failures", {}).get(name):
            return "failed"
        return "ok" if self._stats.get("processed", {}).get(name) else "not reached"


def _moment(event: Mapping[str, Any]) -> datetime:
    """Return when an event came about, by the clock of this machine, on which Ansible runs."""
    try:
        moment = datetime.fromisoformat(str(event.get("created")))
    except ValueError:
        return now()
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _said(result: Mapping[str, Any]) -> str:
    """Return what a module said went wrong, in short; a result that is hidden (no_log) stays hidden."""
    for name in ("msg", "stderr", "module_stderr", "stdout", "censored"):
        text = str(result.get(name) or "").strip()
        if text:
            extra = str(result.get("stderr") or "").strip() if name == "msg" else ""
            return (f"{text}: {extra}" if extra and extra not in text else text)[-1500:]
    return "no reason given"
