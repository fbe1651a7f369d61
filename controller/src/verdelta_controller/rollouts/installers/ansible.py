"""Install by push: a playbook through ansible-runner.

What outsiders said reaches Ansible only marked unsafe: a plain `{{ lookup('pipe', …) }}` in a variable would run on
the controller.  Keys and variables lie in a private directory on tmpfs for as long as the run lasts, never on a
command line, and nothing of the run is kept but its events.
"""

import errno
import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from ...foundation.errors import InvalidInput, VerdeltaError
from .listener import Listener, Outcome, Step

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


_COMING_AND_GOING = threading.Lock()  # of the directory that all runs share


class RunFailed(VerdeltaError):
    """The playbook could not be run at all."""


@dataclass(frozen=True)
class Target:
    """One host of a run: how Ansible reaches it."""

    name: str
    variables: Mapping[str, Any]
    private_key: str | None = None


@dataclass(frozen=True)
class Play:
    """What is to be run: a playbook with its variables, on how many hosts at a time."""

    playbook: Path
    name: str  # of the playbook, as its author calls it
    variables: Mapping[str, Any]
    forks: int


class Waiting:
    """A play that Ansible has loaded, and that waits to be told its hosts.

    Ansible takes a second to start.  It spends that while the hosts are audited, and asks for its inventory (a script,
    as dynamic inventories are) when it is done: the script waits at a gate, a FIFO, until `go` hands the hosts over.
    Until then nothing is done to any host, for Ansible knows of none.
    """

    def __init__(self, play: Play, scratch: Path) -> None:
        """Start Ansible.  `scratch` is a directory on tmpfs where a private one is made for this run."""
        self._play = play
        with _COMING_AND_GOING:
            self._private = Path(tempfile.mkdtemp(prefix="run-", dir=make_private(scratch)))
        self._gate = self._private / "gate"
        self._ended: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
        self._over = threading.Event()
        self._on_step: Callable[[Step], None] = lambda step: None
        self._cancelled: Callable[[], bool] = lambda: False
        self._listener = Listener(lambda step: self._on_step(step), lambda: self._ended.put("ended"))
        arguments = self._prepare()
        threading.Thread(
            target=self._work, args=(arguments,), name=f"ansible-{self._private.name}", daemon=True
        ).start()

    def go(self, targets: Sequence[Target], on_step: Callable[[Step], None], cancelled: Callable[[], bool]) -> Outcome:
        """Hand over the hosts, and return how the play ended.  Blocks; `on_step` is called from another thread.

        It returns as soon as the play has ended on every host; Ansible's own way out, which takes a while longer, is
        nothing to wait for.  Raises RunFailed when the play could not be run at all.
        """
        self._on_step, self._cancelled = on_step, cancelled
        self._open_gate(json.dumps(self._inventory(targets)))
        end = self._ended.get()
        if isinstance(end, Exception):
            raise end if isinstance(end, VerdeltaError) else RunFailed(f"{self._play.name}: {end}") from end
        return self._listener.outcome(end, [target.name for target in targets])

    def abandon(self) -> None:
        """End it without having done anything."""
        self._cancelled = lambda: True
        self._open_gate("{}")

    def _work(self, arguments: Mapping[str, Any]) -> None:
        try:
            result = ansible_runner.run(
                private_data_dir=str(self._private),
                event_handler=self._listener.hear,
                cancel_callback=lambda: self._cancelled(),
                quiet=True,
                settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
                **arguments,
            )
            self._ended.put(result.status if self._listener.started else self._never_started(result))
        except Exception as error:  # noqa: BLE001 - whatever it was, somebody waits for an answer
            self._ended.put(error)
        finally:
            self._over.set()
            self._release_gate()
            shutil.rmtree(self._private, ignore_errors=True)
            with _COMING_AND_GOING, suppress(OSError):
                self._private.parent.rmdir()  # the last one turns off the light

    def _never_started(self, result: Any) -> RunFailed:
        with result.stdout as stdout:
            said = stdout.read()[-2000:].strip()
        return RunFailed(f"{self._play.name} could not be run (status {result.rc}): {said}")

    def _prepare(self) -> dict[str, Any]:
        """Write what Ansible reads at its start, and return the arguments of the run."""
        private = self._private
        os.mkfifo(self._gate, 0o600)
        known_hosts = _write(private / "known_hosts", "")
        ssh = _write(private / "ssh", SSH_WITH_LOCK, 0o700)
        settings = _write(private / "ansible.cfg", configuration(private, known_hosts, ssh, self._play.forks))
        inventory = _write(private / "inventory", f"#!/bin/sh\nexec cat {self._gate}\n", 0o700)
        variables = _write(private / "variables.json", json.dumps(unsafe(dict(self._play.variables))))
        playbook = private / "project" / Path(self._play.name).name
        playbook.parent.mkdir(mode=0o700)
        shutil.copyfile(self._play.playbook, playbook)
        return {
            "playbook": str(playbook),
            "inventory": str(inventory),
            "cmdline": f"-e @{variables}",
            "envvars": {"ANSIBLE_CONFIG": str(settings), "ANSIBLE_HOME": str(private / "home"), "PATH": _path()},
        }

    def _inventory(self, targets: Sequence[Target]) -> dict[str, Any]:
        """Return the hosts as an inventory script prints them; their keys are written where it says that they are."""
        keys: dict[str, Path] = {}
        hosts: dict[str, Any] = {}
        known = []
        for target in targets:
            variables = dict(target.variables)
            host_key = variables.pop("host_key", None)
            if target.private_key is not None:
                if target.private_key not in keys:
                    keys[target.private_key] = _write(self._private / f"key-{len(keys)}", target.private_key)
                variables["ansible_ssh_private_key_file"] = str(keys[target.private_key])
                port, address = variables.get("ansible_port", 22), variables["ansible_host"]
                known.append(f"{address if port == 22 else f'[{address}]:{port}'} {host_key}\n")
            hosts[target.name] = {name: unsafe(value) for name, value in variables.items()}
        (self._private / "known_hosts").write_text("".join(known))
        return {"all": {"hosts": list(hosts)}, "_meta": {"hostvars": hosts}}

    def _open_gate(self, inventory: str) -> None:
        """Write through the FIFO once the script is at its other end; a run that is over has nobody there."""
        while not self._over.is_set():
            try:
                descriptor = os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                self._over.wait(0.005)  # not there yet, or not there any more
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                self._over.wait(0.01)
            else:
                os.set_blocking(descriptor, True)
                with os.fdopen(descriptor, "w") as gate:
                    gate.write(inventory)
                return

    def _release_gate(self) -> None:
        """Let a script go that still waits although Ansible has gone."""
        with suppress(OSError):
            os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))


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


def make_private(scratch: Path) -> Path:
    """Make the directory of all runs, for this user alone.  Raises InvalidInput when it is somebody else's."""
    scratch.mkdir(mode=0o700, exist_ok=True)
    status = scratch.lstat()
    if scratch.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise InvalidInput(f"{scratch} is not this user's own private directory", mend="Remove it.")
    return scratch


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
