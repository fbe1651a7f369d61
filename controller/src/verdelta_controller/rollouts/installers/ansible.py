"""Install by push: a playbook through ansible-runner.

What outsiders said reaches Ansible only marked unsafe: a plain `{{ lookup('pipe', …) }}` in a variable would run on
the controller.  Keys and variables lie in a private directory on tmpfs for as long as the run lasts, never on a
command line, and nothing of the run is kept but its events.
"""

import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ansible_runner

from ...foundation.clock import now
from ...foundation.errors import VerdeltaError

# Every step on a host holds this lock shared (flock on a directory that each host has; nothing is created).  An audit
# that asks for it alone learns whether a step of an interrupted run is still going on.
INSTALL_LOCK = "/etc"

SSH_WITH_LOCK = f"""#!/bin/sh
# Run by Ansible in place of ssh: lets each command for the host hold the install lock.
count=$#
for argument; do
  count=$((count - 1))
  case "$count:$argument" in
    "0:/bin/sh -c "*) set -- "$@" "flock -s -o {INSTALL_LOCK} $argument" ;;
    *) set -- "$@" "$argument" ;;
  esac
  shift
done
exec ssh "$@"
"""


class RunFailed(VerdeltaError):
    """The playbook could not be run at all."""


@dataclass(frozen=True)
class Target:
    """One host of a run: how Ansible reaches it."""

    name: str
    variables: Mapping[str, Any]
    private_key: str | None = None


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


@dataclass(frozen=True)
class Run:
    """What is to be run on which hosts."""

    playbook: Path
    targets: Sequence[Target]
    variables: Mapping[str, Any]
    forks: int


def run(order: Run, scratch: Path, on_step: Callable[[Step], None], cancelled: Callable[[], bool]) -> Outcome:
    """Run a playbook and return how it ended.  Blocks; `on_step` is called as it goes, from another thread.

    `scratch` is a directory on tmpfs where a private one is made for this run.  It returns as soon as the play has
    ended on every host; Ansible's own way out, which takes a while longer, is nothing to wait for.  Raises RunFailed.
    """
    private = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    listener = _Listener(on_step)
    ended: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
    listener.on_end = ended.put

    def work() -> None:
        try:
            result = ansible_runner.run(
                private_data_dir=str(private),
                event_handler=listener.hear,
                cancel_callback=cancelled,
                quiet=True,
                settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
                **_prepare(order, private),
            )
            ended.put(result.status if listener.started else _never_started(order, result))
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller waits for an answer
            ended.put(error)
        finally:
            shutil.rmtree(private, ignore_errors=True)

    threading.Thread(target=work, name=f"ansible-{private.name}", daemon=True).start()
    end = ended.get()
    if isinstance(end, Exception):
        raise end if isinstance(end, VerdeltaError) else RunFailed(f"{order.playbook.name}: {end}") from end
    return listener.outcome(end, [target.name for target in order.targets])


def _never_started(order: Run, result: Any) -> RunFailed:
    said = result.stdout.read()[-2000:].strip() if result.stdout else ""
    return RunFailed(f"{order.playbook.name} could not be run (status {result.rc}): {said}")


def _prepare(order: Run, private: Path) -> dict[str, Any]:
    keys: dict[str, Path] = {}
    hosts: dict[str, dict[str, Any]] = {}
    known: list[str] = []
    for target in order.targets:
        variables = dict(target.variables)
        host_key = variables.pop("host_key", None)
        if target.private_key is not None:
            if target.private_key not in keys:
                keys[target.private_key] = _write(private / f"key-{len(keys)}", target.private_key)
            variables["ansible_ssh_private_key_file"] = str(keys[target.private_key])
            port = variables.get("ansible_port", 22)
            address = variables["ansible_host"]
            known.append(f"{address if port == 22 else f'[{address}]:{port}'} {host_key}\n")
        hosts[target.name] = {name: unsafe(value) for name, value in variables.items()}
    known_hosts = _write(private / "known_hosts", "".join(known))
    inventory = _write(private / "inventory.json", json.dumps({"all": {"hosts": hosts}}))
    variables_file = _write(private / "variables.json", json.dumps(unsafe(dict(order.variables))))
    ssh = _write(private / "ssh", SSH_WITH_LOCK, 0o700)
    settings = _write(private / "ansible.cfg", configuration(private, known_hosts, ssh, order.forks))
    return {
        "playbook": str(order.playbook),
        "inventory": str(inventory),
        "cmdline": f"-e @{variables_file}",
        "envvars": {"ANSIBLE_CONFIG": str(settings), "ANSIBLE_HOME": str(private / "home"), "PATH": _path()},
    }


def configuration(private: Path, known_hosts: Path, ssh: Path, forks: int) -> str:
    options = f"-o UserKnownHostsFile={known_hosts} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes"
    return f"""[defaults]
forks = {forks}
nocolor = true
gathering = explicit
host_key_checking = true
interpreter_python = /usr/bin/python3
localhost_warning = false
inventory_unparsed_warning = false
retry_files_enabled = false
timeout = 10
[ssh_connection]
pipelining = true
ssh_executable = {ssh}
ssh_args = -o ControlMaster=auto -o ControlPersist=15s -o ConnectTimeout=10 -o BatchMode=yes
ssh_common_args = {options}
control_path_dir = {private}/cp
"""


def unsafe(value: Any) -> Any:
    """Return a value as JSON that Ansible takes literally: no text in it is ever a template."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {str(name): unsafe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [unsafe(item) for item in value]
    return value


def _path() -> str:
    """Return a PATH with this interpreter's own ansible-playbook first."""
    return f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    return path


class _Listener:
    """Turns the runner's events into steps and keeps how each host ended."""

    KINDS = {  # noqa: RUF012 - a constant
        "runner_on_start": "started",
        "runner_on_ok": "ok",
        "runner_on_skipped": "skipped",
        "runner_on_failed": "failed",
        "runner_on_unreachable": "unreachable",
    }

    def __init__(self, on_step: Callable[[Step], None]) -> None:
        self._on_step = on_step
        self.started = False
        self._stats: Mapping[str, Mapping[str, int]] = {}
        self._errors: dict[str, str] = {}
        self._ended_at: dict[str, datetime] = {}
        self.on_end: Callable[[str], None] = lambda status: None

    def hear(self, event: dict[str, Any]) -> bool:
        """Take one event; True keeps the runner's own record of it, which its statistics need."""
        name, data = event.get("event", ""), event.get("event_data", {})
        if name == "playbook_on_start":
            self.started = True
        elif name == "playbook_on_stats":
            self._stats = data
            self.on_end("ended")
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


def stop_survivors(scratch: Path) -> list[int]:
    """Kill what an earlier controller, killed itself, left running on this machine, and drop its private directories.

    A survivor is a process whose command line names `scratch`, which is this controller's alone.
    """
    marker, stopped = os.fsencode(str(scratch) + "/"), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    stopped.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile, or it is not ours
    for private in scratch.glob("run-*"):
        shutil.rmtree(private, ignore_errors=True)
    return stopped
