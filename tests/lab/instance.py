"""What a running lab owns on the machine, all of it told by its id; and how the leftovers of dead labs go away.

    /var/tmp/verdelta-lab-<id>/owner.json     who may still need it: pid, its start time, the machine's boot
    /var/tmp/verdelta-lab-<id>/state          a tmpfs that holds everything else
    network namespaces and the control group  verdelta-lab-<id>…

Everything on this page runs under one lock, so that no lab is taken for dead while it is being made.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import cgroups, kernel, network
from .commands import run

PREFIX = "verdelta-lab-"
HOME = Path("/var/tmp")
SHARED = Path("/run/verdelta-lab")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 4096  # every systemd takes several; the usual limit of 128 ends at some twenty hosts


@dataclass(frozen=True)
class Instance:
    """The names and places of one lab."""

    id: str

    @property
    def name(self) -> str:
        return PREFIX + self.id

    @property
    def home(self) -> Path:
        return HOME / self.name

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def cgroup(self) -> Path:
        root = cgroups.hierarchy()
        assert root is not None, "why_not() looks at this"
        return root / self.name

    def owner_lives(self) -> bool:
        """Whether the process that made the lab is still there, and is not another one with its number."""
        try:
            owner = json.loads((self.home / "owner.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(owner == _process(owner["pid"]))


def claim() -> Instance:
    """Make the place for a new lab that this process owns; clear those whose owner is gone."""
    with _locked():
        _clear_dead()
        instance = Instance(secrets.token_hex(3))
        instance.home.mkdir(mode=0o755)
        (instance.home / "owner.json").write_text(json.dumps(_process(os.getpid())))
        instance.state.mkdir()
        kernel.mount(instance.name, instance.state, "tmpfs", options="mode=755")
        _raise_inotify()
    return instance


def release(instance: Instance) -> None:
    """Take away all that a lab owns.  Repeating it does no harm."""
    with _locked():
        _remove(instance)
        _restore_inotify()


def clean() -> list[str]:
    """Clear the labs whose owner is gone; return their ids."""
    with _locked():
        cleared = _clear_dead()
        _restore_inotify()
    return cleared


def everyone() -> list[Instance]:
    """All labs that have left any trace on the machine, dead or alive.

    The home is made first and goes last.  Control groups without one belong to a lab in another container.
    """
    return [Instance(path.name.removeprefix(PREFIX)) for path in sorted(HOME.glob(f"{PREFIX}*"))]


@contextmanager
def _locked() -> Iterator[None]:
    SHARED.mkdir(mode=0o700, exist_ok=True)
    with (SHARED / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _process(pid: int) -> dict[str, object] | None:
    """What tells a process from every other one, before and after it; None when there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = status.rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state == "Z" else {"pid": pid, "started": int(fields[18]), "boot": boot}


def _clear_dead() -> list[str]:
    dead = [instance for instance in everyone() if not instance.owner_lives()]
    for instance in dead:
        _remove(instance)
    return [instance.id for instance in dead]


def _remove(instance: Instance) -> None:
    """In this order: processes hold mounts, mounts hold disks, disks hold the state directory."""
    cgroups.remove(instance.cgroup)
    for mount in reversed(_mounts_below(instance.state)):
        if mount != instance.state:
            kernel.unmount(mount)
    _detach_loops(instance.state)
    with suppress(OSError):  # never mounted, or already gone
        kernel.unmount(instance.state)
    for namespace in network.existing(instance.name):
        network.delete(namespace)
    shutil.rmtree(instance.home, ignore_errors=True)


def _mounts_below(folder: Path) -> list[Path]:
    targets = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(target) for target in targets if Path(target).is_relative_to(folder)]


def _detach_loops(folder: Path) -> None:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it may be someone else's, and just going
            if Path(backing.read_text().strip()).is_relative_to(folder):
                run(["losetup", "--detach", f"/dev/{backing.parts[3]}"])


def _raise_inotify() -> None:
    limit = int(INOTIFY.read_text())
    if limit < INOTIFY_NEEDED:
        (SHARED / "inotify").write_text(str(limit))
        INOTIFY.write_text(str(INOTIFY_NEEDED))


def _restore_inotify() -> None:
    """The last lab puts back what the first one raised."""
    saved = SHARED / "inotify"
    if saved.exists() and not everyone():
        INOTIFY.write_text(saved.read_text())
        saved.unlink()
