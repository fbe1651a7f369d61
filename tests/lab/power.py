"""A host's power button: a thread that boots it, hears from its PID 1 when it is up, and boots it again on reboot.

The thread is the parent of all of the host's processes and the kernel ends them with it: a lab whose owner is killed
stops at once, and what it leaves on the machine is only names, for the next lab to clear.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from . import boot, cgroups
from .commands import LabError


class Power:
    """Off, booting or up."""

    def __init__(self, name: str, spec: dict[str, str], console: Path, on_power: Callable[[bool], None]) -> None:
        self._name = name
        self._spec = spec
        self._console = console
        self._on_power = on_power
        self._cgroup = Path(spec["cgroup"])
        self._changed = threading.Condition()
        self._on = False
        self._up = False
        self._boots = 0
        self._cut = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        return self._on

    @property
    def boots(self) -> int:
        """How many times the host has been started."""
        return self._boots

    @property
    def pid(self) -> int | None:
        """The host's PID 1 as the machine numbers it; None while it is off or starts."""
        return int(Path(self._spec["pid_file"]).read_text()) if self._up else None

    def on(self) -> None:
        """Press the button; returns before the host is up."""
        if self._on:
            raise LabError(f"{self._name} is on already")
        self._cut, self._on = False, True
        self._thread = threading.Thread(target=self._run, name=f"lab-{self._name}", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Pull the plug: everything the host runs is gone, in the middle of whatever it did."""
        self._cut = True
        while self._thread and self._thread.is_alive():
            if self._process:  # it may not have joined its group yet
                self._process.kill()
            cgroups.kill(self._cgroup)
            self._thread.join(0.05)

    def restart(self) -> None:
        """Have PID 1 reboot in order, and return when the host is up again.  Needs no network."""
        pid, boots = self.pid, self._boots
        if pid is None:
            raise LabError(f"{self._name} is not up")
        os.kill(pid, signal.SIGRTMIN + 5)  # systemd(1): starts reboot.target
        self.wait_until_up(boots=boots + 1)

    def wait_until_up(self, *, boots: int = 0, timeout: float = 60) -> None:
        """Return when the host is up, in its n-th boot or a later one."""
        self._wait(lambda: (self._up and self._boots >= boots) or not self._on, timeout, "is not up")
        if not self._on:
            raise LabError(f"{self._name} went down while it was awaited\n{self.console()}".rstrip())

    def wait_until_off(self, timeout: float = 60) -> None:
        """Return when the host has gone down, by its own will or by a power cut."""
        self._wait(lambda: not self._on, timeout, "is not off")

    def console(self) -> str:
        """The end of what the host and its boot script wrote before systemd's journal took over."""
        return self._console.read_text(errors="replace")[-4000:] if self._console.exists() else ""

    def _wait(self, reached: Callable[[], bool], timeout: float, complaint: str) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout):
                raise LabError(f"{self._name} {complaint} after {timeout:.0f} s\n{self.console()}".rstrip())

    def _set(self, *, on: bool, up: bool) -> None:
        with self._changed:
            self._on, self._up = on, up
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._boot_once() == boot.REBOOT and not self._cut:
                pass
        finally:
            self._set(on=False, up=False)

    def _boot_once(self) -> int:
        """One life of the host, from power to its end."""
        notify = Path(self._spec["notify"])
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, self._console.open("ab") as console:
            ear.bind(str(notify))
            self._on_power(True)
            self._boots += 1
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", boot.__file__, json.dumps(self._spec)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            self._listen(self._process, ear)
            code = self._process.wait()
        self._set(on=True, up=False)
        cgroups.kill(self._cgroup)
        self._on_power(False)
        return code

    def _listen(self, process: "subprocess.Popen[bytes]", ear: socket.socket) -> None:
        """Return when the process has ended; note when systemd says that the boot is complete."""
        end = os.pidfd_open(process.pid)
        try:
            while True:
                readable, _, _ = select.select([end, ear.fileno()], [], [])
                if ear.fileno() in readable and b"READY=1" in ear.recv(65536):
                    self._set(on=True, up=True)
                if end in readable:
                    return
        finally:
            os.close(end)
