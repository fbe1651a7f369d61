"""The settings of the kernel below /proc/sys, by the names that sysctl(8) gives them.

Source of the format: sysctl(8), and Documentation/admin-guide/sysctl and networking/ip-sysctl.rst of the kernel.

What the kernel changes by itself is no setting and left out, each with its reason (LEFT_OUT); secrets never leave the
host.  A module that is loaded on demand brings its settings with it: they show as added rows beside its own.

Some defaults the kernel computes from its memory when it starts: fs.epoll.max_user_watches, fs.file-max,
fs.inotify.max_user_watches, kernel.threads-max, net.ipv4.inet_peer_threshold, net.ipv4.tcp_mem, net.ipv4.udp_mem,
user.max_*.  They are settings that people tune, so they are kept: equal from start to start, they change with a
memory module or another kernel, and whoever releases one of those declares them.
"""

from typing import Collection, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ...host import CHUNK, Host, printable
from ...model import OK, Collector, Rows, Section, absent
from ..incomplete import missing

ROOT = "/proc/sys"
INTERFACES = "/sys/class/net"

_GROUPS: Tuple[Tuple[str, str], ...] = (
    (
        "counts what the kernel does",
        "fs.aio-nr fs.dentry-state fs.file-nr fs.inode-nr fs.inode-state fs.quota.allocated_dquots fs.quota.cache_hits "
        "fs.quota.drops fs.quota.free_dquots fs.quota.lookups fs.quota.reads fs.quota.syncs fs.quota.writes "
        "kernel.hung_task_detect_count kernel.hung_task_warnings kernel.ns_last_pid kernel.pty.nr "
        "kernel.random.entropy_avail kernel.spl.kmem kernel.spl.taskq kernel.spl.taskq-all "
        "net.netfilter.nf_conntrack_count",
    ),
    ("is another one at each reading or start", "kernel.random.boot_id kernel.random.uuid net.core.netdev_rss_key"),
    (
        "is set by the kernel as it measures itself",
        "kernel.perf_event_max_sample_rate kernel.sched_domain net.ipv4.vs.drop_entry net.ipv4.vs.drop_packet "
        "net.ipv4.vs.secure_tcp",
    ),
    ("is computed from the memory that is free at the start", "vm.user_reserve_kbytes"),
    ("is used up by the next object", "kernel.msg_next_id kernel.sem_next_id kernel.shm_next_id"),
    (
        "lists what is loaded, which system.modules shows",
        "net.ipv4.tcp_available_congestion_control net.ipv4.tcp_available_ulp net.mptcp.available_path_managers "
        "net.mptcp.available_schedulers",
    ),
    ("is hardware, not a setting", "dev.cdrom.info"),
    (
        "is shown by system.kernel or system.host",
        "kernel.arch kernel.hostname kernel.osrelease kernel.ostype kernel.tainted kernel.version",
    ),
    (
        "acts when it is used, and holds no setting",
        "net.ipv4.route.flush net.ipv6.route.flush vm.compact_memory vm.drop_caches vm.stat_refresh",
    ),
    ("is a secret", "net.ipv4.tcp_fastopen_key"),
    ("is another file system, mounted when somebody looks", "fs.binfmt_misc"),
)
# Key, or directory of keys -> the reason why it is left out.
LEFT_OUT: Mapping[str, str] = {key: reason for reason, keys in _GROUPS for key in keys.split()}

# The last part of a key, below net.*.conf.* and net.*.neigh.* -> the reason why it is left out.
LEFT_OUT_OF_INTERFACES: Mapping[str, str] = {
    "stable_secret": "is a secret",
    "base_reachable_time": "is base_reachable_time_ms once more, and reading it makes older kernels log a warning",
    "retrans_time": "is retrans_time_ms once more, and reading it makes older kernels log a warning",
}
# Of one interface, not of "all" and "default" -> the reason why it is left out.
SET_BY_ROUTERS: Mapping[str, str] = {
    "mtu": "is set by the advertisements of routers",
    "hop_limit": "is set by the advertisements of routers",
}
FOR_ALL = ("all", "default")


