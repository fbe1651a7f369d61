"""Ruby gems of the system's interpreters, by the names of their specifications.

Source of the format: RubyGems' Gem::Specification#spec_name: name-version[-platform].gemspec.
"""

import re
from typing import Dict, Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ..configuration import Reader

ROOTS = ("/var/lib/gems", "/usr/lib/ruby/gems", "/usr/local/lib/ruby/gems", "/usr/share/rubygems-integration") + (
    "/usr/share/gems",
    "/usr/lib64/gems",
)

SPECIFICATION = re.compile(r"(.+?)-([0-9][0-9A-Za-z.]*)(?:-(.+))?\.gemspec\Z")


def collect(host: Host) -> Section:
    """Absent where no interpreter has a directory of specifications."""
    reader = Reader(host)
    rows: Rows = {}
    found = False
    for folder in _folders(reader):
        found = True
        versions: Dict[str, List[str]] = {}
        for name, version in filter(None, map(parse, reader.names(folder))):
            versions.setdefault(name, []).append(version)
        for name, several in versions.items():
            rows["%s:%s" % (printable(folder), name)] = {"versions": sorted(several)}
    if not found and not reader.problems:
        return absent("there are no gems")
    return Section(OK, rows, {}, reader.error())


def _folders(reader: Reader) -> Iterator[str]:
    """Yield the directories of specifications: of each version of Ruby, and of what comes with it."""
    multiarch = ["/usr/lib/%s/rubygems-integration" % name for name in reader.names("/usr/lib") if "-linux-" in name]
    for root in ROOTS + tuple(multiarch):
        names = reader.names(root)
        for version in [""] + ["/" + name for name in names if name != "specifications"]:
            for kind in ("specifications", "specifications/default"):
                folder = "%s%s/%s" % (root, version, kind)
                if names and reader.host.exists(folder):
                    yield folder


def parse(name: str) -> Optional[Tuple[str, str]]:
    """Return name and version, with the platform if there is one, of a specification; None for another file."""
    match = SPECIFICATION.match(name)
    if match is None:
        return None
    version = match.group(2) + ("-" + match.group(3) if match.group(3) else "")
    return printable(match.group(1)), printable(version)


COLLECTOR = Collector(
    "software.gem",
    key="directory:name",
    collect=collect,
    deadline=5,
    fields={"versions": "installed versions, sorted as text; several may be used side by side"},
)
