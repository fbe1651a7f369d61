"""The only door from the agent to the machine: files and commands.

Collectors get a Host and nothing else, so that they run the same on this machine (LocalHost) and on a recording of
another one (RecordedHost, in tests).
"""

import errno
import functools
import os
import signal
import stat
import sys
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .search import Found, below

LIMIT = 64 << 20  # bytes of one file; a larger one is an error, never cut short in silence
CHUNK = 65536  # a larger buffer makes every read below /proc/sys fail
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY  # not waiting for the writer of a FIFO
FORMAT = 0o170000  # of a mode: what stat.S_IFMT takes out
NAMES = 200000  # in one directory; more are an error: ten million would take a gigabyte
WIDE = 1 << 20  # bytes; no file system takes less for a directory of a million names, and few have a larger one
SMALL = 4096  # enough for nearly all of the thousand files there: for each, the kernel clears the whole buffer


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
    running = True  # not: an image, a mounted disk, whose /proc and /sys are another machine's or empty

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        """Return the content of a regular file of at most `limit` bytes."""
        raise NotImplementedError

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        """Return so many bytes of a block device from an offset on; fewer where it ends before."""
        raise NotImplementedError

    def lstat(self, path: str) -> FileStatus:
        """Return the status of a path itself, not of what it links to."""
        raise NotImplementedError

    def listdir(self, path: str) -> List[str]:
        """Return the names in a directory, sorted; one with more than NAMES of them is too large (EFBIG)."""
        raise NotImplementedError

    def subdirectories(self, path: str, limit: int) -> List[str]:
        """Return the names of the directories in a directory, sorted, without links.

        Raises OSError where more than `limit` entries of any kind are in it.
        """
        names = self.listdir(path)
        if len(names) > limit:
            raise _too_many(path, limit)
        return [name for name in names if self.lstat("%s/%s" % (path.rstrip("/"), name)).kind == "directory"]

    def find(self, root: str, wanted: str, closed: str, depth: int) -> Found:
        """Return the directories below a path that match an expression, as `search.below` describes it."""
        return below(self.subdirectories, root, wanted, closed, depth)

    def readlink(self, path: str) -> str:
        """Return the target of a symbolic link as it is written there."""
        raise NotImplementedError

    def resolve(self, path: str) -> str:
        """Return the path with every symbolic link followed."""
        raise NotImplementedError

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        """Return what a command prints.  Raises OSError when it is not there, fails, or takes too long."""
        raise NotImplementedError

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        """Return what the management controller behind an IPMI device answers, from its completion code on.

        A request is the network function, the command and its data.
        """
        raise NotImplementedError

    def socket_owners(self, inodes: Sequence[int]) -> Tuple[List[Tuple[int, str]], bool]:
        """Return inode and program of each socket that a process holds, and whether every process could be seen."""
        raise NotImplementedError

    def local_path(self, path: str) -> str:
        """Return a path of the machine that the agent runs on with the same content, for libraries that open files."""
        raise NotImplementedError

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        """Return the netlink messages of the list that a request with this body, in hexadecimal digits, asks for."""
        raise NotImplementedError

    def ethtool(self, interface: str, request: str) -> bytes:
        """Return a structure of ethtool, given in hexadecimal digits, as the interface's driver has filled it in."""
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


# What can be asked of a host; a collector's section follows from the answers, and from nothing else.
QUESTIONS: Sequence[str] = (
    *(
        "read_bytes",
        "read_device",
        "lstat",
        "listdir",
        "subdirectories",
        "find",
        "readlink",
        "resolve",
        "exists",
        "run",
    ),
    *("local_path", "ask_controller", "netlink", "ethtool", "socket_owners"),
)


