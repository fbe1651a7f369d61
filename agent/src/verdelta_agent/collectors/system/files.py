"""The files below the watched paths: what they are, whose they are, and what is in them.

No modification times: they differ where nothing does.  Nothing is opened but regular files, no link is followed, and
no file system is entered that another machine or a program serves (proc_pid_mountinfo(5) names them, so that none has
to be touched): its mount point is a row, and that is all.

Two lists name what is left out, and why: below /etc, too, there are files that nobody configures.  A file of
REWRITTEN keeps its row, without size and digest; those are volatile.  A file of PASSING has no row at all.
"""

import errno
import hashlib
import os
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Pattern, Sequence

from ...host import FileStatus, Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..incomplete import missing
from .colon_separated import unused
from .mounts import unescape

CONTENT = 16 << 20  # bytes of a file; of a larger one the size alone is compared
ENTRIES = 100000  # below all watched paths; more are no configuration

MOUNTINFO = "/proc/self/mountinfo"  # of the agent's own view, which is the one that it walks
LOCAL = frozenset(
    ("aufs", "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "msdos", "nilfs2")
    + ("ntfs3", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "ubifs", "udf", "vfat", "xfs", "zfs")
)

ACCOUNTS = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
REWRITTEN: Dict[str, str] = {
    "/etc/.etckeeper": "etckeeper's list of the modes and owners that stand here anyway",
    "/etc/.updated": "when systemd last noticed an update of /usr",
    "/etc/adjtime": "the drift of the clock, written at shutdown",
    "/etc/apparmor.d/cache*/**": "compiled from the profiles beside it",
    "/etc/blkid.tab*": "blkid's cache of devices",
    "/etc/blkid/**": "blkid's cache of devices",
    "/etc/cups/subscriptions.conf*": "what print clients have subscribed to for an hour",
    "/etc/fake-hwclock.data": "the time, written every hour",
    "/etc/ld.so.cache": "ldconfig's index of the libraries, new with every package that has one",
    "/etc/mtab": "what is mounted, where it is no link into /proc",
    "/etc/ntp.drift": "the drift of the clock",
    "/etc/ntp/drift": "the drift of the clock",
    "/etc/openvpn/**status*.log": "who is connected, written every minute",
    "/etc/prelink.cache": "prelink's index of the libraries",
    "/etc/udev/hwdb.bin": "compiled from hwdb.d",
    "/etc/zfs/zpool.cache": "which pools are imported",
}
REWRITTEN.update({"/etc/%s-" % name: "the file as it was before its last change" for name in ACCOUNTS})
PASSING: Dict[str, str] = {
    "**/.*.sw[a-p]": "vim's, while somebody edits",
    "**/.#*": "Emacs', while somebody edits",
    "**/#*#": "Emacs', while somebody edits",
    "**.dpkg-new": "there while dpkg unpacks",
    "**.dpkg-tmp": "there while dpkg unpacks",
    "**;" + "[0-9a-f]" * 8: "there while rpm unpacks",
    "/etc/.pwd.lock": "a lock, left by the first who took it",
    "/etc/sudoers.tmp": "there while somebody edits sudoers",
    "/etc/.git/**": "etckeeper's history of the files that stand here",
    "/etc/.hg/**": "etckeeper's history of the files that stand here",
    "/etc/.bzr/**": "etckeeper's history of the files that stand here",
    "/etc/lvm/archive/**": "LVM's copies of its metadata, one for every change",
    "/etc/lvm/backup/**": "LVM's copy of its metadata",
    "/etc/lvm/cache/**": "LVM's cache of devices",
}
PASSING.update({"/etc/%s.lock" % name: "a lock, while somebody changes accounts" for name in ACCOUNTS})
PASSING.update({"/etc/%s+" % name: "there while somebody changes accounts" for name in ACCOUNTS})


def _any_of(patterns: Iterable[str]) -> Pattern[str]:
    """Return one expression for many patterns, in which * stops at a slash and ** does not."""
    meaning = {"**": ".*", "*": "[^/]*"}
    parts = (re.split(r"(\*\*|\*|\[[^]]*\])", pattern) for pattern in patterns)
    expressions = ("".join(meaning.get(p, p if p[:1] == "[" else re.escape(p)) for p in split) for split in parts)
    return re.compile("(?s)(?:%s)\\Z" % "|".join(expressions))


IS_REWRITTEN = _any_of(REWRITTEN)
IS_PASSING = _any_of(PASSING)


class _TooMany(Exception):
    """There is more below the watched paths than configuration."""


def collect(host: Host) -> Section:
    """Absent where none of the watched paths exists; partial where a file could not be read."""
    roots = outermost(host.watched)
    walk = _Walk(host, read_mounts(host))
    try:
        for root in roots:
            walk.below(root)
    except _TooMany:
        return failed("more than %d files below %s" % (ENTRIES, ", ".join(roots)))
    if not walk.rows and not walk.problems:
        return absent()
    return Section(OK, walk.rows, walk.volatile, missing("partial: not read", walk.problems))


def outermost(paths: Sequence[str]) -> List[str]:
    """Return the paths that do not lie below another one of them.  Raises ValueError for a relative one."""
    for path in paths:
        if not path.startswith("/"):
            raise ValueError("watched path %r is not absolute" % path)
    normal = sorted({os.path.normpath("/" + path.lstrip("/")) for path in paths})
    return [path for path in normal if not any(path != other and _is_below(path, other) for other in normal)]


def _is_below(path: str, directory: str) -> bool:
    return (path + "/").startswith(directory.rstrip("/") + "/")


def read_mounts(host: Host) -> Dict[str, str]:
    """Return what parse_mounts() does, of the host; names that are no UTF-8 as listdir() has them."""
    mountinfo = host.read_bytes(MOUNTINFO) if host.exists(MOUNTINFO) else b""
    return parse_mounts(mountinfo.decode("utf-8", "surrogateescape"))


def parse_mounts(mountinfo: str) -> Dict[str, str]:
    """Return mount point -> kind of file system, of the uppermost where there are several."""
    mounts = {}
    for line in filter(None, mountinfo.split("\n")):
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 6:
            raise ValueError("not a line of mountinfo: %r" % line[:100])
        mounts[unescape(fields[4])] = right.split(" ")[0]
    return mounts


def foreign(path: str, mounts: Mapping[str, str]) -> Optional[str]:
    """Return the kind of file system that `path` is on, if it is none of this machine's disks or memory.

    What the root is on serves the agent itself, too.
    """
    point = max((point for point in mounts if _is_below(path, point)), key=len, default="/")
    kind = mounts.get(point)
    return None if kind in LOCAL or kind == mounts.get("/") else kind


class _Read(NamedTuple):
    status: FileStatus
    digest: Optional[str]
    problem: Optional[str] = None


class _Walk:
    """Collects the rows of everything below the watched paths, and what was wrong on the way."""

    def __init__(self, host: Host, mounts: Mapping[str, str]) -> None:
        self.host = host
        self.mounts = mounts
        self.entries = 0
        self.rows: Rows = {}
        self.volatile: Rows = {}
        self.problems: List[str] = []

    def below(self, root: str) -> None:
        """Take in a watched path and what is below it.  Raises _TooMany."""
        kind = foreign(root, self.mounts)
        if kind is not None and root not in self.mounts:
            self.problems.append("%s (on %s)" % (printable(root), kind))
            return
        pending = [root]
        while pending:
            path = pending.pop()
            self.entries += 1
            if self.entries > ENTRIES:
                raise _TooMany()
            try:
                pending += reversed(self._entry(path))  # so that they come in order
            except (FileNotFoundError, NotADirectoryError):
                pass  # gone since its directory was listed, as a file may be
            except OSError as error:
                self._problem(path, error)

    def _entry(self, path: str) -> List[str]:
        """Take in one path; return what is to be taken in below it."""
        key = printable(path)
        if IS_PASSING.match(key):
            return []
        kind = foreign(path, self.mounts) if path in self.mounts else None
        if kind is not None:
            self.rows[key] = {"kind": "mount", "filesystem": kind}
            return []
        status = self.host.lstat(path)
        key = unused(key, self.rows)
        self.rows[key] = self._row(path, key, status)
        if status.kind != "directory":
            return []
        try:
            names = self.host.listdir(path)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise _TooMany() from error
            self._problem(path, error)
            return []
        if self.entries + len(names) > ENTRIES:
            raise _TooMany()
        return ["%s/%s" % (path.rstrip("/"), name) for name in names]

    def _row(self, path: str, key: str, status: FileStatus) -> Row:
        read = self._read(path, status) if status.kind == "file" else _Read(status, None)
        status = read.status
        row: Row = {"kind": status.kind, "mode": "%04o" % status.mode, "uid": status.uid, "gid": status.gid}
        if status.kind == "symlink":
            row["target"] = printable(self.host.readlink(path))
        elif status.kind == "file":
            if IS_REWRITTEN.match(key):
                self.volatile[key] = {"size": status.size, "digest": read.digest}
            else:
                row["digest"] = read.digest
                if read.digest is None:
                    row["size"] = status.size
                if read.problem:
                    self.problems.append("%s (%s)" % (key, read.problem))
        return row

    def _read(self, path: str, status: FileStatus) -> _Read:
        """Return the digest of a file.  One that changes meanwhile is read once more."""
        for _ in range(2):
            if status.size > CONTENT:
                return _Read(status, None, "larger than %d MiB" % (CONTENT >> 20))
            try:
                content = self.host.read_bytes(path, CONTENT)
            except FileNotFoundError:
                raise
            except OSError as error:
                return _Read(status, None, said(error))
            if len(content) == status.size:
                return _Read(status, hashlib.sha256(content).hexdigest())
            status = self.host.lstat(path)
        return _Read(status, None, "changed while it was read")

    def _problem(self, path: str, error: OSError) -> None:
        self.problems.append("%s (%s)" % (printable(path), said(error)))


def said(error: OSError) -> str:
    """Return what is wrong, without the path."""
    return error.strerror or type(error).__name__


COLLECTOR = Collector(
    "system.files",
    key="path",
    collect=collect,
    deadline=60,
    fields={
        "kind": "file, directory, symlink, fifo, socket, character device, block device, or mount: of another machine",
        "mode": "permissions, octal",
        "uid": "number of the owner",
        "gid": "number of the group",
        "size": "of a file in bytes, where its content could not be read; the digest says it otherwise",
        "digest": "SHA-256 of a file's content; null where it could not be read",
        "target": "of a symlink, as it is written there",
        "filesystem": "of a mount: its kind; what is below it is not looked at",
    },
    volatile={
        "size": "of a file that programs rewrite by themselves, such as /etc/ld.so.cache",
        "digest": "of a file that programs rewrite by themselves, such as /etc/ld.so.cache",
    },
)
