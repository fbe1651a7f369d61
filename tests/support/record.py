"""Records what a collector reads on the machine that this runs on, as tests/hosts keeps it (see its README).

python -m tests.support.record SECTION [--system NAME] [--about TEXT]     record this machine
python -m tests.support.record --renew FILE …                             collect again from recordings, in place
"""

import argparse
import errno
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.gather import collect
from verdelta_agent.host import LIMIT, FileStatus, Host, LocalHost
from verdelta_agent.model import Section
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[1] / "hosts"
MODES = {"file": 0o644, "directory": 0o755, "symlink": 0o777}  # what RecordedHost takes for granted
OWN = ("/proc/self", "/proc/thread-self")  # links to the reader itself, which is another one at every reading
UNREAD = {"error": "ENODATA"}  # a file that a directory listing names and that nobody read


class RecordingHost(Host):
    """Hands every call on to another host and remembers the answer, so that RecordedHost can give it again.

    A path below a symbolic link is kept as the link and the file that it leads to.  What is not there is kept by
    leaving it out.  Of a command, only what it printed is kept: one that failed is missing from the recording.
    """

    def __init__(self, inner: Host) -> None:
        self.inner = inner
        self.watched = inner.watched
        self.files: dict[str, Any] = {}
        self.links: dict[str, str] = {}
        self.status: dict[str, dict[str, int]] = {}
        self.directories: set[str] = set()
        self.commands: dict[str, str] = {}
        self.devices: dict[str, dict[str, str]] = {}
        self.controller: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.drivers: dict[str, Any] = {}
        self.tables: dict[str, Any] = {}

    def recording(self) -> dict[str, Any]:
        """Return what RecordedHost takes, in a steady order and without empty parts."""
        names = list(self.files) + list(self.links) + list(self.directories)
        parents = {name.rpartition("/")[0] for name in names}
        parts = {
            "watched": [] if self.watched == Host.watched else list(self.watched),
            "files": dict(sorted(self.files.items())),
            "links": dict(sorted(self.links.items())),
            "directories": sorted(self.directories - parents),
            "status": dict(sorted(self.status.items())),
            "commands": dict(sorted(self.commands.items())),
            "devices": dict(sorted(self.devices.items())),
            "controller": dict(sorted(self.controller.items())),
            "owners": dict(sorted(self.owners.items())),
            "netlink": dict(sorted(self.answers.items())),
            "ethtool": dict(sorted(self.drivers.items())),
            "xtables": dict(sorted(self.tables.items())),
        }
        return {name: part for name, part in parts.items() if part}

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        real = self._follow(path)
        try:
            data = self.inner.read_bytes(path, limit)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._refused(real, error)
            raise
        self.files[real] = _content(data)
        return data

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        try:
            data = self.inner.read_device(path, offset, size)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self.devices[path] = {"error": errno.errorcode[error.errno or errno.EIO]}
            raise
        pieces = self.devices.setdefault(path, {})
        for match in re.finditer(rb"(?:(?!\0{16}).)+", data, re.DOTALL):  # without the zeros, which are most of it
            pieces[str(offset + match.start())] = match.group().hex()
        return data

    def lstat(self, path: str) -> FileStatus:
        status = self.inner.lstat(path)
        self._remember(self._follow_parent(path), status)
        return status

    def listdir(self, path: str) -> list[str]:
        names = self.inner.listdir(path)
        real = self._follow(path)
        self.directories.add(real)
        for name in names:
            self._remember(f"{real.rstrip('/')}/{name}", self.inner.lstat(f"{real}/{name}"))
        return names

    def readlink(self, path: str) -> str:
        target = self.inner.readlink(path)
        self.links[self._follow_parent(path)] = target
        return target

    def resolve(self, path: str) -> str:
        self._follow(path)
        return self.inner.resolve(path)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        printed = self.inner.run(command, timeout)
        self.commands[" ".join(command)] = printed
        return printed

    def socket_owners(self, inodes: Sequence[int]) -> tuple[list[tuple[int, str]], bool]:
        found, complete = self.inner.socket_owners(inodes)
        self.owners.update((str(inode), program) for inode, program in found)
        return found, complete

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        self._remember(self._follow(device), self.inner.lstat(device))
        answer = self.inner.ask_controller(device, request, timeout)
        self.controller[request.hex()] = answer.hex()
        return answer

    def local_path(self, path: str) -> str:
        self.read_bytes(path)
        return self.inner.local_path(path)

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        return _kept(self.answers, f"{protocol} {kind} {body}", lambda: self.inner.netlink(protocol, kind, body))

    def ethtool(self, interface: str, request: str) -> bytes:
        return _kept(self.drivers, f"{interface} {request}", lambda: self.inner.ethtool(interface, request))

    def xtables(self, family: str, table: str) -> bytes:
        return _kept(self.tables, f"{family} {table}", lambda: self.inner.xtables(family, table))

    def _refused(self, real: str, error: OSError) -> None:
        if self.inner.lstat(real).kind == "directory":
            self.directories.add(real)
        else:
            self.files[real] = {"error": errno.errorcode[error.errno or errno.EIO]}

    def _remember(self, real: str, status: FileStatus) -> None:
        """Keep that there is something at a path whose parents are no links, and what is unusual about it."""
        if status.kind == "symlink":
            self.links[real] = self.inner.readlink(real)
        elif status.kind == "directory":
            self.directories.add(real)
        else:
            self.files.setdefault(real, UNREAD)
        given = {"mode": status.mode, "uid": status.uid, "gid": status.gid}
        usual = {"mode": MODES.get(status.kind, 0o644), "uid": 0, "gid": 0}
        unusual = {name: value for name, value in given.items() if value != usual[name]}
        if unusual and status.kind != "symlink" and not real.startswith(("/sys/", "/proc/")):
            self.status[real] = unusual

    def _follow(self, path: str) -> str:
        """Return where a path leads, and remember every link on the way."""
        done, todo = "", [name for name in path.split("/") if name not in ("", ".")]
        for _ in range(400):
            if not todo:
                return done or "/"
            name = todo.pop(0)
            if name == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{name}"
            if here in OWN:
                done = here
                continue
            try:
                target = self.inner.readlink(here)
            except OSError:
                done = here
                continue
            self.links[here] = target
            done = "" if target.startswith("/") else done
            todo = [part for part in target.split("/") if part not in ("", ".")] + todo
        raise OSError(errno.ELOOP, "too many symbolic links", path)

    def _follow_parent(self, path: str) -> str:
        parent, _, name = path.rstrip("/").rpartition("/")
        return f"{self._follow(parent).rstrip('/')}/{name}"


