"""The controller's place: inside the lab's network, beside the hosts."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import cgroups, network
from .commands import run
from .instance import Instance


class Beside:
    """Runs commands in the lab's network; all of them end with the lab at the latest."""

    def __init__(self, instance: Instance) -> None:
        self.ssh_config = instance.state / "ssh_config"
        self._namespace = instance.name
        self._cgroup = instance.cgroup / "beside"

    def make(self) -> None:
        """Make the place (once, before the first command)."""
        network.create(self._namespace)
        cgroups.create(self._cgroup)

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """The words that run a command in this place."""
        inside = ["nsenter", f"--net={network.path(self._namespace)}", "--"]
        return [*cgroups.wrapper(self._cgroup), *inside, *(str(word) for word in argv)]

    def run(self, argv: Sequence[str | Path], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end: see commands.run."""
        return run(self.command(argv), **options)

    def popen(self, argv: Sequence[str | Path], **options: Any) -> "subprocess.Popen[Any]":
        """Start a command: see subprocess.Popen."""
        return subprocess.Popen(self.command(argv), **options)

    def ssh(
        self, host: str, command: str, *, user: str, check: bool, timeout: float, input: str | None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command on a host."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        argv = ["ssh", "-F", str(self.ssh_config), "-l", user, host, command]
        return self.run(argv, check=check, timeout=timeout, **options)
