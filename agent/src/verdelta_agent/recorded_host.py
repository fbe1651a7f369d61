"""The door to a machine that was recorded, in tests."""

import errno
import functools
import os
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from .host import LIMIT, FileStatus, Host
from .paths import anywhere, os_error, walk


class RecordedHost(Host):
    """A recording of another machine: {"files": {path: text}, "links": {path: target}, "status": {path: …}, …}.

    A file's content is its text, {"hex": bytes} or {"error": "EACCES"}.  "status" gives mode, uid and gid where they
    matter (0644 and root otherwise).  "directories" lists empty ones; the others follow from the paths.  "commands"
    maps a command, joined by spaces, to what it prints, and "controller" a request to the management controller to its
    answer, both as hex digits.  "netlink" maps a request, "protocol type body", to the digits of its answer, or to an
    error as of a file; so does "ethtool", by "interface request".  "watched" replaces the watched paths.  "devices"
    maps a block device to {offset: hex}: every other byte of it is zero; or to {"error": "EIO"}.  "owners" maps the
    inode of a socket to the program that holds it.

    Paths are absolute, and lead where they would on the machine, or to the same error.
    """

    def __init__(self, recording: Mapping[str, Any]) -> None:
        self.files: Mapping[str, Any] = recording.get("files", {})
        self.links: Mapping[str, str] = recording.get("links", {})
        self.status: Mapping[str, Mapping[str, int]] = recording.get("status", {})
        self.commands: Mapping[str, str] = recording.get("commands", {})
        self.devices: Mapping[str, Mapping[str, str]] = recording.get("devices", {})
        self.controller: Mapping[str, str] = recording.get("controller", {})
        self.owners: Mapping[str, str] = recording.get("owners", {})
        self.answers: Mapping[str, Any] = recording.get("netlink", {})
        self.drivers: Mapping[str, Any] = recording.get("ethtool", {})
        self.tables: Mapping[str, Any] = recording.get("xtables", {})
        self.watched = recording.get("watched", Host.watched)
        self.names: Dict[str, Any] = {"/": set()}
        for path in list(self.files) + list(self.links) + list(recording.get("directories", [])):
            self._add(path.rstrip("/"))
        for path in recording.get("directories", []):
            self.names.setdefault(path.rstrip("/") or "/", set())

    def _add(self, path: str) -> None:
        while path:
            path, _, name = path.rpartition("/")
            self.names.setdefault(path or "/", set()).add(name)

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        real = self._find(path)
        if real in self.names:
            raise os_error(errno.EISDIR, path)
        content = self.files[real]
        if isinstance(content, str):
            data = content.encode("utf-8")
        elif "error" in content:
            raise os_error(getattr(errno, content["error"]), path)
        else:
            data = bytes.fromhex(content["hex"])
        if len(data) > limit:
            raise os_error(errno.EFBIG, path)
        return data

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        pieces = self.devices.get(path)
        if pieces is None or "error" in pieces:
            raise os_error(getattr(errno, pieces["error"]) if pieces else errno.ENOENT, path)
        data = bytearray(size)
        for start, digits in pieces.items():
            piece, at = bytes.fromhex(digits), int(start) - offset
            first, last = max(at, 0), min(at + len(piece), size)
            if first < last:
                data[first:last] = piece[first - at : last - at]
        return bytes(data)

    def lstat(self, path: str) -> FileStatus:
        here = self._find(path, follow=False)
        kind = "symlink" if here in self.links else "file" if here in self.files else "directory"
        given = self.status.get(here, {})
        mode = given.get("mode", {"symlink": 0o777, "directory": 0o755}.get(kind, 0o644))
        content = self.files.get(here, "")
        size = len(content.encode("utf-8")) if isinstance(content, str) else len(content.get("hex", "")) // 2
        return FileStatus(kind, mode, given.get("uid", 0), given.get("gid", 0), size)

    def listdir(self, path: str) -> List[str]:
        real = self._find(path)
        if real not in self.names:
            raise os_error(errno.ENOTDIR, path)
        return sorted(self.names[real])

    def readlink(self, path: str) -> str:
        here = self._find(path, follow=False)
        if here not in self.links:
            raise os_error(errno.EINVAL, path)
        return self.links[here]

    def resolve(self, path: str) -> str:
        return self._walk(path, follow=True, strict=False)

    def _find(self, path: str, follow: bool = True) -> str:
        """Return the path without links of what is there, with the last link followed or not.  Raises OSError."""
        done = self._walk(path, follow or path.endswith("/"), strict=True)
        if done not in self.names and done not in self.files and done not in self.links:
            raise os_error(errno.ENOENT, path)
        return done

    def _walk(self, path: str, follow: bool, strict: bool) -> str:
        enter = functools.partial(self._check_directory, path) if strict else anywhere
        return walk(path, follow, self.links.get, enter)

    def _check_directory(self, path: str, here: str) -> None:
        if here not in self.names:
            raise os_error(errno.ENOTDIR if here in self.files or here in self.links else errno.ENOENT, path)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        if " ".join(command) not in self.commands:
            raise os_error(errno.ENOENT, command[0])
        return self.commands[" ".join(command)]

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        self._find(device)
        if request.hex() not in self.controller:
            raise os_error(errno.ETIMEDOUT, device)
        return bytes.fromhex(self.controller[request.hex()])

    def socket_owners(self, inodes: Sequence[int]) -> Tuple[List[Tuple[int, str]], bool]:
        found = [(inode, self.owners[str(inode)]) for inode in inodes if str(inode) in self.owners]
        return found, len(found) == len(inodes)

    def local_path(self, path: str) -> str:
        import atexit
        import shutil
        import tempfile

        directory = tempfile.mkdtemp(prefix="recorded-")
        atexit.register(shutil.rmtree, directory)
        copy = os.path.join(directory, os.path.basename(path))
        with open(copy, "wb") as file:
            file.write(self.read_bytes(path))
        return copy

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        return _answer(self.answers, "%d %d %s" % (protocol, kind, body), "EPROTONOSUPPORT", "netlink")

    def ethtool(self, interface: str, request: str) -> bytes:
        return _answer(self.drivers, "%s %s" % (interface, request), "EOPNOTSUPP", interface)

    def xtables(self, family: str, table: str) -> bytes:
        return _answer(self.tables, "%s %s" % (family, table), "ENOPROTOOPT", table)


def _answer(answers: Mapping[str, Any], request: str, otherwise: str, asked: str) -> bytes:
    answer = answers.get(request, {"error": otherwise})
    if isinstance(answer, str):
        return bytes.fromhex(answer)
    raise os_error(getattr(errno, answer["error"]), asked)
