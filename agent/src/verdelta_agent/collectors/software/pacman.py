"""Arch Linux's packages, from pacman's local database: a directory a package, with a file desc in it.

Source of the format: pacman's lib/libalpm/be_local.c: a name between percent signs, then its values a line each, then
an empty line.
"""

from typing import Dict, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing

DATABASE = "/var/lib/pacman/local"
EXPLICIT = "0"  # %REASON%; 1 came along as a dependency


def collect(host: Host) -> Section:
    """Absent where the host has no pacman; partial where an entry is half written or cannot be read."""
    if not host.exists(DATABASE):
        return absent("there is no %s" % DATABASE)
    rows: Rows = {}
    bad: List[str] = []
    for entry in host.listdir(DATABASE):
        if entry == "ALPM_DB_VERSION":
            continue
        try:
            name, row = parse(host.read("%s/%s/desc" % (DATABASE, entry)))
            rows[name] = row
        except (OSError, ValueError) as error:
            bad.append("%s (%s)" % (printable(entry), getattr(error, "strerror", None) or error))
    return Section(OK, rows, {}, missing("partial: not read", bad))


def parse(desc: str) -> Tuple[str, Row]:
    """Return the name and row of a package.  Raises ValueError where the file is cut short."""
    found: Dict[str, str] = {}
    for block in desc.split("\n\n"):
        title, _, value = block.strip().partition("\n")
        found[title] = value
    name, version = found.get("%NAME%"), found.get("%VERSION%")
    if not name or not version:
        raise ValueError("half written")
    row: Row = {"version": version, "architecture": found.get("%ARCH%", "")}
    row["explicit"] = found.get("%REASON%", EXPLICIT) == EXPLICIT
    if found.get("%BASE%", name) != name:
        row["source"] = found["%BASE%"]
    return name, row


COLLECTOR = Collector(
    "software.pacman",
    key="name",
    collect=collect,
    deadline=10,
    fields={
        "version": "installed version",
        "architecture": "architecture, or any",
        "explicit": "whether somebody asked for it; the others came along",
        "source": "source package, where its name differs",
    },
)
