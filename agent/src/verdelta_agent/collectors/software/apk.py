"""Alpine's packages, from apk's own database.

Source of the format: apk-tools' src/database.c and apk-package(5): a paragraph a package, a letter and a colon before
each field.  What people asked for stands in /etc/apk/world; the rest came along.
"""

from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent

DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
WORLD = "/etc/apk/world"
FIELDS = {"P": "name", "V": "version", "A": "architecture", "o": "origin", "s": "tag", "f": "flags"}
BROKEN = {"f": "files", "s": "script", "x": "extended attributes"}  # S, there too, says how the checksum is written


def collect(host: Host) -> Section:
    """Absent where the host has no apk; partial where /etc/apk/world may not be read."""
    for path in DATABASES:
        if host.exists(path):
            world, error = _world(host)
            return Section(OK, parse(host.read(path), world), {}, error)
    return absent("there is no %s" % DATABASES[0])


def _world(host: Host) -> Tuple[Optional[List[str]], Optional[str]]:
    """Return what somebody asked for; None, and why, where that may not be read."""
    try:
        return (host.read(WORLD).split() if host.exists(WORLD) else []), None
    except OSError as error:
        return None, "%s: %s" % (WORLD, error.strerror)


def parse(installed: str, world: Optional[Iterable[str]]) -> Rows:
    """Return name -> version, architecture, origin, whether somebody asked for it.  Raises ValueError if cut short."""
    if installed and not installed.endswith("\n"):
        raise ValueError("cut short: %r" % installed[-100:])
    explicit = None if world is None else dict(_asked_for(world))
    rows: Rows = {}
    for paragraph in installed.split("\n\n"):
        if paragraph.strip():
            name, row = _package(paragraph, explicit)
            rows[name] = row
    return rows


def _package(paragraph: str, explicit: Optional[Mapping[str, str]]) -> Tuple[str, Row]:
    found: Dict[str, str] = {}
    for line in paragraph.split("\n"):
        if line[:2] == "F:":  # the files begin, and are most of the text
            break
        if line[1:2] == ":" and line[0] in FIELDS:
            found[FIELDS[line[0]]] = line[2:]
    if not found.get("name") or not found.get("version"):
        raise ValueError("not a package: %r" % paragraph[:200])
    row: Row = {"version": found["version"], "architecture": found.get("architecture", "")}
    row["explicit"] = None if explicit is None else found["name"] in explicit
    constraint = (explicit or {}).get(found["name"], found["name"])
    if constraint != found["name"]:
        row["constraint"] = constraint
    broken = [what for flag, what in BROKEN.items() if flag in found.get("flags", "")]
    if broken:
        row["broken"] = broken
    if found.get("origin", found["name"]) != found["name"]:
        row["origin"] = found["origin"]
    if "tag" in found:
        row["tag"] = found["tag"]
    return found["name"], row


def _asked_for(world: Iterable[str]) -> Iterator[Tuple[str, str]]:
    """Yield the names in /etc/apk/world, and as they stand there, with tags and versions; not what is to stay away."""
    for word in world:
        name = word
        for sign in "<>=~@":
            name = name.partition(sign)[0]
        if not word.startswith("!"):
            yield name, word


COLLECTOR = Collector(
    "software.apk",
    key="name",
    collect=collect,
    deadline=5,
    fields={
        "version": "installed version",
        "architecture": "architecture, or noarch",
        "explicit": "whether /etc/apk/world asks for it; the others came along; null where that may not be read",
        "origin": "source package, where its name differs",
        "tag": "tag of the repository that it is pinned to",
        "constraint": "what /etc/apk/world says beside the name: versions that are allowed, a tag",
        "broken": "what apk could not install of it: files, script, extended attributes",
    },
)
