"""The running kernel: what it is, how it was started, what has tainted it; and the kernels that could run instead.

Sources of the format: Documentation/admin-guide/sysctl/kernel.rst and tainted-kernels.rst of the kernel; the Boot
Loader Specification for names below /boot; grub-editenv(1) and loader.conf(5) for the entry that is started.

A kernel that is installed beside another one changes the one row "installed".  Where its newest is not the release
that runs, a restart is due.
"""

import re
from typing import List, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..configuration import Reader
from .files import MOUNTINFO

RELEASE = "/proc/sys/kernel/osrelease"
VERSION = "/proc/sys/kernel/version"
TAINTED = "/proc/sys/kernel/tainted"
COMMAND_LINE = "/proc/cmdline"
BOOT = "/boot"
MODULES = ("/lib/modules", "/usr/lib/modules")
IMAGE = re.compile(r"(?:vmlinu[xz]|[bz]?Image|kernel)-(.*[^~])\Z")
NO_IMAGE = (".bak", ".dpkg-new", ".dpkg-old", ".dpkg-tmp", ".efi.signed", ".hmac", ".old", ".rpmsave", ".sig")
MACHINE_ID = re.compile(r"-?\b[0-9a-f]{32}\b-?")  # which machine-id(5) asks to keep to oneself
DEFAULT_ENTRY = (
    ("/boot/grub2/grubenv", re.compile(r"^saved_entry=(.*)$", re.MULTILINE)),
    ("/boot/grub/grubenv", re.compile(r"^saved_entry=(.*)$", re.MULTILINE)),
    ("/boot/loader/loader.conf", re.compile(r"^default[ \t]+(.*)$", re.MULTILINE)),
)

TAINTS = "PFSRMBUDAWCIOELKXTNJ"  # the letter of each bit, from bit 0


def collect(host: Host) -> Section:
    """Absent where none runs and none is installed; fails where the running kernel does not say what it is."""
    reader = Reader(host)
    kernels = _installed(reader)
    rows: Rows = {} if kernels is None else {"installed": kernels}
    if host.running and host.exists(RELEASE):
        running = parse(host.read(RELEASE), host.read(VERSION), host.read(COMMAND_LINE), host.read_or_none(TAINTED))
        rows.update(running)
    elif not rows and not reader.problems:
        return absent("there is no %s" % RELEASE)
    elif host.running:
        return failed("there is no %s" % RELEASE)
    return Section(OK, rows, {}, reader.error())


def _installed(reader: Reader) -> Optional[Row]:
    mountinfo = reader.text(MOUNTINFO) if reader.host.running else None
    boot: Sequence[str] = ()
    default = None
    if _comes_and_goes(mountinfo or ""):
        reader.problem(BOOT, "mounted when somebody looks")
    else:
        boot, default = reader.names(BOOT), _default_entry(reader)
    return installed(boot, next(filter(None, map(reader.names, MODULES)), []), default)


def _comes_and_goes(mountinfo: str) -> bool:
    """Return whether an automounter stands at /boot: then what is there depends on who looked last."""
    return any(" %s " % BOOT in line and " - autofs " in line for line in mountinfo.split("\n"))


def _default_entry(reader: Reader) -> Optional[str]:
    for path, pattern in DEFAULT_ENTRY:
        match = pattern.search(reader.text(path) or "")
        if match:
            return match.group(1).strip()
    return None


def installed(boot: Sequence[str], modules: Sequence[str], default: Optional[str]) -> Optional[Row]:
    """Return the row "installed" from the names in /boot and in /lib/modules, or None where there is no kernel."""
    found = (IMAGE.match(name) for name in boot if not name.endswith(NO_IMAGE))
    images = sorted({MACHINE_ID.sub("", match.group(1)) for match in found if match})
    if not images and not modules:
        return None
    releases = [name for name in images if name[:1].isdigit() and "rescue" not in name] or modules
    return {
        "images": images,
        "modules": sorted(modules),
        "newest": max(releases, key=age, default=None),
        "default_entry": None if default is None else MACHINE_ID.sub("", default),
    }


def age(release: str) -> List[Tuple[int, int, str]]:
    """Return what releases are compared by: the younger one is the larger.  A number is younger than a word."""
    parts = re.findall("[0-9]+|[a-zA-Z]+", release)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


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
    key='"running" and "installed"',
    collect=collect,
    deadline=5,
    fields={
        "release": "of running: release, as uname -r prints it",
        "version": "of running: build number and date, as uname -v prints it",
        "command_line": "of running: what the boot loader handed over",
        "tainted": "of running: letters of what has tainted it since the start (E unsigned module, O module from "
        "outside, W warning …), as the kernel's documentation lists them; null where it does not say",
        "images": "of installed: what the kernels in /boot are named by, mostly their releases",
        "modules": "of installed: releases in /lib/modules",
        "newest": "of installed: the youngest release of an image, or else of modules; not that of running where a "
        "restart is due; null where none is named by its release",
        "default_entry": "of installed: what GRUB's environment or systemd-boot's configuration names as the entry to "
        "start, without the machine id; null where neither does",
    },
)
