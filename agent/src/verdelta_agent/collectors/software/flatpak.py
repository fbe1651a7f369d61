"""Flatpaks that are installed for the whole system.

Source of the format: flatpak's common/flatpak-dir.c: app/ID/ARCH/BRANCH/active links to the directory of a commit; the
deploy file in it is a GVariant of FLATPAK_DEPLOY_DATA_GVARIANT_STRING: the origin, the commit, and then more, of which
a dictionary has the version.  GVariant ends each text with a zero, and a text in a dictionary with its type as well.
"""

import re
from typing import Iterator, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader

INSTALLATIONS = ("/var/lib/flatpak",)
KINDS = ("app", "runtime")
ENTRIES = 20000
DEPLOY = 1 << 20  # bytes of a deploy file
VERSION = re.compile(rb"appdata-version\0([^\0]*)\0\0s")


def collect(host: Host) -> Section:
    """Absent where nothing is installed by flatpak."""
    reader = Reader(host)
    rows: Rows = {}
    for installation in INSTALLATIONS:
        for kind in KINDS:
            for path, parts in _deployments(reader, "%s/%s" % (installation, kind)):
                try:
                    commit = host.readlink(path + "/active")
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    reader.problem(path, error.strerror or "unreadable")
                    continue
                row: Row = {"commit": printable(commit)}
                row.update(_deployed(reader, path + "/active/deploy"))
                rows[printable("/".join([kind] + parts))] = row
    if not rows and not reader.problems and not any(map(host.exists, INSTALLATIONS)):
        return absent("there is no %s" % INSTALLATIONS[0])
    return Section(OK, rows, {}, reader.error())


def _deployments(reader: Reader, folder: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield the folder of each id, architecture and branch."""
    left = ENTRIES
    for identity in reader.names(folder):
        for architecture in reader.names("%s/%s" % (folder, identity)):
            for branch in reader.names("%s/%s/%s" % (folder, identity, architecture)):
                left -= 1
                if left < 0:
                    raise ValueError("more than %d flatpaks" % ENTRIES)
                if architecture != "current":
                    yield "%s/%s/%s/%s" % (folder, identity, architecture, branch), [identity, architecture, branch]


def _deployed(reader: Reader, path: str) -> Row:
    content = reader.bytes(path, DEPLOY)
    try:
        return {} if content is None else parse(content)
    except ValueError as error:
        reader.problem(path, str(error))
        return {}


def parse(deploy: bytes) -> Row:
    """Return origin, and version where there is one, of a deploy file.  Raises ValueError."""
    origin, _, rest = deploy.partition(b"\0")
    commit, ended, rest = rest.partition(b"\0")
    if not ended or len(commit) != 64 or commit.strip(b"0123456789abcdef"):
        raise ValueError("no deploy file")
    row: Row = {"origin": origin.decode("utf-8", "backslashreplace")}
    stated = VERSION.search(rest)
    if stated is not None:
        row["version"] = stated.group(1).decode("utf-8", "backslashreplace")
    return row


COLLECTOR = Collector(
    "software.flatpak",
    key="app or runtime/id/architecture/branch",
    collect=collect,
    deadline=5,
    fields={
        "commit": "the commit in use, which says every byte of it",
        "origin": "remote that it came from and is updated from",
        "version": "version that an application states in its AppStream data",
    },
)
