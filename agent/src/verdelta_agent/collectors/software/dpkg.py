"""Debian packages, from dpkg's own status file.

Sources of the format: deb-control(5), dpkg(1) "PACKAGE STATES", dpkg's lib/dpkg/dbmodify.c for the journal: what dpkg
has done since it last wrote the status file is in numbered files of updates/, and overrides it.
"""

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent, failed

STATUS = "/var/lib/dpkg/status"
UPDATES = "/var/lib/dpkg/updates"
INFO = "/var/lib/dpkg/info"
MAY_LACK_VERSION = ("half-installed", "config-files")


def collect(host: Host) -> Section:
    """Absent where the host has no dpkg; whatever cannot be read or parsed fails this section alone."""
    if not host.exists(STATUS):
        return absent()
    for _ in range(2):
        names = _journal(host)
        rows = parse(host.read(STATUS), [host.read("%s/%s" % (UPDATES, name)) for name in names])
        if _journal(host) == names:
            break
    else:
        return failed("dpkg is at work: its journal changed while it was read, twice")
    if not rows and _has_package_files(host):
        return failed("no package in %s, but files of packages in %s" % (STATUS, INFO))
    return Section(OK, rows, {})


def _journal(host: Host) -> List[str]:
    """Return the names of the journal's files, oldest first; other files there are dpkg's own work in progress."""
    return [name for name in host.listdir(UPDATES) if name.isdigit()] if host.exists(UPDATES) else []


def _has_package_files(host: Host) -> bool:
    """Tell an empty status file that a crash left behind from that of a host whose packages are not dpkg's."""
    return host.exists(INFO) and any(name.endswith(".list") for name in host.listdir(INFO))


def parse(status: str, journal: Sequence[str] = ()) -> Rows:
    """Return name:architecture -> version, state, hold, source of every package that is installed, wholly or in part.

    The key leaves the version out, so that an upgrade is one changed row.  Raises ValueError where a file is cut short.
    """
    packages: Dict[str, Optional[Row]] = {}
    for text in [status] + list(journal):
        packages.update(_packages(text))
    return {key: row for key, row in packages.items() if row is not None}


def _packages(text: str) -> Iterator[Tuple[str, Optional[Row]]]:
    if text and not text.endswith("\n"):
        raise ValueError("cut short: %r" % text[-100:])
    for paragraph in text.split("\n\n"):
        paragraph = "\n" + paragraph
        if "\nStatus: " in paragraph:
            yield _package(paragraph)


def _package(paragraph: str) -> Tuple[str, Optional[Row]]:
    """Return a package's key and row; no row where it is not installed, and dpkg merely remembers its name."""
    name = _field(paragraph, "Package")
    key = "%s:%s" % (name, _field(paragraph, "Architecture"))
    status = _field(paragraph, "Status").split(" ")
    if not name or len(status) != 3:
        raise ValueError("not a package: %r" % paragraph[:200])
    if status[2] == "not-installed":
        return key, None
    row: Row = {"version": _field(paragraph, "Version"), "state": status[2], "hold": status[0] == "hold"}
    if not row["version"] and status[2] not in MAY_LACK_VERSION:
        raise ValueError("%s is %s, in no version" % (name, status[2]))
    source = _field(paragraph, "Source").partition(" ")[0]
    if source:
        row["source"] = source
    return key, row


def _field(paragraph: str, name: str) -> str:
    """Return the one-line value of a field, or "".  str.find is half the cost of splitting every line."""
    start = paragraph.find("\n%s: " % name)
    if start < 0:
        return ""
    start += len(name) + 3
    end = paragraph.find("\n", start)
    return paragraph[start:] if end < 0 else paragraph[start:end]


COLLECTOR = Collector(
    "software.dpkg",
    key="name:architecture",
    collect=collect,
    deadline=5,
    fields={
        "version": "installed version; empty in the states in which dpkg knows none",
        "state": "dpkg's package state: installed, config-files, half-configured …",
        "hold": "whether the package is held at its version",
        "source": "source package, where its name differs",
    },
)
