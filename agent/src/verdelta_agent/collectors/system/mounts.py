"""What is mounted, from the kernel's own list.

Source of the format: proc_pid_mountinfo(5).  No mount point is ever looked at: one on a dead server or a stopped FUSE
process would hang whoever does.  What should be mounted is system.fstab; here it says what is never left out.
"""

from typing import Collection, FrozenSet, List, Mapping, NamedTuple, Optional

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent

# That of process 1 is the machine's; the agent's own, where the other may not be read, has what its service unit hides.
MOUNTINFO = ("/proc/1/mountinfo", "/proc/self/mountinfo")
FSTAB = "/etc/fstab"

LEFT_OUT_BELOW: Mapping[str, str] = {
    "/run/user/": "comes and goes with a login",
    "/run/credentials/": "comes and goes with a run of a service",
    "/run/docker/": "comes and goes with a container",
    "/run/containerd/": "comes and goes with a container",
    "/run/containers/": "comes and goes with a container",
    "/run/k3s/": "comes and goes with a container",
    "/run/netns": "comes with the first named network namespace, and what is below with each",
    "/var/lib/docker/": "comes and goes with a container",
    "/var/lib/containerd/": "comes and goes with a container",
    "/var/lib/containers/": "comes and goes with a container",
    "/var/lib/kubelet/": "comes and goes with a pod",
    "/var/lib/rancher/": "comes and goes with a container",
    "/snap/": "has the revision in its path, on a loop device with another number each start",
    "/var/lib/snapd/": "has the revision in its path, on a loop device with another number each start",
}
LEFT_OUT_TYPES: Mapping[str, str] = {
    "nsfs": "comes and goes with a namespace",
    "tracefs": "the kernel mounts it when somebody looks below /sys/kernel/debug",
    "fusectl": "is mounted when FUSE is first used",
    "binfmt_misc": "is mounted when somebody looks at it",
}
LEFT_OUT_OPTIONS: Mapping[str, str] = {
    "size": "of a tmpfs: by default a part of the memory, which differs a little from start to start",
    "nr_inodes": "as size",
    "nr_blocks": "as size",
    "addr": "where the name of the server led at that moment",
    "clientaddr": "the address that this machine had at that moment",
    "mountaddr": "as addr",
    "mountport": "given out by the server's port mapper",
    "fd": "of autofs: belongs to the running daemon",
    "pgrp": "of autofs: belongs to the running daemon",
    "pipe_ino": "of autofs: belongs to the running daemon",
}
HIDDEN = "(hidden)"  # in place of a password
SECRET = ("pass", "secret", "cred", "token")  # in the name of an option: of CIFS, Ceph, FUSE file systems


class Mount(NamedTuple):
    """One line of mountinfo."""

    identity: str
    parent: str
    root: str
    point: str
    fstype: str
    source: str
    options: List[str]


def collect(host: Host) -> Section:
    """Absent without /proc; partial where fstab cannot be read, which says what is never left out."""
    mountinfo = _mountinfo(host)
    if mountinfo is None:
        return absent()
    unreadable = None
    try:
        points = planned(host.read(FSTAB)) if host.exists(FSTAB) else frozenset()
    except OSError as error:
        points, unreadable = frozenset(), "%s: %s" % (FSTAB, error.strerror)
    return Section(OK, parse(mountinfo, points), {}, unreadable)


def _mountinfo(host: Host) -> Optional[str]:
    machine, own = MOUNTINFO
    try:
        return host.read(machine)
    except OSError:  # not without root, and not inside every container
        return host.read(own) if host.exists(own) else None


def parse(mountinfo: str, points: Collection[str] = ()) -> Rows:
    """Return mount point -> what is mounted there, the uppermost where there are several.

    `points` are the mount points of fstab: what stands there is never left out for its path.
    """
    mounts = [_mount(line, number) for number, line in enumerate(mountinfo.split("\n"), 1) if line]
    by_identity = {mount.identity: mount for mount in mounts}
    kept = (mount for mount in mounts if not _comes_and_goes(mount, points) and not _triggered(mount, by_identity))
    return {mount.point: _row(mount) for mount in kept}


def _mount(line: str, number: int) -> Mount:
    left, separator, right = line.partition(" - ")
    fields, described = left.split(" "), right.split(" ", 2)
    if not separator or len(fields) < 6 or len(described) < 3:
        raise ValueError("line %d of mountinfo is none" % number)  # not quoted: there may be a password in it
    identity, parent, _, root, point, options = fields[:6]
    fstype, source, more = described
    joined = options.split(",") + more.split(",")
    return Mount(identity, parent, unescape(root), unescape(point), fstype, unescape(source), joined)


def _comes_and_goes(mount: Mount, points: Collection[str]) -> bool:
    if mount.fstype in LEFT_OUT_TYPES:
        return True
    return mount.point.startswith(tuple(LEFT_OUT_BELOW)) and mount.point not in points


def _triggered(mount: Mount, by_identity: Mapping[str, Mount]) -> bool:
    """Return whether autofs mounted it, or what it stands on, because somebody looked: soon it is gone again."""
    seen = set()
    while mount.identity not in seen and mount.parent in by_identity:
        seen.add(mount.identity)
        mount = by_identity[mount.parent]
        if mount.fstype == "autofs":
            return True
    return False


def _row(mount: Mount) -> Row:
    return {
        "source": without_password(mount.source),
        "fstype": mount.fstype,
        "root": mount.root,
        "options": stable_options(mount.options),
    }


def stable_options(options: List[str]) -> List[str]:
    """Return the options that are compared: sorted, unescaped, each once, and no password among them.

    Where the mount is read-only and its file system is not, or the other way round, nobody can write: ro.
    """
    named = {option: option.partition("=")[0] for option in options if option}
    if "ro" in named:
        named.pop("rw", None)
    return sorted(
        shown_option(name, unescape(option)) for option, name in named.items() if name not in LEFT_OUT_OPTIONS
    )


def shown_option(name: str, option: str) -> str:
    """Return an option as it is shown: of a password, a token or a file with such things, its name alone."""
    secret = any(word in name for word in SECRET) or "pin-value" in option
    return "%s=%s" % (name, HIDDEN) if secret and "=" in option else option


def without_password(source: str) -> str:
    """Return the source of a mount; of user:password@server, as FUSE file systems have it, the password is hidden."""
    head, at, server = source.rpartition("@")
    scheme, slashes, login = head.rpartition("//")
    user, colon, password = login.partition(":")
    if not at or not colon or password.startswith("/"):  # server:/directory@name is a plain NFS path
        return source
    return "%s%s%s:%s@%s" % (scheme, slashes, user, HIDDEN, server)


def planned(fstab: str) -> FrozenSet[str]:
    """Return the mount points that fstab names."""
    lines = (line.split(None, 2) for line in fstab.split("\n"))
    return frozenset(unescape(fields[1]) for fields in lines if len(fields) > 2 and not fields[0].startswith("#"))


def unescape(text: str) -> str:
    """Return text in which the kernel wrote a space, tab, line end or backslash as three octal digits."""
    if "\\" not in text:
        return text
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")):
        text = text.replace(escaped, plain)
    return text


COLLECTOR = Collector(
    "system.mounts",
    key="mount point",
    collect=collect,
    deadline=5,
    fields={
        "source": "device, server:/path, or the name that was given",
        "fstype": "kind of file system",
        "root": "the directory of the file system that is mounted: not / for a bind mount or a subvolume",
        "options": "options of the mount and of the file system, sorted; sizes of a tmpfs, addresses of servers and "
        "what belongs to a running automounter are left out, passwords hidden",
    },
)
