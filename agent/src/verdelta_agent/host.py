"""The only door from the agent to the machine: files and commands.

Collectors get a Host and nothing else, so that they run the same on this machine (LocalHost) and on a recording of
another one (RecordedHost, in tests).
"""

import errno
import os
import stat
import subprocess
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

LIMIT = 64 << 20  # bytes of one file; a larger one is an error, never cut short in silence
CHUNK = 65536  # a larger buffer makes every read below /proc/sys fail


class FileStatus(NamedTuple):
    """What lstat says of a path, as far as it is stable."""

    kind: str  # file, directory, symlink, or another of the names in KINDS
    mode: int  # permission bits
    uid: int
    gid: int
    size: int


KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


def printable(text: str) -> str:
    """Return text that every JSON reader takes: bytes that are no UTF-8 (surrogates, to Python) become \\xNN."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Host:
    """A machine to inventory.  Every method raises OSError when the thing cannot be read."""

    watched: Sequence[str] = ("/etc",)  # the files below these paths are part of its inventory

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        """Return the content of a regular file of at most `limit` bytes."""
        raise NotImplementedError

    def lstat(self, path: str) -> FileStatus:
        """Return the status of a path itself, not of what it links to."""
        raise NotImplementedError

    def listdir(self, path: str) -> List[str]:
        """Return the names in a directory, sorted."""
        raise NotImplementedError

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link as it is written there."""
        raise NotImplementedError

    def resolve(self, path: str) -> str:
        """Return the path with every symbolic link followed."""
        raise NotImplementedError

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        """Return what a command prints.  Raises OSError when it is not there, fails, or takes too long."""
        raise NotImplementedError

    def local_path(self, path: str) -> str:
        """Return a path of the machine that the agent runs on with the same content, for libraries that open files."""
        raise NotImplementedError

    def read(self, path: str, limit: int = LIMIT) -> str:
        """Return the content of a text file; bytes that are no UTF-8 become \\xNN."""
        return self.read_bytes(path, limit).decode("utf-8", "backslashreplace")

    def exists(self, path: str) -> bool:
        """Return whether there is something at `path`.  A path that may not be looked at raises PermissionError."""
        try:
            self.lstat(path)
            return True
        except (FileNotFoundError, NotADirectoryError):
            return False

    def read_or_none(self, path: str) -> Optional[str]:
        """Return a small text file without surrounding white space, or None where there is none to read.

        For the attributes below /sys and /proc, which come and go with the driver and may refuse to be read.
        """
        try:
            return self.read(path, CHUNK).strip()
        except OSError:
            return None


class LocalHost(Host):
    """The machine that the agent runs on."""

    def __init__(self, watched: Sequence[str] = Host.watched) -> None:
        self.watched = watched

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            if status.st_size > limit:
                raise OSError(errno.EFBIG, "larger than %d bytes" % limit, path)
            return _read_all(descriptor, limit, path)
        finally:
            os.close(descriptor)

    def lstat(self, path: str) -> FileStatus:
        status = os.lstat(path)
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "other")
        return FileStatus(kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_size)

    def listdir(self, path: str) -> List[str]:
        return sorted(os.listdir(path))

    def readlink(self, path: str) -> str:
        return os.readlink(path)

    def resolve(self, path: str) -> str:
        return os.path.realpath(path)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        try:
            done = subprocess.run(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise OSError(errno.ETIMEDOUT, "%s did not end within %g s" % (command[0], timeout)) from None
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "backslashreplace").strip()
            raise OSError(errno.EIO, "%s failed with %d: %s" % (command[0], done.returncode, said[:200]))
        return done.stdout.decode("utf-8", "backslashreplace")

    def local_path(self, path: str) -> str:
        return path


def _read_all(descriptor: int, limit: int, path: str) -> bytes:
    chunks: List[bytes] = []
    total = 0
    while True:
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            return b"".join(chunks)
        total += len(chunk)
        if total > limit:
            raise OSError(errno.EFBIG, "larger than %d bytes" % limit, path)
        chunks.append(chunk)


