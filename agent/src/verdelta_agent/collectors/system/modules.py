"""The kernel modules that are loaded.

Source of the format: Documentation/filesystems/proc.rst of the kernel, "/proc/modules".

A module that normal work loads on demand (tcp_diag by the first run of ss, nf_tables by the first rule, loop by the
first loop device) is a real change of the host and shows as an added row: code runs in its kernel that did not before.
"""

from typing import Iterator, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent

MODULES = "/proc/modules"
DETAILS = "/sys/module/%s/%s"


def collect(host: Host) -> Section:
    """Absent where the kernel was built without modules."""
    if not host.exists(MODULES):
        return absent()
    rows = parse(host.read(MODULES))
    for name, row in rows.items():
        row.update((field, value) for field, value in _details(host, name) if value is not None)
    return Section(OK, rows, {})


def _details(host: Host, name: str) -> Iterator[Tuple[str, Optional[str]]]:
    """Yield what the module says of itself.  A module has no such file where its author gave no version."""
    for field, file in (("version", "version"), ("source_digest", "srcversion")):
        yield field, host.read_or_none(DETAILS % (name, file))


def parse(text: str) -> Rows:
    """Return name -> taints of every module.

    A module on its way out is left out.  So are size, address, users and their count, which change with use.
    """
    return dict(_module(line) for line in text.split("\n") if line and " Unloading " not in line)


def _module(line: str) -> Tuple[str, Row]:
    name, _, rest = line.partition(" ")
    fields = rest.split()
    if not name or len(fields) < 5:
        raise ValueError("not a line of %s: %r" % (MODULES, line[:100]))
    return name, {"taints": list(fields[5].strip("()")) if len(fields) > 5 else []}


COLLECTOR = Collector(
    "system.modules",
    key="name",
    collect=collect,
    deadline=5,
    fields={
        "version": "version, where the module gives one",
        "source_digest": "srcversion: the digest of the source that it was built from, where the module gives one",
        "taints": "how it taints the kernel: letters as in system.kernel",
    },
)
