"""Flatpaks that are installed for the whole system.

Source of the format: flatpak's common/flatpak-dir.c: app/ID/ARCH/BRANCH/active links to the directory of a commit; the
deploy file in it is a GVariant and not read.
"""

from typing import Iterator, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ..configuration import Reader

INSTALLATIONS = ("/var/lib/flatpak",)
KINDS = ("app", "runtime")
ENTRIES = 20000


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
                rows[printable("/".join([kind] + parts))] = {"commit": printable(commit)}
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


COLLECTOR = Collector(
    "software.flatpak",
    key="app or runtime/id/architecture/branch",
    collect=collect,
    deadline=5,
    fields={"commit": "the commit in use, which says every byte of it"},
)
