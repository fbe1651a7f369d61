"""The only door from the agent to the machine: files and commands.

Collectors get a Host and nothing else, so that they run the same on this machine (LocalHost), on one that does not run
(rooted_host.py) and on a recording of another one (recorded_host.py, in tests).
"""

import errno
import os
import signal
import stat
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

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

    def xtables(self, family: str, table: str) -> bytes:
        """Return a table of iptables-legacy: struct ipt_getinfo without its name, then the rules."""
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
    *("local_path", "ask_controller", "netlink", "ethtool", "xtables", "socket_owners"),
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

    def xtables(self, family: str, table: str) -> bytes:
        from . import xtables  # fewer still

        return xtables.read(family, table, LIMIT)


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
        chunks.append(os.read(descriptor, CHUNK if total > SMALL else SMALL))  # the end, nearly always
        total += len(chunks[-1])
    return b"".join(chunks)


def _too_large(path: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, "larger than %d bytes" % limit, path)


def _too_many(path: str, limit: int) -> OSError:
    return OSError(errno.EFBIG, "more than %d entries" % limit, path)
