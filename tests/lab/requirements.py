"""Whether this machine can run the lab, and if not, why and what to do about it."""

import os
import shutil
import subprocess
import sys

from . import cgroups

TOOLS = ("chroot", "dpkg-deb", "gpg", "ip", "losetup", "mmdebstrap", "nsenter", "ssh", "ssh-keygen", "tar", "unshare")


def why_not() -> str | None:
    """The reason that the lab cannot run here, with the mend; None when it can."""
    if sys.platform != "linux":
        return "the lab needs Linux: its hosts are namespaces of the kernel"
    if os.geteuid() != 0:
        return "the lab needs root: run it with sudo"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"the lab needs {', '.join(missing)}: run scripts/install-debian-packages"
    return _kernel_lacks()


def _kernel_lacks() -> str | None:
    with open("/proc/filesystems") as file:
        filesystems = {line.split()[-1] for line in file}
    if "overlay" not in filesystems:
        return "the lab needs overlayfs: run modprobe overlay"
    if not os.path.exists("/proc/self/timens_offsets"):
        return "the lab needs time namespaces: Linux 5.6 or newer, built with CONFIG_TIME_NS"
    if cgroups.hierarchy() is None:
        return "the lab needs cgroup v2: run mount -t cgroup2 none /sys/fs/cgroup"
    if not cgroups.can_kill():
        return "the lab needs to create cgroups that have cgroup.kill: Linux 5.14 or newer, and /sys/fs/cgroup writable"
    if subprocess.run(["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--time", "--fork", "true"],
                      check=False, capture_output=True).returncode:  # fmt: skip
        return (
            "the lab needs a root that may make namespaces: run it on the machine itself, or in a privileged container"
        )
    return None