class LocalHost(Host):
    """The machine that the agent runs on.  Names are UTF-8 (bytes that are not: surrogates), whatever the locale."""

    def __init__(self, watched: Sequence[str] = Host.watched) -> None:
        self.watched = watched
        self._found: Dict[Tuple[Any, ...], Found] = {}

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        descriptor = os.open(path if _UTF8 else _native(path), READING)
        try:
            status = os.fstat(descriptor)
            if status.st_mode & FORMAT != stat.S_IFREG:
                number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
                raise OSError(number, "not a regular file", path)
            if status.st_size > limit:
                raise _too_large(path, limit)
            return _read_all(descriptor, limit, path, status.st_size)
        finally:
            os.close(descriptor)

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        # O_NONBLOCK: a drive without a medium is opened as well, and its tray stays as it is.
        descriptor = os.open(_native(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
                raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK), path)
            return os.pread(descriptor, min(size, CHUNK), offset)
        finally:
            os.close(descriptor)

    def lstat(self, path: str) -> FileStatus:
        status = os.lstat(path if _UTF8 else _native(path))
        mode = status.st_mode
        return FileStatus(
            KINDS.get(mode & FORMAT, "other"), mode & 0o7777, status.st_uid, status.st_gid, status.st_size
        )

    def listdir(self, path: str) -> List[str]:
        native = _native(path)
        names = _counted(native, path) if os.stat(native).st_size > WIDE else os.listdir(native)
        return sorted(map(_name, names))

    def subdirectories(self, path: str, limit: int) -> List[str]:
        names, seen = [], 0
        entries = os.scandir(_native(path))
        try:
            for entry in entries:
                seen += 1
                if seen > limit:
                    raise _too_many(path, limit)
                if entry.is_dir(follow_symlinks=False):
                    names.append(_name(entry.name))
        finally:
            entries.close()
        return sorted(names)

    def find(self, root: str, wanted: str, closed: str, depth: int) -> Found:
        # Several sections look for different things of the same search; a host is asked for one audit, and then gone.
        asked = (root, wanted, closed, depth)
        if asked not in self._found:
            self._found[asked] = super().find(root, wanted, closed, depth)
        return self._found[asked]

    def readlink(self, path: str) -> str:
        return _name(os.readlink(_native(path)))

    def resolve(self, path: str) -> str:
        native = _native(path)
        real = os.path.realpath(native)
        for asked in (native, real):  # realpath says nothing where links go round in a circle
            try:
                os.stat(asked)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise
        return _name(real)  # a path need not lead to anything

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        import subprocess  # costs more than most collectors, and few of them need it

        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
        )
        with process:
            try:
                printed, said = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise OSError(errno.ETIMEDOUT, "%s did not end within %g s" % (command[0], timeout)) from None
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)  # and its children, which hold its output open
        if process.returncode != 0:
            reason = said.decode("utf-8", "backslashreplace").strip()[:200]
            raise OSError(errno.EIO, "%s failed with %d: %s" % (command[0], process.returncode, reason))
        return printed.decode("utf-8", "backslashreplace")

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        from .ipmi_device import ask  # few hosts have such a device

        return ask(device, request, timeout)

    def socket_owners(self, inodes: Sequence[int]) -> Tuple[List[Tuple[int, str]], bool]:
        from .socket_owners import find

        return find(inodes)

    def local_path(self, path: str) -> str:
        return path

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        from . import netlink  # few collectors ask

        return netlink.dump(protocol, kind, bytes.fromhex(body), netlink.LIMIT)

    def ethtool(self, interface: str, request: str) -> bytes:
        from . import ethtool  # as few

        return ethtool.ask(interface, bytes.fromhex(request))


_UTF8 = sys.getfilesystemencoding().lower() in ("utf-8", "utf8")


def _native(path: str) -> Any:
    """Return a path as this Python has to be given it.  Where its locale is not UTF-8, bytes alone are unambiguous."""
    return path if _UTF8 else path.encode("utf-8", "surrogateescape")


def _name(native: Any) -> str:
    return native.decode("utf-8", "surrogateescape") if isinstance(native, bytes) else str(native)


def _counted(native: Any, path: str) -> List[Any]:
    """Return the names in a directory that may have too many.  Of others, os.listdir gives them in half the time."""
    names: List[Any] = []
    with os.scandir(native) as entries:
        for entry in entries:
            if len(names) == NAMES:
                raise OSError(errno.EFBIG, "more than %d names" % NAMES, path)
            names.append(entry.name)
    return names


def _read_all(descriptor: int, limit: int, path: str, size: int) -> bytes:
    """Return the whole content.  Of a file below /proc or /sys the size is 0, and only reading on tells its end."""
    if 0 < size < CHUNK:
        content = os.read(descriptor, size + 1)
        if len(content) == size:  # a file on a disk gives less than was asked for at its end alone
            return content
        chunks = [content]
    else:
        chunks = [os.read(descriptor, CHUNK if size else SMALL)]
        if len(chunks[0]) == SMALL:  # below /proc/sys, what did not fit is lost: from the beginning, with more room
            os.lseek(descriptor, 0, os.SEEK_SET)
            chunks = [os.read(descriptor, CHUNK)]
    total = len(chunks[0])
    while chunks[-1]:
        if total > limit:
            raise _too_large(path, limit)
        chunks.append(os.read(descriptor, CHUNK))
        total += len(chunks[-1])
    return b"".join(chunks)


def _too_large(path: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, "larger than %d bytes" % limit, path)


def _too_many(path: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, "more than %d entries" % limit, path)


