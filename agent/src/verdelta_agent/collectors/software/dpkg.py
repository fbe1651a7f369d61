"""Debian packages, from dpkg's own status file.

Source of the format: deb-control(5), dpkg(1) "PACKAGE STATES".
"""

from typing import Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent

STATUS = "/var/lib/dpkg/status"


def collect(host: Host) -> Section:
    """Absent where the host has no dpkg; whatever cannot be read or parsed fails this section alone."""
    return Section(OK, parse(host.read(STATUS)), {}) if host.exists(STATUS) else absent()


def parse(status: str) -> Rows:
    """Return name:architecture -> version, state, hold, source of every package that is installed, wholly or in part.

    The key leaves the version out, so that an upgrade is one changed row.
    """
    paragraphs = ("\n" + paragraph for paragraph in status.split("\n\n"))
    return dict(_package(p) for p in paragraphs if "\nStatus: " in p and " not-installed\n" not in p)


def _package(paragraph: str) -> Tuple[str, Row]:
    name = _field(paragraph, "Package")
    want, _, state = _field(paragraph, "Status").split(" ")
    row: Row = {"version": _field(paragraph, "Version"), "state": state, "hold": want == "hold"}
    source = _field(paragraph, "Source").partition(" ")[0]
    if source:
        row["source"] = source
    return "%s:%s" % (name, _field(paragraph, "Architecture")), row


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
        "version": "installed version",
        "state": "dpkg's package state: installed, config-files, half-configured …",
        "hold": "whether the package is held at its version",
        "source": "source package, where its name differs",
    },
)
