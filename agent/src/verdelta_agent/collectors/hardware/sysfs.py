"""Small readings of sysfs that the hardware collectors share.

Source of the format: Documentation/ABI and Documentation/admin-guide/sysfs-rules.rst of the Linux kernel.
"""

import errno
import re
from typing import Dict, Iterable, NamedTuple, Optional

from ...host import Host

# The parts of a device's path that say where it is plugged in.  The numbers around them (host2, ata1, virtio0, the
# number of a USB bus) are given in the order of discovery, which is another one after the next start.
_PLACES = (
    (re.compile(r"([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$"), "pci"),
    (re.compile(r"[0-9]+-([0-9.]+:[0-9]+\.[0-9]+)$"), "usb"),
    (re.compile(r"[0-9]+:([0-9]+:[0-9]+:[0-9]+)$"), "scsi"),
    (re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"), "vmbus"),
    (re.compile(r"((?:vbd|vif)-[0-9]+)$"), "xen"),
    (re.compile(r"([0-9a-f]+\.[0-9a-f]\.[0-9a-f]{4})$"), "ccw"),
)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO)


class Device(NamedTuple):
    """One device as sysfs shows it: its name, its path below /sys/devices, and those attributes that have a value."""

    name: str
    path: str
    attributes: Dict[str, str]

    def number(self, name: str) -> Optional[int]:
        """Return an attribute as a number, or None where it has none."""
        return number(self.attributes.get(name))

    @property
    def virtual(self) -> bool:
        """Return whether the kernel made the device up, with no bus or hardware below it."""
        return self.path.startswith("/sys/devices/virtual/")


def has(host: Host, directory: str) -> bool:
    """Return whether a directory of sysfs is there.

    Raises FileNotFoundError where the one above it is missing: without sysfs nothing is known, not even what is absent.
    """
    if host.exists(directory):
        return True
    host.lstat(directory.rpartition("/")[0])
    return False


def read_attributes(host: Host, directory: str, names: Iterable[str]) -> Dict[str, str]:
    """Return those of the named attributes that can be read and are not empty."""
    texts = ((name, host.read_or_none("%s/%s" % (directory, name))) for name in names)
    return {name: text for name, text in texts if text}


def read_present(host: Host, path: str) -> Optional[str]:
    """Return an attribute that every device has, or None where the device has gone away meanwhile.

    Raises OSError when it is there and cannot be read: a device that hides is not one that was unplugged.
    """
    try:
        return host.read(path, 4096).strip()
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def number(text: Optional[str]) -> Optional[int]:
    """Return a decimal number, or None where there is none."""
    try:
        return int(text) if text else None
    except ValueError:
        return None


def uevent(text: Optional[str]) -> Dict[str, str]:
    """Return the KEY=value lines of a uevent attribute."""
    pairs = (line.partition("=") for line in (text or "").split("\n"))
    return {name: value for name, equals, value in pairs if equals}


def link_target(host: Host, path: str) -> Optional[str]:
    """Return the last name in a symbolic link's target, or None where there is no such link."""
    try:
        return host.readlink(path).rpartition("/")[2]
    except OSError:
        return None


def class_devices(host: Host, directory: str) -> Dict[str, str]:
    """Return name -> path below /sys/devices of the devices of a class; what goes away meanwhile is not there."""
    paths = {}
    for name in host.listdir(directory):
        try:
            target = host.readlink("%s/%s" % (directory, name))
        except OSError:  # no link: bonding_masters, a file among the network interfaces
            continue
        paths[name] = "/sys/devices/" + target.partition("devices/")[2]
    return paths


def place(path: str) -> str:
    """Return where a device is plugged in, as pci-0000:3b:00.0/scsi-0:1:0, or "" where its path does not say.

    Of the bridges on the way to a PCI device nothing is kept: its own address is unique.
    """
    found: Dict[str, str] = {}
    before = ""
    for part in path.split("/"):
        for pattern, bus in _PLACES:
            match = pattern.match(part)
            if match:
                found[bus] = match.group(1)
        if before in ("platform", "vio"):
            found[before] = part
        before = part
    return "/".join("%s-%s" % step for step in found.items())


def seat(path: str) -> str:
    """Return where a device is plugged in, or built in, so that two of them on one chip differ; "" of a virtual one.

    What is built in (platform-fe980000.usb) has the last name that is the firmware's: those that end in .auto are
    numbered in the order of discovery.
    """
    where = place(path)
    if (where and not where.startswith("platform-")) or path.startswith("/sys/devices/virtual/"):
        return where
    given = [name for name in path.partition("/sys/devices/")[2].split("/") if name and not name.endswith(".auto")]
    return "platform-" + given[-1] if given else ""
