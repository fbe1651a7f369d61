"""Node.js packages: those installed for all, Debian's, and what applications have in a node_modules of their own.

Source of the format: npm's documentation of folders and package.json.  What lies in a node_modules is a row; what a
package has below itself belongs to it.  Applications are looked for by applications.py.
"""

import json
import posixpath
from itertools import chain
from typing import Iterator, List, NamedTuple, Optional

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from . import applications

FOLDERS = (
    "/usr/lib/node_modules",
    "/usr/lib64/node_modules",
    "/usr/local/lib/node_modules",
    "/usr/share/nodejs",
    "/usr/lib/nodejs",
)

SIZE = 1 << 20  # bytes of a package.json
ENTRIES = 5000  # in one folder
PACKAGES = 20000  # on one host


class Place(NamedTuple):
    """Where a package lies."""

    folder: str
    name: str  # with the scope
    link: Optional[str]  # where it leads, if that is out of the folder and of /usr


def collect(host: Host) -> Section:
    """Absent where there is no node_modules; partial where a package does not say what it is."""
    private = applications.find(host)
    reader = Reader(host)
    reader.problems += private.unread
    rows: Rows = {}
    bad: List[str] = []
    folders = list(_folders(reader, private))
    for place in chain.from_iterable(_places(reader, folder) for folder in folders):
        if len(rows) == PACKAGES:
            reader.problem(place.folder, "more than %d packages" % PACKAGES)
            break
        row = _row(reader, place, bad)
        if row is not None:
            rows[printable("%s:%s" % (place.folder, place.name))] = row
    if not folders and not reader.problems:
        return absent("there is no node_modules")
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _folders(reader: Reader, private: applications.Applications) -> Iterator[str]:
    """Yield the folders of packages, each once, though one may be a link to another."""
    seen = set()
    for path in chain(FOLDERS, private.like(applications.NODE)):
        try:
            if reader.host.exists(path) and reader.host.resolve(path) not in seen:
                seen.add(reader.host.resolve(path))
                yield path
        except OSError as error:
            reader.problem(path, error.strerror or type(error).__name__)


def _places(reader: Reader, folder: str) -> Iterator[Place]:
    """Yield what lies in a folder and in the scopes in it.  Hidden names are npm's own, or left when it was killed."""
    pending = [""]
    while pending:
        scope = pending.pop()
        path = "%s/%s" % (folder, scope) if scope else folder
        try:
            inside = set(reader.host.subdirectories(path, ENTRIES))
            names = [name for name in reader.host.listdir(path) if not name.startswith(".")]
        except OSError as error:
            reader.problem(path, error.strerror or type(error).__name__)
            continue
        pending += [name for name in names if name in inside and name.startswith("@") and not scope]
        for name in (posixpath.join(scope, name) for name in names if not name.startswith("@") or scope):
            if posixpath.basename(name) in inside:
                yield Place(folder, name, None)
            else:
                yield from _linked(reader.host, folder, name)


def _linked(host: Host, folder: str, name: str) -> Iterator[Place]:
    """Yield a package that is a link: into the store of pnpm beside it, within /usr, or to somebody's working copy."""
    path = "%s/%s" % (folder, name)
    try:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), host.readlink(path)))
    except OSError:
        return  # a file
    yield Place(folder, name, None if target.startswith((folder + "/", "/usr/")) else target)


def _row(reader: Reader, place: Place, bad: List[str]) -> Optional[Row]:
    """Return the row of a package; None for a folder of files that is no package, as Debian has some."""
    if place.link is not None:
        return {"version": None, "link": printable(place.link)}
    path = "%s/%s" % (place.folder, place.name)
    before = len(reader.problems)
    content = reader.bytes(path + "/package.json", SIZE)
    if content is None:
        return {"version": None} if len(reader.problems) > before else None
    try:
        return parse(content)
    except ValueError as error:
        bad.append(printable("%s (%s)" % (path, error)))
        return {"version": None}


def parse(content: bytes) -> Row:
    """Return version and licence of a package.json.  Raises ValueError."""
    try:
        found = json.loads(content.decode("utf-8-sig"))
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
    deadline=30,
    fields={
        "version": "installed version; empty where it states none, null where it could not be read",
        "license": "licence, where it is stated as one text",
        "link": "of a link to a working copy: where it leads; it is not followed",
    },
)
