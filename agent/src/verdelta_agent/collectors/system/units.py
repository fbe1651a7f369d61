"""systemd's units: which are there, what is in them, and which start by themselves.

Sources: systemd.unit(5) "UNIT FILE LOAD PATH", systemctl(1) "list-unit-files" and "is-enabled" for the states, and
systemd's src/shared/install.c for how they follow from the links.

Only what is configured: nothing below /run.  Generated units (of fstab, of init scripts) follow from files that are in
other sections; transient and runtime ones, and what `--runtime` enables or masks, are forgotten at the next start.
"""

import hashlib
import os
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

from ...host import Host, printable
from ...model import OK, Collector, Row, Section, absent
from ..incomplete import missing
from .files import foreign, read_mounts, said
from .unit_files import (
    ALIAS,
    BAD,
    ENABLED,
    MASKED,
    STATIC,
    Link,
    generic_of,
    is_unit,
    names_of,
    parse_install,
    parse_schedule,
    state_of,
    template_of,
)

CONFIGURED = "/etc/systemd/system"  # links here, and nowhere else, are the administrator's
SEARCHED = (
    "/etc/systemd/system.control",
    CONFIGURED,
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
DEPENDENCIES = (".wants", ".requires", ".upholds")
CONTENT = 1 << 20  # bytes of a unit file
ENTRIES = 100000  # of all directories together
NULL = "/dev/null"
HOPS = 40  # of links, as the kernel has it


def collect(host: Host) -> Section:
    """Absent where there is no directory of units; partial where a file of one could not be read."""
    directories = _directories(host)
    if not directories:
        return absent()
    found = _Found(host)
    for directory in directories:
        found.search(directory)
    reader = _Reader(host, found.units, found.links)
    drop_ins = {name: reader.drop_ins(files) for name, files in found.drop_ins.items()}
    rows = {name: reader.row(name, path, drop_ins) for name, path in found.units.items()}
    others = ((name, files) for name, files in drop_ins.items() if files and name not in found.units)
    rows.update(("%s.d" % printable(name), {"drop_ins": _shown(files)}) for name, files in others)
    return Section(OK, rows, {}, missing("partial: not read", found.problems + reader.problems))


def _directories(host: Host) -> List[str]:
    """Return the searched directories that there are, each once, though /lib may be a link to /usr/lib."""
    found: Dict[str, str] = {}
    for path in SEARCHED:
        if host.exists(path):
            found.setdefault(host.resolve(path), path)
    return list(found.values())


class _Found:
    """What the searched directories have; of one name, what is found first counts."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.problems: List[str] = []
        self.entries = 0
        self.units: Dict[str, str] = {}  # name -> path
        self.drop_ins: Dict[str, Dict[str, str]] = {}  # unit, type or prefix -> file name -> path
        self.links: Dict[str, List[Link]] = {}  # unit -> the links that are about it

    def search(self, directory: str) -> None:
        for name in self._names(directory):
            path = "%s/%s" % (directory, name)
            stem, suffix = os.path.splitext(name)
            if is_unit(name):
                self._unit(directory, name, path)
            elif suffix == ".d":
                files = self.drop_ins.setdefault(stem, {})
                for file in self._names(path):
                    if file.endswith(".conf"):
                        files.setdefault(file, "%s/%s" % (path, file))
            elif suffix in DEPENDENCIES and directory == CONFIGURED:
                for link in self._names(path):
                    if self.host.lstat("%s/%s" % (path, link)).kind == "symlink":
                        self._link(Link(name, link, link))

    def _unit(self, directory: str, name: str, path: str) -> None:
        kind = self.host.lstat(path).kind
        if kind in ("file", "symlink"):
            self.units.setdefault(name, path)
        if kind == "symlink" and directory == CONFIGURED:
            self._link(Link("", name, os.path.basename(self.host.readlink(path))))

    def _link(self, link: Link) -> None:
        for name in names_of(link):
            self.links.setdefault(name, []).append(link)

    def _names(self, path: str) -> List[str]:
        """Return the names in a directory; none where it is something else, or may not be read, which is kept."""
        try:
            names = self.host.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.problems.append("%s (%s)" % (printable(path), said(error)))
            return []
        self.entries += len(names)
        if self.entries > ENTRIES:
            raise ValueError("more than %d units, drop-ins and links" % ENTRIES)
        return names


class _File(NamedTuple):
    """A unit file or drop-in: where it is once its links are followed, and its content unless it could not be read."""

    path: str
    end: str  # "" where it leads nowhere
    content: bytes = b""
    problem: str = ""

    @property
    def digest(self) -> Optional[str]:
        return None if self.problem else hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "backslashreplace")


class _Reader:
    """Reads units and drop-ins, and keeps what was wrong with them."""

    def __init__(self, host: Host, units: Mapping[str, str], links: Mapping[str, List[Link]]) -> None:
        self.host = host
        self.units = units
        self.links = links
        self.mounts = read_mounts(host)
        self.foreign: Dict[str, Optional[str]] = {}  # directory -> its kind; asking costs a look at every mount
        self.problems: List[str] = []

    def drop_ins(self, files: Mapping[str, str]) -> List[_File]:
        """Return the drop-ins that count, in the order in which systemd reads them; one that leads nowhere does not."""
        read = (self._file(files[name]) for name in sorted(files))
        return [file for file in read if file.end not in ("", NULL)]

    def row(self, name: str, path: str, all_drop_ins: Mapping[str, Sequence[_File]]) -> Row:
        file, drop_ins = self._file(path), all_drop_ins.get(name, ())
        row: Row = {"enabled": self._state(name, file, drop_ins), "path": path}
        if row["enabled"] == ALIAS:
            row["alias_of"] = printable(os.path.basename(file.end))
        elif row["enabled"] not in (MASKED, BAD):
            row["digest"] = file.digest
            links = sorted({str(link) for link in self.links.get(name, [])})
            if links:
                row["links"] = [printable(link) for link in links]
            if name.endswith(".timer"):
                row["schedule"] = _schedule(name, file, all_drop_ins)
        if drop_ins:
            row["drop_ins"] = _shown(drop_ins)
        return row

    def _state(self, name: str, file: _File, drop_ins: Sequence[_File]) -> Optional[str]:
        """Return None where it follows from a file that could not be read."""
        last = os.path.basename(file.end)
        if file.end in ("", NULL):
            return MASKED if file.end else BAD
        if file.problem:
            return None
        if not file.content:
            return MASKED
        if last != name and name == template_of(name):  # an instance is none, wherever it leads
            return ALIAS
        install = parse_install(file.text, [each.text for each in drop_ins])
        state = state_of(name, install, self.links.get(name, []))
        instance_of_the_distribution = last != name and not file.path.startswith(CONFIGURED + "/")
        return STATIC if instance_of_the_distribution and state != ENABLED else state

    def _file(self, path: str) -> _File:
        end = path
        try:
            for _ in range(HOPS):
                if end == NULL:
                    return _File(path, end)
                kind = self._foreign(end)
                if kind is not None:
                    return self._unread(path, end, "on %s" % kind)
                if self.host.lstat(end).kind != "symlink":
                    return _File(path, end, self.host.read_bytes(end, CONTENT))
                end = self._next(end)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            return self._unread(path, end, said(error))
        return _File(path, "")

    def _foreign(self, path: str) -> Optional[str]:
        place = path if path in self.mounts else os.path.dirname(path)
        if place not in self.foreign:
            self.foreign[place] = foreign(place, self.mounts)
        return self.foreign[place]

    def _next(self, link: str) -> str:
        """Return where a link leads.  One to a unit of another name leads to what counts under that name."""
        target = os.path.normpath(os.path.join(os.path.dirname(link), self.host.readlink(link)))
        name = os.path.basename(target)
        return self.units.get(name, target) if name != os.path.basename(link) else target

    def _unread(self, path: str, end: str, problem: str) -> _File:
        self.problems.append("%s (%s)" % (printable(path), problem))
        return _File(path, end, problem=problem)


def _schedule(name: str, timer: _File, drop_ins: Mapping[str, Sequence[_File]]) -> Optional[List[str]]:
    """Return when a timer goes off, or None where a file that has a say in it could not be read.

    Of drop-ins with one file name, that of the unit itself counts, and not that of its type.
    """
    named: Dict[str, _File] = {}
    for stem in generic_of(name) + [name]:
        named.update((os.path.basename(file.path), file) for file in drop_ins.get(stem, ()))
    files = [timer] + [named[file] for file in sorted(named)]
    return None if any(file.problem for file in files) else parse_schedule(files[0].text, [f.text for f in files[1:]])


def _shown(drop_ins: Sequence[_File]) -> List[str]:
    return ["%s %s" % (printable(file.path), file.digest or "unread") for file in drop_ins]


COLLECTOR = Collector(
    "system.units",
    key="name of the unit; name.d where there are drop-ins for a type, prefix or instance alone",
    collect=collect,
    deadline=10,
    fields={
        "enabled": "enabled, disabled, static, indirect, linked, alias, masked or bad, as systemctl list-unit-files "
        "says; null where the file could not be read",
        "path": "the unit file that counts",
        "digest": "SHA-256 of its content; null where it could not be read",
        "alias_of": "of an alias: the unit that it is another name of",
        "schedule": "of a timer: when it goes off, drop-ins applied, in order; null where a file could not be read",
        "links": "links below /etc/systemd/system that enable it, instantiate it or give it another name",
        "drop_ins": "path and SHA-256 of every file of additional settings that counts, in order",
    },
)
