"""Ruby gems of the system's interpreters and of applications, by the names of their specifications.

Source of the format: RubyGems' Gem::Specification#spec_name: name-version[-platform].gemspec.  Other interpreters and
the bundles of applications (vendor/bundle) are looked for by applications.py.
"""

import re
from itertools import chain
from typing import Dict, Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ..configuration import Reader
from . import applications

ROOTS = ("/var/lib/gems", "/usr/lib/ruby/gems", "/usr/local/lib/ruby/gems", "/usr/share/rubygems-integration") + (
    "/usr/share/gems",
    "/usr/lib64/gems",
    "/usr/lib64/ruby/gems",
)

# The system that a gem was compiled for may end as a version does (darwin-22): what comes before it has to be known.
PROCESSOR = (
    r"aarch64|amd64|arm\w*|dalvik|dotnet|i\d86|java|jruby|loongarch64|mingw\w*|mswin\w*|powerpc\w*|ppc\w*|riscv64"
    r"|s390x?|sparc\w*|universal|x64|x86(?:_64)?"
)
VERSION = r"(?s)(.+)-([0-9]+(?:\.[0-9A-Za-z]+)*)"
SPECIFICATIONS = (
    re.compile(VERSION + r"-((?:%s)(?:-[\w.]+)*)\.gemspec\Z" % PROCESSOR),
    re.compile(VERSION + r"()\.gemspec\Z"),
    re.compile(r"(?s)(.+?)-([0-9][0-9A-Za-z.]*)-(.+)\.gemspec\Z"),  # for another system
)


def collect(host: Host) -> Section:
    """Absent where no interpreter has a directory of specifications."""
    private = applications.find(host)
    reader = Reader(host)
    reader.problems += private.unread
    rows: Rows = {}
    folders = list(_folders(reader, private))
    for folder in folders:
        versions: Dict[str, List[str]] = {}
        for name, version in filter(None, map(parse, reader.names(folder))):
            versions.setdefault(name, []).append(version)
        for name, several in versions.items():
            rows["%s:%s" % (printable(folder), name)] = {"versions": sorted(several)}
    if not folders and not reader.problems:
        return absent("there are no gems")
    return Section(OK, rows, {}, reader.error())


def _folders(reader: Reader, private: applications.Applications) -> Iterator[str]:
    """Yield the directories of specifications and, in each, that of what comes with Ruby; each once."""
    seen = set()
    for home in chain(_homes(reader), _private_homes(reader, private)):
        for folder in (home + "/specifications", home + "/specifications/default"):
            try:
                if reader.host.exists(folder) and reader.host.resolve(folder) not in seen:
                    seen.add(reader.host.resolve(folder))
                    yield folder
            except OSError as error:
                reader.problem(folder, error.strerror or type(error).__name__)


def _homes(reader: Reader) -> Iterator[str]:
    """Yield the places in which the system's interpreters keep gems: one for each version of Ruby."""
    multiarch = ["/usr/lib/%s/rubygems-integration" % name for name in reader.names("/usr/lib") if "-linux-" in name]
    for root in chain(ROOTS, multiarch):
        names = reader.names(root)
        if names:
            yield root
        for name in names:
            if name != "specifications":
                yield "%s/%s" % (root, name)


def _private_homes(reader: Reader, private: applications.Applications) -> Iterator[str]:
    """Yield the places of other interpreters (lib/ruby/gems/3.1.0) and of bundles (vendor/bundle/ruby/3.1.0)."""
    for path in private.like(applications.GEMS):
        yield path.rpartition("/")[0]
    for ruby in private.like(applications.RUBY):
        for parent in (ruby, ruby + "/gems"):
            for name in reader.names(parent):
                yield "%s/%s" % (parent, name)


def parse(name: str) -> Optional[Tuple[str, str]]:
    """Return name and version, with the platform if there is one, of a specification; None for another file."""
    match = next(filter(None, (pattern.match(name) for pattern in SPECIFICATIONS)), None)
    if match is None:
        return None
    version = match.group(2) + ("-" + match.group(3) if match.group(3) else "")
    return printable(match.group(1)), printable(version)


COLLECTOR = Collector(
    "software.gem",
    key="directory:name",
    collect=collect,
    deadline=30,
    fields={"versions": "installed versions, sorted as text; several may be used side by side"},
)
