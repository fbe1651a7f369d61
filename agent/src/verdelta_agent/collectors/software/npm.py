"""Node.js packages that are installed for all: global node_modules, and those of Debian's packages.

Source of the format: npm's documentation of folders and package.json.  What a package has below itself belongs to it.
"""

import json
from typing import Iterator, List

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together

FOLDERS = ("/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/share/nodejs", "/usr/lib/nodejs")

SIZE = 1 << 20  # bytes of a package.json


def collect(host: Host) -> Section:
    """Absent where there is no global node_modules; partial where a package does not say what it is."""
    reader = Reader(host)
    rows: Rows = {}
    bad: List[str] = []
    folders = [folder for folder in FOLDERS if host.exists(folder)]
    for folder in folders:
        for name in _packages(reader, folder):
            path = "%s/%s" % (folder, name)
            content = reader.bytes(path + "/package.json", SIZE)
            if content is None:
                continue  # a folder of files that is no package, as Debian has some
            try:
                rows[printable("%s:%s" % (folder, name))] = parse(content)
            except ValueError as error:
                bad.append(printable("%s (%s)" % (path, error)))
    if not folders:
        return absent("there is no %s" % " or ".join(FOLDERS))
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _packages(reader: Reader, folder: str) -> Iterator[str]:
    for name in reader.names(folder):
        if name.startswith("@"):
            for scoped in reader.names("%s/%s" % (folder, name)):
                yield "%s/%s" % (name, scoped)
        elif not name.startswith("."):
            yield name


def parse(content: bytes) -> Row:
    """Return version, and name where the folder's is another one, of a package.json.  Raises ValueError."""
    try:
        found = json.loads(content.decode("utf-8"))
        version = found.get("version", "")
        licence = found.get("license", "")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError("no package.json") from error
    row: Row = {"version": printable(version) if isinstance(version, str) else ""}
    if isinstance(licence, str) and licence:
        row["license"] = printable(licence)
    return row


COLLECTOR = Collector(
    "software.npm",
    key="directory:name, with the scope",
    collect=collect,
    deadline=10,
    fields={"version": "installed version", "license": "licence, where it is stated as one text"},
)
