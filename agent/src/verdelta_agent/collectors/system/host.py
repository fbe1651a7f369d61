"""The operating system and the machine that it runs as: names, time zone, kind of virtualisation.

Source of the format: os-release(5), machine-id(5), localtime(5).
"""

import hashlib
from typing import Dict, Mapping, Optional

from ...host import Host
from ...model import OK, Collector, Row, Section, absent
from . import virtualisation

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
ARCHITECTURE = "/proc/sys/kernel/arch"  # since Linux 6.1
HOST_NAME = "/proc/sys/kernel/hostname"
MACHINE_ID = "/etc/machine-id"
LOCAL_TIME = "/etc/localtime"
TIME_ZONE_NAMES = ("/etc/timezone", "/etc/TZ")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
UPTIME = "/proc/uptime"

OTHER = "other"
FAMILIES: Mapping[str, str] = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "rhel",
    "centos": "rhel",
    "fedora": "rhel",
    "suse": "suse",
    "sles": "suse",
    "opensuse": "suse",
    "alpine": "alpine",
    "arch": "arch",
}


def collect(host: Host) -> Section:
    """Absent where there is neither an os-release nor a name; partial where the architecture cannot be told."""
    release = _os_release(host)
    name = host.read_or_none(HOST_NAME)
    if release is None and name is None:
        return absent()
    architecture, error = None, None
    try:
        architecture = host.read_or_none(ARCHITECTURE) or host.run(["uname", "-m"], timeout=2).strip()
    except OSError as refused:
        error = "architecture: %s" % refused
    machine: Row = {
        "host_name": name,
        "machine_id_digest": machine_digest(host.read_or_none(MACHINE_ID)),
        "time_zone": time_zone(host),
        "virtualisation": virtualisation.detect(host),
    }
    rows = {"os": parse(release or "", architecture), "host": machine}
    return Section(OK, rows, {"host": _since_start(host)}, error)


def _os_release(host: Host) -> Optional[str]:
    for path in OS_RELEASE:
        try:
            return host.read(path)
        except FileNotFoundError:  # the first one may be a link that leads nowhere
            continue
    return None


def _since_start(host: Host) -> Row:
    uptime = (host.read_or_none(UPTIME) or "").partition(".")[0]
    return {"boot_id": host.read_or_none(BOOT_ID), "uptime": int(uptime) if uptime else None}


def parse(os_release: str, architecture: Optional[str]) -> Row:
    """Return the row "os".  A rolling distribution has no version: null."""
    values = assignments(os_release)
    return {
        "id": values.get("ID", "linux"),
        "version_id": values.get("VERSION_ID"),
        "pretty_name": values.get("PRETTY_NAME", "Linux"),
        "family": family(values.get("ID", ""), values.get("ID_LIKE", "")),
        "architecture": architecture,
    }


def family(identity: str, like: str) -> str:
    """Return whose packages and habits a distribution has, from its ID and, nearest first, its ID_LIKE."""
    words = [word.partition("-")[0] for word in [identity] + like.split()]
    return next((FAMILIES[word] for word in words if word in FAMILIES), OTHER)


def assignments(text: str) -> Dict[str, str]:
    """Return the variables of a file of shell assignments, which is all that os-release(5) allows."""
    pairs = (line.strip().partition("=") for line in text.split("\n") if not line.lstrip().startswith("#"))
    return {name: _unquoted(value) for name, separator, value in pairs if separator}


def _unquoted(value: str) -> str:
    if value[:1] == "'" == value[-1:]:
        return value[1:-1]
    if value[:1] == '"' == value[-1:]:
        value = value[1:-1]
    for character in '"$`\\':  # the backslash last: what it has escaped is done with
        value = value.replace("\\" + character, character)
    return value


def machine_digest(machine_id: Optional[str]) -> Optional[str]:
    """Return a digest that stands for the machine id, or None where the machine has none yet.

    machine-id(5) asks to keep the id itself off the network: other things are derived from it.  A digest shows as well
    that a machine was cloned, or given another id.
    """
    if not machine_id or machine_id == "uninitialized":
        return None
    return hashlib.sha256(b"verdelta machine-id " + machine_id.encode("utf-8")).hexdigest()


def time_zone(host: Host) -> Optional[str]:
    """Return the name of the time zone, or None where /etc/localtime is a copy that does not tell its name."""
    if not host.exists(LOCAL_TIME):
        return "UTC"
    if host.lstat(LOCAL_TIME).kind == "symlink":
        _, zoneinfo, name = host.readlink(LOCAL_TIME).partition("zoneinfo/")
        if zoneinfo:
            return name
    return next(filter(None, map(host.read_or_none, TIME_ZONE_NAMES)), None)


COLLECTOR = Collector(
    "system.host",
    key='"os" and "host"',
    collect=collect,
    deadline=5,
    fields={
        "id": "of os: ID of os-release",
        "version_id": "of os: VERSION_ID of os-release; null for a rolling distribution",
        "pretty_name": "of os: PRETTY_NAME of os-release",
        "family": "of os: debian, rhel, suse, alpine, arch or other, from ID and ID_LIKE",
        "architecture": "of os: that of the kernel, as uname -m prints it",
        "host_name": "of host: the name that the kernel has now",
        "machine_id_digest": "of host: a digest that stands for /etc/machine-id; two hosts with one are clones",
        "time_zone": "of host: name of the time zone; null where /etc/localtime does not tell",
        "virtualisation": "of host: container manager or hypervisor in the words of systemd-detect-virt; none",
    },
    volatile={
        "boot_id": "of host: another one after each start",
        "uptime": "of host: seconds since the start, which never stop",
    },
)
