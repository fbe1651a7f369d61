"""What lies on each disk, partition and volume: file system, swap, LUKS, member of LVM or of an array, partition table.

Source of the format: udev's database (properties of blkid's builtin, 60-persistent-storage.rules) where udev runs: it
costs no access to a disk and wakes none up.  What it does not know is read from the device itself, in a handful of
small reads; both ways give the same rows.  A device that does not answer ends with the section's deadline.

Not read are the media in drives that take media, the paths to a disk that multipath has taken (one of them may wait
for the other controller), and zram, whose content is made at each start.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..incomplete import missing
from . import device_mapper, partition_tables, superblocks
from .block import CLASS, SECTOR, Disk, keys_of, read_disks, takes_media, udev_properties
from .sysfs import Device, has, number, uevent

# What udev's rules look at: there, nothing found means that nothing is there.
_LOOKED_AT = ("sd", "vd", "xvd", "hd", "nvme", "mmcblk", "dasd", "pmem", "loop", "dm", "md", "bcache")
_ANEW = ("zram",)
_MULTIPATH_MEMBER = "mpath_member"
_UDEV = (
    ("type", "ID_FS_TYPE"),
    ("version", "ID_FS_VERSION"),
    ("uuid", "ID_FS_UUID_ENC"),
    ("label", "ID_FS_LABEL_ENC"),
    ("device_uuid", "ID_FS_UUID_SUB_ENC"),
)
_UDEV_TABLE = (("table", "ID_PART_TABLE_TYPE"), ("table_uuid", "ID_PART_TABLE_UUID"))
_UDEV_PART = (("partuuid", "ID_PART_ENTRY_UUID"), ("parttype", "ID_PART_ENTRY_TYPE"))
_NO_PARTITION = re.compile(r"boot[0-9]$|rpmb$|gp[0-9]$")  # areas of an eMMC chip


class Seen(NamedTuple):
    """What lies on one device, and whether it is made anew at each start."""

    key: str
    row: Row
    anew: bool = False


def collect(host: Host) -> Section:
    """Absent where the kernel knows no block devices; partial where some cannot be read, failed where none can."""
    if not has(host, CLASS):
        return absent()
    disks = read_disks(host)
    look = _Look(host, keys_of(disks), _taken_by_multipath(disks))
    for disk in disks:
        if not takes_media(disk) and disk.kind not in _ANEW:
            look.at(disk)
    problems = missing("not read", sorted(look.problems))
    if problems and not look.answered:
        return failed(problems)
    return Section(OK, *parse(look.seen), error=problems and "partial: " + problems)


def parse(seen: Sequence[Seen]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: key of the device -> what lies on it, where there is anything."""
    rows: Rows = {}
    volatile: Rows = {}
    for key, row, anew in seen:
        moving = ("uuid", "label", "device_uuid") if anew else ()
        stable = {field: value for field, value in row.items() if value and field not in moving}
        if stable:
            rows.setdefault(key, stable)  # several paths to one disk lead to one content
        if any(row.get(field) for field in moving):
            volatile[key] = {field: row[field] for field in moving if row.get(field)}
    return rows, volatile


def _taken_by_multipath(disks: Sequence[Disk]) -> Set[str]:
    return {name for disk in disks if device_mapper.multipath(disk.device.attributes) for name in disk.made_of}