class RootedHost(LocalHost):
    """A system that does not run: an image, a chroot, a mounted disk, below a directory of this machine.

    Its links lead nowhere out of it, and no command is run: whose would it be?
    """

    running = False

    def __init__(self, root: str, watched: Sequence[str] = Host.watched) -> None:
        super().__init__(watched)
        self.root = os.path.realpath(root)
        self._directories: Dict[str, str] = {}  # as asked for -> without links: they are asked for again and again

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        return super().read_bytes(self._outside(path), limit)

    def lstat(self, path: str) -> FileStatus:
        return super().lstat(self._outside(path, follow=path.endswith("/")))

    def listdir(self, path: str) -> List[str]:
        return super().listdir(self._outside(path))

    def subdirectories(self, path: str, limit: int) -> List[str]:
        return super().subdirectories(self._outside(path), limit)

    def readlink(self, path: str) -> str:
        return super().readlink(self._outside(path, follow=False))

    def resolve(self, path: str) -> str:
        return walk(path, True, self._link_at, _anywhere)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        raise _os_error(errno.ENOENT, command[0])

    def local_path(self, path: str) -> str:
        return self._outside(path)

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        raise _os_error(errno.EPROTONOSUPPORT, "netlink")

    def ethtool(self, interface: str, request: str) -> bytes:
        raise _os_error(errno.ENODEV, interface)

    def _outside(self, path: str, follow: bool = True) -> str:
        """Return the path on this machine.  Raises OSError where the links of the tree go round in a circle."""
        directory, _, name = path.rpartition("/")
        if directory not in self._directories:
            self._directories[directory] = self.resolve(directory)
        here = "%s/%s" % (self._directories[directory].rstrip("/"), name)
        return self.root + (self.resolve(here) if follow or name in (".", "..") else here)

    def _link_at(self, here: str) -> Optional[str]:
        try:
            return super().readlink(self.root + here)
        except OSError:
            return None


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
            raise _os_error(errno.EISDIR, path)
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

    def read_device(self, path: str, offset: int, size: int) -> bytes:
        pieces = self.devices.get(path)
        if pieces is None or "error" in pieces:
            raise _os_error(getattr(errno, pieces["error"]) if pieces else errno.ENOENT, path)
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
            raise _os_error(errno.ENOTDIR, path)
        return sorted(self.names[real])

    def readlink(self, path: str) -> str:
        here = self._find(path, follow=False)
        if here not in self.links:
            raise _os_error(errno.EINVAL, path)
        return self.links[here]

    def resolve(self, path: str) -> str:
        return self._walk(path, follow=True, strict=False)

    def _find(self, path: str, follow: bool = True) -> str:
        """Return the path without links of what is there, with the last link followed or not.  Raises OSError."""
        done = self._walk(path, follow or path.endswith("/"), strict=True)
        if done not in self.names and done not in self.files and done not in self.links:
            raise _os_error(errno.ENOENT, path)
        return done

    def _walk(self, path: str, follow: bool, strict: bool) -> str:
        enter = functools.partial(self._check_directory, path) if strict else _anywhere
        return walk(path, follow, self.links.get, enter)

    def _check_directory(self, path: str, here: str) -> None:
        if here not in self.names:
            raise _os_error(errno.ENOTDIR if here in self.files or here in self.links else errno.ENOENT, path)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        if " ".join(command) not in self.commands:
            raise _os_error(errno.ENOENT, command[0])
        return self.commands[" ".join(command)]

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        self._find(device)
        if request.hex() not in self.controller:
            raise _os_error(errno.ETIMEDOUT, device)
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


def _answer(answers: Mapping[str, Any], request: str, otherwise: str, asked: str) -> bytes:
    answer = answers.get(request, {"error": otherwise})
    if isinstance(answer, str):
        return bytes.fromhex(answer)
    raise _os_error(getattr(errno, answer["error"]), asked)


def walk(path: str, follow: bool, link_at: Callable[[str], Optional[str]], enter: Callable[[str], None]) -> str:
    """Return where a path leads within a tree of its own, in which "/" is the tree's top, and ".." never leaves it.

    `link_at` returns the target of a path that is a symbolic link; `follow` says whether the last one is followed.
    `enter` is called with each directory on the way, and may raise.  Raises OSError where links go round in a circle.
    """
    done, followed = "/", 0
    todo = path.split("/")
    while todo:
        name = todo.pop(0)
        enter(done)
        here = _next(done, name)
        target = link_at(here) if here != done and (follow or any(todo)) else None
        if target is None:
            done = here
            continue
        followed += 1
        if followed > 40:  # as many as the kernel follows
            raise _os_error(errno.ELOOP, path)
        done = "/" if target.startswith("/") else done
        todo = target.split("/") + todo
    return done


def _anywhere(here: str) -> None:
    """Enter a directory, whether it is there or not."""


def _next(here: str, name: str) -> str:
    """Return where one more name of a path leads from a directory, before any link is followed."""
    if name in ("", "."):
        return here
    return os.path.dirname(here) if name == ".." else here.rstrip("/") + "/" + name


def _os_error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