class Setting(NamedTuple):
    """One file below /proc/sys: its text, or the error that reading it gave."""

    key: str
    text: Optional[str]
    error: Optional[str]


def collect(host: Host) -> Section:
    """Absent where there is no /proc/sys; partial where a setting cannot be read, which then has the value null."""
    if not host.exists(ROOT):
        return absent()
    settings = _walk(host, ROOT, "", lasting_interfaces(host))
    unreadable = ["%s (%s)" % (setting.key, setting.error) for setting in settings if setting.error]
    return Section(OK, parse(settings), {}, missing("not readable", unreadable))


def parse(settings: Iterable[Setting]) -> Rows:
    """Return key -> value: text as sysctl(8) prints it, save that one space stands for a tab; null if unreadable."""
    return {s.key: {"value": None if s.text is None else s.text.strip().replace("\t", " ")} for s in settings}


def left_out(key: str, lasting: Collection[str]) -> Optional[str]:
    """Return the reason why a key, or a directory of keys, is no setting to compare, or None where it is one.

    Of single interfaces only those in `lasting` are kept (hardware.network tells which there are): the others come
    and go with containers and tunnels.  Of neighbours, which routers tune, only the defaults are kept.
    """
    if key in LEFT_OUT:
        return LEFT_OUT[key]
    parts = key.split(".", 4)
    if len(parts) < 4 or parts[0] != "net" or parts[2] not in ("conf", "neigh"):
        return None
    for_all, name = parts[3] in FOR_ALL, "".join(parts[4:])
    if not for_all and parts[2] == "neigh":
        return "is set by the advertisements of routers"
    if not for_all and parts[3] not in lasting:
        return "belongs to an interface that comes and goes"
    return LEFT_OUT_OF_INTERFACES.get(name) or (None if for_all else SET_BY_ROUTERS.get(name))


def lasting_interfaces(host: Host) -> Collection[str]:
    """Return the interfaces that belong to this machine, as keys have them: hardware, bonds and the loopback.

    A virtual function of a network card (it has a physfn) is no hardware of its own: containers are given such.
    """
    names = host.listdir(INTERFACES) if host.exists(INTERFACES) else []
    return {"lo"} | {_part(name) for name in names if _is_lasting(host, "%s/%s" % (INTERFACES, name))}


def _is_lasting(host: Host, path: str) -> bool:
    hardware = host.exists(path + "/device") and not host.exists(path + "/device/physfn")
    return hardware or host.exists(path + "/bonding")


def _part(name: str) -> str:
    """Return a file's name as a part of a key: as in sysctl(8), its dots become slashes (VLAN eth0.7 is eth0/7)."""
    return printable(name).replace(".", "/")


def _walk(host: Host, directory: str, prefix: str, lasting: Collection[str]) -> List[Setting]:
    settings: List[Setting] = []
    for name in host.listdir(directory):
        key = prefix + _part(name)
        if left_out(key, lasting):
            continue
        path = "%s/%s" % (directory, name)
        try:
            settings.append(Setting(key, host.read(path, CHUNK), None))
        except OSError as error:
            settings += _instead(host, path, key, lasting, error)
    return settings


def _instead(host: Host, path: str, key: str, lasting: Collection[str], error: OSError) -> List[Setting]:
    """Return what is there in place of a readable file.  Asking only now saves a call for each of 1,000 files."""
    if not host.exists(path):
        return []  # gone with its interface or module
    status = host.lstat(path)
    if status.kind == "directory":
        return _walk(host, path, key + ".", lasting)
    if not status.mode & 0o444:
        return []  # only written to, to make the kernel act
    return [Setting(key, None, error.strerror or "unreadable")]


COLLECTOR = Collector(
    "system.sysctl",
    key="name, as sysctl -a prints it",
    collect=collect,
    deadline=10,
    fields={"value": "value; one space stands for a tab, lines stay lines; null where it cannot be read"},
)