class _Look:
    """Looks at the devices one after the other."""

    def __init__(self, host: Host, keys: Dict[str, str], taken: Set[str]) -> None:
        self.host = host
        self.keys = keys
        self.taken = taken
        self.seen: List[Seen] = []
        self.problems: List[str] = []
        self.answered = False

    def at(self, disk: Disk) -> None:
        """Take in what lies on a disk and on its partitions."""
        name = disk.device.name
        if name in self.taken and not device_mapper.multipath(disk.device.attributes):
            self.answered = True
            self.seen.append(Seen(self.keys[name], {"type": _MULTIPATH_MEMBER}))
            return
        properties = udev_properties(self.host, self.host.read_or_none(disk.device.path + "/dev"))
        table = self._disk(disk, properties)
        for part in disk.parts:
            self._part(disk, part, table)

    def _disk(self, disk: Disk, properties: Optional[Dict[str, str]]) -> Optional[partition_tables.Table]:
        """Take in what lies on the disk; return its partition table, if it had to be read."""
        row, table = _from_udev(properties, _UDEV + _UDEV_TABLE, disk.kind), None
        if row is None:
            try:
                row, table = self._read(disk.device, with_table=True)
            except OSError as error:
                self._problem(disk.device, error)
                return None
        self._add(disk, disk.device, row)
        return table

    def _part(self, disk: Disk, part: Device, table: Optional[partition_tables.Table]) -> None:
        event = uevent(part.attributes.get("uevent"))
        properties = udev_properties(self.host, "%s:%s" % (event.get("MAJOR"), event.get("MINOR")))
        row = _from_udev(properties, _UDEV + _UDEV_PART, disk.kind)
        position = number(part.attributes.get("partition"))
        if row is None and _NO_PARTITION.search(part.name):
            return
        if row is None:
            try:
                row, _ = self._read(part, with_table=False)
            except OSError as error:
                self._problem(part, error)
                return
            entry = table.partitions.get(position or 0) if table else None
            row.update({"partuuid": entry.uuid, "parttype": entry.type} if entry else {})
        self._add(disk, part, row)

    def _read(self, device: Device, with_table: bool) -> Tuple[Row, Optional[partition_tables.Table]]:
        path = "/dev/" + device.name.replace("!", "/")  # as sysfs writes a slash
        size = (device.number("size") or 0) * SECTOR
        pieces: Dict[Tuple[int, int], bytes] = {}

        def read(offset: int, length: int) -> bytes:
            """Return bytes of the device; a device that lies about itself is still asked for each once."""
            if (offset, length) not in pieces:
                room = max(0, min(length, size - offset))
                pieces[offset, length] = self.host.read_device(path, offset, room) if room else b""
            return pieces[offset, length]

        content = superblocks.identify(read, size) if size else None
        row: Row = dict(content._asdict()) if content else {}
        whole = (
            with_table and size and (content is None or content.type in ("iso9660", "ext2", "ext3", "ext4", "btrfs"))
        )
        table = partition_tables.identify(read, size) if whole else None
        row.update({"table": table.kind, "table_uuid": table.uuid} if table else {})
        return row, table

    def _add(self, disk: Disk, device: Device, row: Row) -> None:
        self.answered = True
        self.seen.append(Seen(self.keys[device.name], row, device_mapper.made_anew(disk.device.attributes)))

    def _problem(self, device: Device, error: OSError) -> None:
        self.problems.append("%s (%s)" % (self.keys[device.name], error.strerror or type(error).__name__))


def _from_udev(properties: Optional[Dict[str, str]], fields: Sequence[Tuple[str, str]], kind: str) -> Optional[Row]:
    """Return what udev found on a device, or None where it has not looked."""
    if properties is None:
        return None
    row: Row = {field: decoded(properties[name]) for field, name in fields if properties.get(name)}
    if not _beside_a_table(row):
        row = {field: value for field, value in row.items() if field not in ("table", "table_uuid")}
    return row if row or kind in _LOOKED_AT else None


def _beside_a_table(row: Row) -> bool:
    """Return whether a disk can have a partition table: the first sector of FAT looks like one, and is none.

    A CD that starts from a stick, too, has both.
    """
    return row.get("type") in (None, "iso9660")


def decoded(text: str) -> str:
    r"""Return a value in which udev wrote \\xNN for what has a meaning in a file name."""
    if "\\x" not in text:
        return text
    data = re.sub(b"\\\\x([0-9a-f]{2})", lambda match: bytes([int(match.group(1), 16)]), text.encode("utf-8"))
    return data.decode("utf-8", "backslashreplace").strip(" \0")


COLLECTOR = Collector(
    "hardware.filesystems",
    key="as in hardware.block: of the disk, partition or volume that it lies on",
    collect=collect,
    deadline=20,
    fields={
        "type": "ext4, xfs, btrfs, vfat, swap, crypto_LUKS, LVM2_member, linux_raid_member, mpath_member …",
        "version": "of the format on the disk: FAT32, LUKS 2, md 1.2, LVM2 001",
        "uuid": "of the file system, the LUKS header, the LVM physical volume, the array",
        "label": "name of the file system; of a member of an array: the array's name",
        "device_uuid": "of this one of several members: md, btrfs",
        "table": "partition table of a disk: gpt, dos",
        "table_uuid": "UUID of the partition table",
        "partuuid": "of a partition in the table",
        "parttype": "of a partition in the table: GUID, or number of an MBR",
    },
    volatile={
        "uuid": "of what is made at each start on a volume whose key is forgotten (swap on plain dm-crypt)",
        "label": "as uuid",
        "device_uuid": "as uuid",
    },
)
