"""One control group a host, and one for whatever runs beside the hosts: so that nothing outlives its lab."""

import os
import time
from pathlib import Path

from .commands import LabError


def hierarchy() -> Path | None:
    """Where the machine has mounted cgroup v2: alone, or beside the old controllers (hybrid)."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    return None


def create(path: Path) -> None:
    """Create a group, and the lab's group above it."""
    path.mkdir(parents=True, exist_ok=True)


def kill(path: Path, *, patience: float = 10) -> None:
    """Kill every process of a group and of those below it, and return when they are gone."""
    if not path.exists():
        return
    (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + patience
    while "populated 1" in (path / "cgroup.events").read_text():
        if time.monotonic() > deadline:
            raise LabError(f"processes of {path} survive being killed: {(path / 'cgroup.procs').read_text().split()}")
        time.sleep(0.005)


def remove(path: Path) -> None:
    """Kill and remove a group with all below it."""
    if not path.exists():
        return
    kill(path)
    for folder in sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: len(p.parts), reverse=True):
        folder.rmdir()
    path.rmdir()


def wrapper(path: Path) -> list[str]:
    """The words to put before a command, so that it runs inside a group."""
    return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(path / "cgroup.procs")]


def can_kill() -> bool:
    """cgroup.kill came with Linux 5.14."""
    root = hierarchy()
    if root is None:
        return False
    probe = root / f"verdelta-probe-{os.getpid()}"
    try:
        probe.mkdir(exist_ok=True)
        able = (probe / "cgroup.kill").exists()
        probe.rmdir()
    except OSError:
        return False
    return able