class RecordedHost(Host):
    """A recording of another machine: {"files": {path: text}, "links": {path: target}, "status": {path: …}, …}.

    A file's content is its text, {"hex": bytes} or {"error": "EACCES"}.  "status" gives mode, uid and gid where they
    matter (0644 and root otherwise).  "directories" lists empty ones; the others follow from the paths.  "commands"
    maps a command, joined by spaces, to what it prints.  "watched" replaces the watched paths.
    """

    def __init__(self, recording: Mapping[str, Any]) -> None:
        self.files: Mapping[str, Any] = recording.get("files", {})
        self.links: Mapping[str, str] = recording.get("links", {})
        self.status: Mapping[str, Mapping[str, int]] = recording.get("status", {})
        self.commands: Mapping[str, str] = recording.get("commands", {})
        self.watched = recording.get("watched", Host.watched)
        self.names: Dict[str, Any] = {"/": set()}
        for path in list(self.files) + list(self.links) + list(recording.get("directories", [])):
            self._add(path)
        for path in recording.get("directories", []):
            self.names.setdefault(path.rstrip("/"), set())

    def _add(self, path: str) -> None:
        while path not in ("", "/"):
            path, _, name = path.rpartition("/")
            self.names.setdefault(path or "/", set()).add(name)

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        real = self.resolve(path)
        if real not in self.files:
            raise _os_error(errno.EISDIR if real in self.names else errno.ENOENT, path)
        content = self.files[real]
        if isinstance(content, str):
            data = content.encode("utf-8")
        elif "error" in content:
            raise _os_error(getattr(errno, content["error"]), path)
        else:
            data = bytes.fromhex(content["hex"])
        if len(data) > limit:
            raise _os_error(errno.EFBIG, path)
        return data

    def lstat(self, path: str) -> FileStatus:
        parent, _, name = path.rstrip("/").rpartition("/")
        here = (self.resolve(parent or "/").rstrip("/") + "/" + name) if name else "/"
        kind = "symlink" if here in self.links else "file" if here in self.files else "directory"
        if kind == "directory" and here not in self.names:
            raise _os_error(errno.ENOENT, path)
        given = self.status.get(here, {})
        mode = given.get("mode", {"symlink": 0o777, "directory": 0o755}.get(kind, 0o644))
        content = self.files.get(here, "")
        size = len(content.encode("utf-8")) if isinstance(content, str) else len(content.get("hex", "")) // 2
        return FileStatus(kind, mode, given.get("uid", 0), given.get("gid", 0), size)

    def listdir(self, path: str) -> List[str]:
        real = self.resolve(path)
        if real not in self.names:
            raise _os_error(errno.ENOTDIR if real in self.files else errno.ENOENT, path)
        return sorted(self.names[real])

    def readlink(self, path: str) -> str:
        parent, _, name = path.rpartition("/")
        here = self.resolve(parent or "/").rstrip("/") + "/" + name
        if here not in self.links:
            raise _os_error(errno.EINVAL, path)
        return self.links[here]

    def resolve(self, path: str) -> str:
        done = "/"
        todo = path.strip("/").split("/")
        for _ in range(400):  # a loop of links ends here, as ELOOP does on a real machine
            if not todo:
                return done
            name = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                done = os.path.dirname(done)
                continue
            here = done.rstrip("/") + "/" + name
            target = self.links.get(here)
            if target is None:
                done = here
                continue
            if target.startswith("/"):
                done = "/"
            todo = target.strip("/").split("/") + todo
        raise _os_error(errno.ELOOP, path)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        if " ".join(command) not in self.commands:
            raise _os_error(errno.ENOENT, command[0])
        return self.commands[" ".join(command)]

    def local_path(self, path: str) -> str:
        import tempfile

        with tempfile.NamedTemporaryFile(prefix="recorded-", delete=False) as copy:
            copy.write(self.read_bytes(path))
        return copy.name


def _os_error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