def _kept(answers: dict[str, Any], request: str, ask: Callable[[], bytes]) -> bytes:
    """Return or raise what is answered, and keep it."""
    try:
        answer = ask()
    except OSError as error:
        answers[request] = {"error": errno.errorcode[error.errno or errno.EIO]}
        raise
    answers[request] = answer.hex()
    return answer


def _content(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def record(section: str, host: Host, about: str) -> dict[str, Any]:
    """Return the recording of one section of a host, and what the collector makes of it.

    Raises RuntimeError when the collector sees something else on the recording than it saw on the host.
    """
    (collector,) = (entry.load() for entry in SECTIONS if entry.name == section)
    recorder = RecordingHost(host)
    seen = collect(recorder, collector)
    replayed = collect(RecordedHost(recorder.recording()), collector)
    if (replayed.status, replayed.rows) != (seen.status, seen.rows):
        raise RuntimeError(f"{section}: the recording does not replay: {seen} became {replayed}")
    return {"about": about, "host": recorder.recording(), "expect": _expectation(replayed)}


def renew(path: Path) -> None:
    """Collect again from a recording and write down what comes out now.  Read the difference before you commit it."""
    recorded = json.loads(path.read_text(encoding="utf-8"))
    (collector,) = (entry.load() for entry in SECTIONS if entry.name == path.stem.partition("@")[0])
    recorded["expect"] = _expectation(collect(RecordedHost(recorded["host"]), collector))
    write(path, recorded)


def write(path: Path, recorded: dict[str, Any]) -> None:
    """Write a recording as people can read and compare it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _expectation(section: Section) -> dict[str, Any]:
    expected: dict[str, Any] = {"status": section.status, "rows": section.rows, "volatile": section.volatile}
    if section.error is not None:
        expected["error"] = section.error
    return expected


def main(arguments: Sequence[str]) -> int:
    """Run the command that the module's text describes."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.record", description="Record a section.")
    parser.add_argument("section", nargs="?", help="a section's name: " + ", ".join(entry.name for entry in SECTIONS))
    parser.add_argument("--system", help="write tests/hosts/SYSTEM/SECTION.json (printed otherwise)")
    parser.add_argument("--about", default="", help="what machine this is and how the recording was made")
    parser.add_argument("--renew", nargs="+", type=Path, metavar="FILE", help="collect again from these recordings")
    options = parser.parse_args(arguments)
    for path in options.renew or []:
        renew(path)
    if options.section is None:
        return 0 if options.renew else parser.error("name a section, or --renew FILE")
    if options.section.partition("@")[0] not in {entry.name for entry in SECTIONS}:
        parser.error(f"there is no section {options.section}")
    recorded = record(options.section.partition("@")[0], LocalHost(), options.about)
    if options.system is None:
        print(json.dumps(recorded, indent=1, ensure_ascii=False))
    else:
        write(HOSTS / options.system / f"{options.section}.json", recorded)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
