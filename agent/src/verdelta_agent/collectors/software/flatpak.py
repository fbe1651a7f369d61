"""Flatpaks that are installed for the whole system, in its own place and in others that an administrator has set up.

Source of the format: flatpak's common/flatpak-dir.c: app/ID/ARCH/BRANCH/active links to the directory of a commit; the
file deploy in it is a GVariant (ssasta{sv}): the origin, the commit, and more, of which a dictionary has the version;
each text ends with a zero, and a text in a dictionary with its type as well.  flatpak-installation(5) for others.

What people have installed for themselves lies in their homes and is not looked at.
"""

import re
from typing import Dict, Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..system.files import foreign, read_mounts

SYSTEM = "/var/lib/flatpak"
CONFIGURED = "/etc/flatpak/installations.d"
KINDS = ("app", "runtime")
ENTRIES = 20000
DEPLOY = 4 << 20  # bytes of the file deploy
VERSION = re.compile(rb"appdata-version\0([^\0]*)\0\0s")


def collect(host: Host) -> Section:
    """Absent where flatpak has no place on the host; partial where one cannot be read, or is another machine's."""
    reader = Reader(host)
    places = {"": SYSTEM}
    places.update(_configured(reader))
    mounts = read_mounts(host)
    rows: Rows = {}
    found = False
    for name, place in places.items():
        served = foreign(place, mounts)
        if served is not None:
            reader.problem(place, "on %s" % served)
            continue
        found = host.exists(place) or found
        for kind in KINDS:
            for path, parts in _deployments(reader, "%s/%s" % (place, kind)):
                row = _row(reader, path)
                if row is not None:
                    rows[printable(name + "/".join([kind] + parts))] = row
    if not found and not reader.problems:
        return absent("there is no %s" % SYSTEM)
    return Section(OK, rows, {}, reader.error())


def _configured(reader: Reader) -> Dict[str, str]:
    """Return "name:" -> path of each further installation."""
    places: Dict[str, str] = {}
    for name in reader.names(CONFIGURED):
        text = reader.text("%s/%s" % (CONFIGURED, name)) if name.endswith(".conf") else None
        places.update(parse_installations(text or ""))
    return places


def parse_installations(text: str) -> Dict[str, str]:
    """Return "name:" -> path of the installations that a file of installations.d sets up."""
    places: Dict[str, str] = {}
    name = ""
    for line in map(str.strip, text.split("\n")):
        if line.startswith("["):
            group, _, quoted = line.strip("[]").partition(" ")
            name = quoted.strip().strip('"') if group == "Installation" else ""
        field, _, value = line.partition("=")
        if name and field.strip() == "Path" and value.strip().startswith("/"):
            places[name + ":"] = value.strip().rstrip("/")
    return places


def _deployments(reader: Reader, folder: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield the folder of each id, architecture and branch."""
    left = ENTRIES
    for identity in reader.names(folder):
        for architecture in reader.names("%s/%s" % (folder, identity)):
            if architecture == "current":  # a link to one of them
                continue
            for branch in reader.names("%s/%s/%s" % (folder, identity, architecture)):
                left -= 1
                if left < 0:
                    raise ValueError("more than %d flatpaks" % ENTRIES)
                yield "%s/%s/%s/%s" % (folder, identity, architecture, branch), [identity, architecture, branch]


def _row(reader: Reader, path: str) -> Optional[Row]:
    """Return the row of what is in use of a branch; None where nothing is."""
    try:
        commit = reader.host.readlink(path + "/active")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reader.problem(path, error.strerror or "unreadable")
        return None
    row: Row = {"commit": printable(commit)}
    row.update(_deployed(reader, path + "/active/deploy"))
    return row


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
    key="app or runtime/id/architecture/branch; with the name of the installation before it, if that is a further one",
    collect=collect,
    deadline=5,
    fields={
        "commit": "the commit in use, which says every byte of it",
        "origin": "the remote that it came from and is updated from",
        "version": "the version that an application states in its AppStream data",
    },
)
