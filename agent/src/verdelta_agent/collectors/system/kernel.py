"""The running kernel: what it is, how it was started, and what has tainted it; and those that are installed.

Source of the format: Documentation/admin-guide/sysctl/kernel.rst and tainted-kernels.rst of the kernel; for where an
installed one lies, installkernel(8) and the Boot Loader Specification.
"""

from typing import Iterable, List, Optional

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent

RELEASE = "/proc/sys/kernel/osrelease"
VERSION = "/proc/sys/kernel/version"
TAINTED = "/proc/sys/kernel/tainted"
COMMAND_LINE = "/proc/cmdline"

BOOT = "/boot"
MODULES = ("/usr/lib/modules", "/lib/modules")
IMAGES = ("vmlinuz-", "vmlinux-", "kernel-", "Image-")
LEFT_BEHIND = (".old", ".bak", ".hmac", ".dpkg-tmp", ".dpkg-new", ".rpmsave")

TAINTS = "PFSRMBUDAWCIOELKXTNJ"  # the letter of each bit, from bit 0


def collect(host: Host) -> Section:
    """Absent where there is neither a kernel that runs nor one to start; fails where one does not say what it is."""
    rows = installed(_names(host, BOOT), [name for folder in MODULES for name in _names(host, folder)])
    if host.running and host.exists(RELEASE):
        told = host.read(RELEASE), host.read(VERSION), host.read(COMMAND_LINE), host.read_or_none(TAINTED)
        rows.update(parse(*told))
    return Section(OK, rows, {}) if rows else absent("there is no %s" % RELEASE)


def _names(host: Host, folder: str) -> List[str]:
    return host.listdir(folder) if host.exists(folder) else []


def installed(boot: Iterable[str], modules: Iterable[str]) -> Rows:
    """Return "installed RELEASE" -> whether its image and its modules are there, from the names in two folders."""
    images = [name.partition("-")[2] for name in boot if name.startswith(IMAGES) and not name.endswith(LEFT_BEHIND)]
    releases = set(images) | {name for name in modules if name[:1].isdigit()}
    return {
        "installed %s" % printable(release): {"image": release in images, "modules": release in modules}
        for release in releases
        if release
    }


def parse(release: str, version: str, command_line: str, tainted: Optional[str]) -> Rows:
    """Return the one row "running"."""
    return {
        "running": {
            "release": release.strip(),
            "version": version.strip(),
            "command_line": command_line.strip(),
            "tainted": None if tainted is None else taints(int(tainted)),
        }
    }


def taints(mask: int) -> List[str]:
    """Return the letters of the bits that are set, in their order; "bit 29" for one that only a distribution knows."""
    bits = [bit for bit in range(64) if mask >> bit & 1]
    return [TAINTS[bit] if bit < len(TAINTS) else "bit %d" % bit for bit in bits]


COLLECTOR = Collector(
    "system.kernel",
    key='"running", or "installed" and the release',
    collect=collect,
    deadline=5,
    fields={
        "release": "release, as uname -r prints it",
        "version": "build number and date, as uname -v prints it",
        "command_line": "what the boot loader handed over",
        "image": "of an installed one: whether there is an image below /boot",
        "modules": "of an installed one: whether it has modules",
        "tainted": "letters of what has tainted it since the start (E unsigned module, O module from outside, "
        "W warning …), as the kernel's documentation lists them; null where it does not say",
    },
)
