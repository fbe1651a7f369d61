"""The running kernel: what it is, how it was started, and what has tainted it.

Source of the format: Documentation/admin-guide/sysctl/kernel.rst and tainted-kernels.rst of the kernel.
"""

from typing import List, Optional

from ...host import Host
from ...model import OK, Collector, Rows, Section, absent

RELEASE = "/proc/sys/kernel/osrelease"
VERSION = "/proc/sys/kernel/version"
TAINTED = "/proc/sys/kernel/tainted"
COMMAND_LINE = "/proc/cmdline"

TAINTS = "PFSRMBUDAWCIOELKXTNJ"  # the letter of each bit, from bit 0


def collect(host: Host) -> Section:
    """Absent where there is no /proc/sys; fails where the kernel does not say what it is."""
    if not host.exists(RELEASE):
        return absent()
    rows = parse(host.read(RELEASE), host.read(VERSION), host.read(COMMAND_LINE), host.read_or_none(TAINTED))
    return Section(OK, rows, {})


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
    key='"running"',
    collect=collect,
    deadline=5,
    fields={
        "release": "release, as uname -r prints it",
        "version": "build number and date, as uname -v prints it",
        "command_line": "what the boot loader handed over",
        "tainted": "letters of what has tainted it since the start (E unsigned module, O module from outside, "
        "W warning …), as the kernel's documentation lists them; null where it does not say",
    },
)
