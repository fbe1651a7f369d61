"""RPM packages, from rpm's own database, whichever of its formats the host has.

Sources: rpm(8) for what the tags mean, rpm's lib/rpmvercmp.c for the order of versions; rpmdb/ for the formats.

Several versions of one name and architecture (kernels, which dnf and zypper install beside each other) are one row:
`version` is the highest, `other_versions` the rest, so that a new kernel that pushes the oldest one out is one changed
row.  A key that rpm trusts is no version of another one: gpg-pubkey has a row a key.
"""

import functools
import re
from typing import Any, Dict, Iterable, List, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .rpmdb import Headers, bdb, ndb, read_packages, sqlite
from .rpmdb.header import Package, Unsupported

DIRECTORIES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
SQLITE = "rpmdb.sqlite"
DATABASES: Tuple[Tuple[str, Headers], ...] = (  # the newest format first: a migration may leave the old one behind
    (SQLITE, sqlite.headers),
    ("Packages.db", ndb.headers),
    ("Packages", bdb.headers),
)
TAGS = ("NAME", "EPOCH", "VERSION", "RELEASE", "ARCH", "VENDOR", "SOURCERPM")
COMMAND = ("rpm", "-qa", "--qf", "\\t".join("%%{%s}" % tag for tag in TAGS) + "\\n")
PARTS = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")


def collect(host: Host) -> Section:
    """Absent where there is no rpm database; asks rpm itself only where no reader knows the database's format."""
    found = _database(host)
    if found is None:
        return absent()
    path, headers = found
    try:
        return Section(OK, rows(read_packages(host.local_path(path), headers)), {})
    except Unsupported:
        return Section(OK, rows(parse(host.run(COMMAND, timeout=15))), {})


def _database(host: Host) -> Optional[Tuple[str, Headers]]:
    for directory in DIRECTORIES:
        for name, headers in DATABASES:
            path = "%s/%s" % (directory, name)
            if host.exists(path):
                return path, _with_log(host, path) if name == SQLITE else headers
    return None


def _with_log(host: Host, path: str) -> Headers:
    log = path + "-wal"
    if not host.exists(log) or host.lstat(log).size == 0:
        return sqlite.headers
    return functools.partial(sqlite.headers, log=host.local_path(log))


def parse(printed: str) -> List[Package]:
    """Return the packages in what `rpm -qa` prints when asked by COMMAND."""
    packages = []
    for line in filter(None, printed.split("\n")):
        values = ["" if value == "(none)" else value for value in line.split("\t")]
        if len(values) != len(TAGS):
            raise ValueError("rpm printed %r" % line[:200])
        name, epoch, version, release, architecture, vendor, source = values
        packages.append(Package(name, int(epoch or 0), version, release, architecture, vendor, source, ""))
    return packages


def rows(packages: Iterable[Package]) -> Rows:
    """Return name.architecture -> version, other_versions, vendor, source, signed_by of the highest version."""
    together: Dict[str, List[Package]] = {}
    for package in packages:
        together.setdefault(_key(package), []).append(package)
    return {key: _row(_ordered(versions)) for key, versions in together.items()}


def _ordered(versions: List[Package]) -> List[Package]:
    """Return the versions, lowest first.  Almost always there is one, and nothing to compute."""
    return sorted(versions, key=_order) if len(versions) > 1 else versions


def _key(package: Package) -> str:
    if package.name == "gpg-pubkey":  # its version is the id of the key
        return "%s-%s" % (package.name, package.version)
    return "%s.%s" % (package.name, package.architecture or "(none)")


def _row(versions: List[Package]) -> Row:
    highest = versions[-1]
    row: Row = {"version": _version(highest)}
    others = [_version(package) for package in versions[:-1]]
    optional = (
        ("other_versions", others),
        ("vendor", highest.vendor),
        ("source", _source(highest)),
        ("signed_by", highest.key_id),
    )
    row.update((name, value) for name, value in optional if value)
    return row


def _source(package: Package) -> str:
    """Return the source package's name where it is another one.  Its version would make an upgrade two fields."""
    name = package.source.rsplit("-", 2)[0]
    return "" if name == package.name else name


def _version(package: Package) -> str:
    epoch = "%d:" % package.epoch if package.epoch else ""
    return "%s%s-%s" % (epoch, package.version, package.release)


def _order(package: Package) -> Any:
    versions = order_of(package.version), order_of(package.release)
    return package.epoch, versions, package  # the package itself, for versions that differ in a separator alone


def order_of(version: str) -> List[Tuple[int, int, str]]:
    """Return what a version or release sorts by: a tilde before the end, a caret after it, letters before digits."""
    order = [_order_of_part(part) for part in PARTS.findall(version)]
    return order + [(1, 0, "")]


def _order_of_part(part: str) -> Tuple[int, int, str]:
    if part in "~^":
        return (0 if part == "~" else 2), 0, ""
    if part.isdigit():
        digits = part.lstrip("0")
        return 4, len(digits), digits
    return 3, 0, part


COLLECTOR = Collector(
    "software.rpm",
    key="name.architecture; gpg-pubkey-id for a key that rpm trusts",
    collect=collect,
    deadline=20,
    fields={
        "version": "[epoch:]version-release; the highest, where several are installed beside each other",
        "other_versions": "the lower versions installed beside it (kernels), lowest first",
        "vendor": "who built it",
        "source": "source package, where its name differs",
        "signed_by": "id of the OpenPGP key that signed it",
    },
)
