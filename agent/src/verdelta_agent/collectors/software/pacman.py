"""Arch packages, from pacman's local database: a directory a package, with a file `desc` in it.

Sources of the format: pacman's lib/libalpm/be_local.c; alpm-db-desc(5).  A directory's name says name and version, too:
that is all there is where `desc` is not, or not yet.
"""

from typing import List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing

LOCAL = "/var/lib/pacman/local"
FORMAT = "ALPM_DB_VERSION"  # a file beside the packages
DESC = 1 << 20  # bytes of one file
AS_DEPENDENCY = "1"


def collect(host: Host) -> Section:
    """Absent where the host has no pacman; partial where what is known of a package is not whole."""
    if not host.exists(LOCAL):
        return absent("there is no %s" % LOCAL)
    rows: Rows = {}
    problems: List[str] = []
    for directory in host.listdir(LOCAL):
        entry = parse_name(printable(directory))
        if entry is None:
            problems += [] if directory == FORMAT else ["%s (no package's name)" % printable(directory)]
            continue
        name, version = entry
        try:
            row = parse(host.read("%s/%s/desc" % (LOCAL, directory), DESC), name, version)
        except (OSError, ValueError) as error:
            row = {"version": version, "incomplete": True}
            problems.append("%s (%s)" % (printable(directory), getattr(error, "strerror", None) or "half written"))
        rows[name] = _beside(rows.get(name), row)
    return Section(OK, rows, {}, missing("partial: not read", problems))


def parse_name(directory: str) -> Optional[Tuple[str, str]]:
    """Return name and version-release of a package from the name of its directory, or None where it is none."""
    name, _, release = directory.rpartition("-")
    name, _, version = name.rpartition("-")
    return (name, "%s-%s" % (version, release)) if name and version and release else None


def _beside(other: Optional[Row], row: Row) -> Row:
    """Return the row of a name that an interrupted upgrade has left in two versions: of the one that is whole."""
    if other is None:
        return row
    if "incomplete" in row:
        other, row = row, other
    row["other_versions"] = sorted([other["version"]] + other.get("other_versions", []) + row.get("other_versions", []))
    return row


def parse(desc: str, name: str, version: str) -> Row:
    """Return version, architecture, explicit, validation and who packaged it of one package.

    Raises ValueError where the text is not that of this package in this version, or is cut: it ends with an empty line.
    """
    desc = "\n" + desc
    if not desc.endswith("\n\n") or _field(desc, "NAME") != name or _field(desc, "VERSION") != version:
        raise ValueError("not the desc of %s %s, or cut short" % (name, version))
    row: Row = {"version": version, "architecture": _field(desc, "ARCH")}
    row["explicit"] = _field(desc, "REASON") != AS_DEPENDENCY
    row["validation"] = sorted(filter(None, _field(desc, "VALIDATION").split("\n")))
    base, packager, repository = (_field(desc, field) for field in ("BASE", "PACKAGER", "INSTALLED_DB"))
    optional = (("source", base if base != name else ""), ("packager", packager), ("repository", repository))
    row.update((field, value) for field, value in optional if value)
    return row


def _field(desc: str, name: str) -> str:
    """Return the lines between %NAME% and the next empty line, or ""."""
    start = desc.find("\n%%%s%%\n" % name)
    if start < 0:
        return ""
    start += len(name) + 4
    return "" if desc[start : start + 1] == "\n" else desc[start : desc.find("\n\n", start)].rstrip("\n")


COLLECTOR = Collector(
    "software.pacman",
    key="name",
    collect=collect,
    deadline=10,
    fields={
        "version": "[epoch:]version-release",
        "other_versions": "versions that an interrupted upgrade has left in the database beside it",
        "architecture": "as pacman calls it, any included",
        "explicit": "whether somebody asked for it; false where it came as a dependency",
        "validation": "how it was checked before it was installed: pgp, sha256, md5 or none",
        "source": "source package, where its name differs",
        "packager": "who built it",
        "repository": "the repository that it came from, which pacman 7 and newer remember",
        "incomplete": "true where its entry in the database is not whole",
    },
)
