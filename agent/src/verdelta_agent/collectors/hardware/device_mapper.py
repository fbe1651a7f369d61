"""What the name and the UUID of a device-mapper device say: LVM, LUKS, multipath, partitions of these.

Source of the format: Documentation/ABI/testing/sysfs-block-dm of the Linux kernel; LVM2's lib/device/dev-type.c and
libdm ("LVM-", "part1-"); multipath-tools' libmultipath/devmapper.c ("mpath-"); cryptsetup's lib/libdevmapper.c
("CRYPT-"); lvm(8) "VALID NAMES" for the doubled hyphens.

The running kernel is asked, not /etc/lvm/backup and /etc/lvm/archive: those are what LVM's commands wrote last, which
is another thing after a restore, on a clone of a disk, or where the copies are switched off.
"""

import re
from typing import Mapping, NamedTuple, Optional, Sequence

from ...model import Row

_LVM = re.compile(r"LVM-([A-Za-z0-9]{32})([A-Za-z0-9]{32})(-.+)?$")
_LVM_NAME = re.compile(r"((?:[^-]|--)+)-((?:[^-]|--)+)(?:-(.+))?$")
_MULTIPATH = re.compile(r"(?:part([0-9]+)-)?mpath-(.+)$")
_CRYPT = re.compile(r"CRYPT-([A-Z0-9]+)-(?:([0-9a-f]{32})-)?")


class Multipath(NamedTuple):
    """A disk with several paths, or a partition on one."""

    wwid: str
    part: Optional[str]


def multipath(found: Mapping[str, str]) -> Optional[Multipath]:
    """Return what a device's attributes say of multipath, or None where it has nothing to do with that."""
    match = _MULTIPATH.match(found.get("dm/uuid", ""))
    return Multipath(match.group(2), match.group(1)) if match else None


def made_anew(found: Mapping[str, str]) -> bool:
    """Return whether the key is forgotten at each start (plain dm-crypt, as for swap), and the content with it."""
    return found.get("dm/uuid", "").startswith(("CRYPT-PLAIN-", "CRYPT-TEMP-"))


def key(found: Mapping[str, str]) -> Optional[str]:
    """Return what a device is known by: its name, which administrators give.

    That of a multipath device is given out (mpatha, in the order of discovery): it is known by its world-wide id.
    """
    disk = multipath(found)
    if disk is None:
        return "dm:" + found["dm/name"] if "dm/name" in found else None
    return "mpath:%s%s" % (disk.wwid, " part %s" % disk.part if disk.part else "")


def described(found: Mapping[str, str]) -> Row:
    """Return the fields of a device that follow from its name and its UUID."""
    name, uuid = found.get("dm/name", ""), found.get("dm/uuid", "")
    volume, named, crypt = _LVM.match(uuid), _LVM_NAME.match(name), _CRYPT.match(uuid)
    row: Row = {}
    if volume:
        row = {"vg_uuid": lvm_uuid(volume.group(1)), "lv_uuid": lvm_uuid(volume.group(2))}
    if volume and named:
        row["volume_group"], row["logical_volume"] = (part.replace("--", "-") for part in named.group(1, 2))
    if crypt:
        row["encryption"] = crypt.group(1)
    if crypt and crypt.group(2):
        row["luks_uuid"] = dashed(crypt.group(2))
    return row


def lvm_uuid(text: str) -> str:
    """Return 32 characters as LVM shows them."""
    return _grouped(text, (6, 4, 4, 4, 4, 4, 6))


def dashed(digits: str) -> str:
    """Return 32 hexadecimal digits as a UUID is written."""
    return _grouped(digits, (8, 4, 4, 4, 12))


def _grouped(text: str, lengths: Sequence[int]) -> str:
    groups = []
    for length in lengths:
        groups.append(text[:length])
        text = text[length:]
    return "-".join(groups)
