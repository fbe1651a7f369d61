"""Boot one host: the script that becomes the parent of its PID 1.

Run as `python -I -S boot.py SPEC`, SPEC being JSON as power.py writes it.  It ends when the host does: with
REBOOT when the host asked for one, with POWER_OFF when it went down in order, with 128 + signal otherwise.
"""

import importlib
import json
import os
import signal
import stat
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

REBOOT, POWER_OFF, NO_BOOT = 10, 11, 12

# What PID 1 must not have: these reach beyond the namespaces, to the machine itself.
CAPABILITIES_TAKEN = {"sys_module": 16, "sys_rawio": 17, "sys_time": 25, "syslog": 34}

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICE_LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
READ_ONLY_PROC = ("sys", "sysrq-trigger", "irq", "bus")


def main(spec: dict[str, str]) -> int:
    kernel = _kernel()
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != int(spec["owner"]):
        return NO_BOOT  # the owner was gone before the kernel knew what to do then
    Path(spec["cgroup"], "cgroup.procs").write_text("0")
    kernel.enter(spec["netns"], kernel.CLONE_NEWNET)
    kernel.unshare(
        kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWCGROUP | kernel.CLONE_NEWPID | kernel.CLONE_NEWTIME
    )
    _start_clocks_at_zero()
    pid = os.fork()
    if pid == 0:
        try:
            kernel.die_with_parent(signal.SIGKILL)
            _become_init(kernel, spec)
        except (OSError, LookupError, ValueError):
            traceback.print_exc()
        finally:
            os._exit(NO_BOOT)
    Path(spec["pid_file"]).write_text(str(pid))
    return _outcome(os.waitpid(pid, 0)[1])


def _kernel() -> ModuleType:
    """kernel.py beside this file, without the package around it: a host's start should cost little."""
    sys.path.insert(0, str(Path(__file__).parent))
    return importlib.import_module("kernel")


def _start_clocks_at_zero() -> None:
    """The host's uptime begins now: it sees neither the machine's nor that of its own last boot."""
    seconds = {name: int(time.clock_gettime(clock)) for name, clock in
               (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME))}  # fmt: skip
    Path("/proc/self/timens_offsets").write_text("".join(f"{name} -{now} 0\n" for name, now in seconds.items()))


def _outcome(status: int) -> int:
    """reboot(2) in a pid namespace ends PID 1 by SIGHUP for a restart and by SIGINT for halt and power off."""
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    return {signal.SIGHUP: REBOOT, signal.SIGINT: POWER_OFF}.get(signal.Signals(number), 128 + number)


def _become_init(kernel: ModuleType, spec: dict[str, str]) -> None:
    root = Path(spec["root"])
    kernel.unshare(kernel.CLONE_NEWNS)  # here, not in main(): pivot_root would move the parent along
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.set_host_name(spec["name"])
    _mount_proc(kernel, root)
    _mount_sys(kernel, root / "sys", spec)
    _mount_dev(kernel, root / "dev", spec)
    _mount_run(kernel, root / "run", spec)
    _new_boot_id(kernel, root)
    for name in ("partitions", "meminfo"):
        if Path(spec[name]).exists():
            kernel.mount(spec[name], root / "proc" / name, flags=kernel.MS_BIND)
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")
    for number in CAPABILITIES_TAKEN.values():
        kernel.drop_capability(number)
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "container": "lab", "NOTIFY_SOCKET": "/run/host/notify"}
    os.execve("/sbin/init", ["/sbin/init"], environment)  # noqa: S606


def _mount_proc(kernel: ModuleType, root: Path) -> None:
    proc = root / "proc"
    kernel.mount("proc", proc, "proc")
    for name in READ_ONLY_PROC:
        if (proc / name).exists():
            kernel.mount(str(proc / name), proc / name, flags=kernel.MS_BIND)
    kernel.mount(str(proc / "sys/net"), proc / "sys/net", flags=kernel.MS_BIND)  # the host's own, so writable
    for name in READ_ONLY_PROC:
        if (proc / name).exists():
            kernel.mount("", proc / name, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)


def _mount_sys(kernel: ModuleType, sys_dir: Path, spec: dict[str, str]) -> None:
    """sysfs with the host's own firmware laid over it, its own disks in place of the machine's."""
    hardware = Path(spec["hardware"])
    raw, upper, work, disks = (hardware / name for name in ("raw", "sys", "work", "disks"))
    kernel.mount("sysfs", raw, "sysfs")
    kernel.mount("sys", sys_dir, "overlay", kernel.MS_RDONLY, f"lowerdir={raw},upperdir={upper},workdir={work}")
    for name in ("class/net", "devices/virtual/net"):  # an overlay would not see interfaces come and go
        kernel.mount(str(raw / name), sys_dir / name, flags=kernel.MS_BIND)
    kernel.mount(str(disks / "devices"), sys_dir / "devices/lab", flags=kernel.MS_BIND)
    for name in ("block", "class/block"):
        kernel.mount(str(disks / name), sys_dir / name, flags=kernel.MS_BIND)
    kernel.mount("cgroup2", sys_dir / "fs/cgroup", "cgroup2")


def _mount_dev(kernel: ModuleType, dev: Path, spec: dict[str, str]) -> None:
    kernel.mount("dev", dev, "tmpfs", options="mode=755,size=1m")
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    kernel.mount("devpts", dev / "pts", "devpts", options="newinstance,ptmxmode=0666,mode=620,gid=5")
    kernel.mount("shm", dev / "shm", "tmpfs", options="mode=1777")
    os.umask(0)
    for name, numbers in DEVICES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
    for name, target in DEVICE_LINKS.items():
        (dev / name).symlink_to(target)
    for name, numbers in json.loads(Path(spec["disk_nodes"]).read_text()).items():
        os.mknod(dev / name, 0o660 | stat.S_IFBLK, os.makedev(*numbers))
    os.umask(0o022)


def _mount_run(kernel: ModuleType, run: Path, spec: dict[str, str]) -> None:
    kernel.mount("run", run, "tmpfs", options="mode=755")
    (run / "host").mkdir()
    (run / "host/notify").touch()
    kernel.mount(spec["notify"], run / "host/notify", flags=kernel.MS_BIND)


def _new_boot_id(kernel: ModuleType, root: Path) -> None:
    """The kernel has one boot id for the machine; every boot of every host must have its own."""
    fresh = root / "run/host/boot_id"
    fresh.write_text(Path("/proc/sys/kernel/random/uuid").read_text())
    kernel.mount(str(fresh), root / "proc/sys/kernel/random/boot_id", flags=kernel.MS_BIND)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
