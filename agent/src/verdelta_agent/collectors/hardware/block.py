"""Disks and what is made of them: partitions, volumes, arrays, loop and network disks.

Source of the format: Documentation/ABI/stable/sysfs-block, testing/sysfs-block-dm and sysfs-block-loop, and
admin-guide/md.rst of the Linux kernel; SPC-5 for the page with the serial number.

A disk is known by what it carries itself: its world-wide id, else its serial number, else where it is plugged in; its
kernel name (sda) is given anew at each start.  Several paths to one disk are one row.  Left out are RAM disks, devices
of loop, zram, nbd and the like that hold nothing, and the media in drives that take media: the drive is part of the
machine, the medium is not.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import Device, class_devices, has, number, place, read_attributes, uevent

CLASS = "/sys/class/block"
SECTOR = 512  # bytes; sysfs counts in these, whatever the disk does

_SCSI = ("device/vendor", "device/model", "device/rev", "device/wwid", "removable", "queue/rotational")
_ATTRIBUTES: Dict[str, Tuple[str, ...]] = {  # by kind, to read no file in vain
    "sd": _SCSI,
    "sr": _SCSI,
    "nvme": ("wwid", "device/model", "device/serial", "device/firmware_rev", "queue/rotational"),
    "vd": ("serial", "queue/rotational"),
    "mmcblk": ("device/cid", "device/name", "device/serial", "device/fwrev"),
    "loop": ("loop/backing_file", "loop/offset"),
    "dm": ("dm/name", "dm/uuid"),
    "md": ("md/uuid", "md/level", "md/raid_disks", "md/degraded"),
}
_PARTITION = ("size", "ro", "start", "partition", "uevent")
_SERIAL_PAGE = "device/vpd_pg80"
_MADE_OF_OTHERS = ("dm", "md", "bcache")
_IGNORED = re.compile(r"nvme[0-9]+c[0-9]+n[0-9]+$|ram[0-9]+$")  # one path of an NVMe disk that has its own row; RAM
_KIND = re.compile(r"(sd|vd|xvd|hd|dasd)[a-z]+$|([a-z]+)")
_NO_IDENTITY = re.compile(r"[a-z0-9]+\.0*$")  # what devices answer whose maker did not give them one
_TRANSPORTS = (
    ("nvme", "/nvme"),
    ("usb", "/usb"),
    ("iscsi", "/session"),
    ("fc", "/rport-"),
    ("sas", "/end_device-"),
    ("sata", "/ata"),
    ("virtio", "/virtio"),
    ("mmc", "/mmc_host/"),
)


class Disk(NamedTuple):
    """A device that is no part of another one: what sysfs says of it, its partitions, and what it is made of."""

    device: Device
    kind: str
    parts: Sequence[Device]
    made_of: Sequence[str]


def collect(host: Host) -> Section:
    """Absent where the kernel knows no block devices at all."""
    if not has(host, CLASS):
        return absent()
    paths = class_devices(host, CLASS)
    parents = {name: path.split("/")[-2] for name, path in paths.items()}
    parts: Dict[str, List[Device]] = {}
    for name, parent in parents.items():
        if parent in paths:
            parts.setdefault(parent, []).append(_read(host, name, paths[name], _PARTITION))
    whole = (name for name, parent in parents.items() if parent not in paths and not _IGNORED.match(name))
    disks = (_read_disk(host, name, paths[name], parts.get(name, [])) for name in whole)
    return Section(OK, *parse([disk for disk in disks if disk]))


def _read(host: Host, name: str, path: str, attributes: Sequence[str]) -> Device:
    return Device(name, path, read_attributes(host, path, attributes))


def _read_disk(host: Host, name: str, path: str, parts: Sequence[Device]) -> Optional[Disk]:
    """Return a disk, or None for a device without content that no hardware stands behind."""
    device = _read(host, name, path, ("size", "ro"))
    size = device.number("size")
    if size is None or (size == 0 and device.virtual):
        return None
    kind = _kind(name)
    device.attributes.update(read_attributes(host, path, _ATTRIBUTES.get(kind, ())))
    if kind == "sd":
        serial = _serial_page(host, path)
        device.attributes.update({"device/serial": serial} if serial else {})
    made_of = host.listdir(path + "/slaves") if kind in _MADE_OF_OTHERS else []
    return Disk(device, kind, parts, made_of)


def _serial_page(host: Host, path: str) -> str:
    """Return the unit serial number page of a SCSI disk, which the kernel keeps: four bytes of header, then text."""
    try:
        return host.read_bytes("%s/%s" % (path, _SERIAL_PAGE), 4096)[4:].decode("ascii", "replace").strip(" \0")
    except OSError:
        return ""


def _kind(name: str) -> str:
    match = _KIND.match(name)
    return (match.group(1) or match.group(2)) if match else name


def key_of(host: Host, name: str) -> str:
    """Return the key of a kernel name (sda2), unless two disks share an identity, for sections that speak of disks."""
    try:
        path = "/sys/devices/" + host.readlink("%s/%s" % (CLASS, name)).partition("devices/")[2]
    except OSError:
        return "/dev/" + name
    part = _read(host, name, path, ("partition",))
    disk_path = path.rpartition("/")[0] if part.attributes else path
    disk = _read_disk(host, disk_path.rpartition("/")[2], disk_path, [])
    if disk is None:
        return "/dev/" + name
    return _part_key(identity(disk.device), part, disk) if part.attributes else identity(disk.device)


def identity(device: Device) -> str:
    """Return the most lasting name that a disk has; two disks may share it when their maker was careless."""
    found = device.attributes
    wwid = found.get("wwid") or found.get("device/wwid")
    if wwid and not _NO_IDENTITY.match(wwid):
        return " ".join(wwid.split())
    if "loop/backing_file" in found:
        offset = found.get("loop/offset", "0")
        return "loop:" + found["loop/backing_file"] + ("" if offset == "0" else "@" + offset)
    plugged = place(device.path)
    named = (
        ("mmc:", found.get("device/cid")),
        ("serial:", found.get("device/serial") or found.get("serial")),
        ("dm:", found.get("dm/name")),
        ("md:", found.get("md/uuid")),
        ("path:", plugged),
        ("name:", device.name),
    )
    return next(prefix + value for prefix, value in named if value)


def parse(disks: Sequence[Disk]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: identity -> disk, and "identity part N" -> partition."""
    keys = _keys(disks)
    for disk in disks:
        keys.update((part.name, _part_key(keys[disk.device.name], part, disk)) for part in disk.parts)
    rows: Rows = {}
    volatile: Rows = {}
    for disk in disks:
        key = keys[disk.device.name]
        stable, moving = _disk(disk)
        if disk.made_of:
            stable["made_of"] = sorted({keys.get(name, name) for name in disk.made_of})
        _add_path(rows, volatile, key, stable, disk.device.name)
        volatile[key].update(moving)
        for part in disk.parts if not _takes_media(disk) else ():
            _add_path(rows, volatile, keys[part.name], _part(part), part.name)
    return rows, volatile


def _add_path(rows: Rows, volatile: Rows, key: str, row: Row, name: str) -> None:
    """Add a row, or one more path to a disk that is there already."""
    rows.setdefault(key, row)
    names = volatile.setdefault(key, {"names": []})["names"]
    names.append(name)
    if len(names) > 1:
        rows[key]["paths"] = len(names)


def _keys(disks: Sequence[Disk]) -> Dict[str, str]:
    """Return name -> key: the identity, with the place or the kernel name after it where disks share one by mistake."""
    groups: Dict[str, List[Disk]] = {}
    for disk in disks:
        groups.setdefault(identity(disk.device), []).append(disk)
    keys: Dict[str, str] = {}
    for shared, members in groups.items():
        together = len(members) == 1 or _one_disk(members)
        apart = len({place(disk.device.path) for disk in members}) == len(members)
        for disk in members:
            more = "" if together else " at " + place(disk.device.path) if apart else " as " + disk.device.name
            keys[disk.device.name] = shared + more
    return keys


def _one_disk(members: Sequence[Disk]) -> bool:
    """Return whether the devices are several paths to one disk: one world-wide id and one size."""
    sizes = {disk.device.attributes["size"] for disk in members}
    return len(sizes) == 1 and all("device/wwid" in disk.device.attributes for disk in members)


def _part_key(disk_key: str, part: Device, disk: Disk) -> str:
    """Return the key of a partition; the boot areas of an eMMC chip hang below it too, and have no number."""
    position = part.attributes.get("partition")
    return "%s part %s" % (disk_key, position) if position else "%s %s" % (disk_key, part.name[len(disk.device.name) :])


def _takes_media(disk: Disk) -> bool:
    # Internal disks behind a hot-plug port say removable, too; a USB device that says so is a stick or a card reader.
    removable = disk.device.attributes.get("removable") == "1"
    return disk.kind in ("sr", "fd") or (removable and _transport(disk.device) == "usb")


def _transport(device: Device) -> Optional[str]:
    return next((name for name, step in _TRANSPORTS if step in device.path), None)


def _disk(disk: Disk) -> Tuple[Row, Row]:
    """Return what lasts and what does not."""
    found = disk.device.attributes
    size = number(found["size"]) or 0
    texts = {
        "vendor": found.get("device/vendor"),
        "model": found.get("device/model") or found.get("device/name"),
        "firmware": found.get("device/rev") or found.get("device/firmware_rev") or found.get("device/fwrev"),
        "serial": found.get("device/serial") or found.get("serial"),
        "transport": _transport(disk.device),
        "uuid": found.get("dm/uuid") or found.get("md/uuid"),
        "level": found.get("md/level"),
    }
    row: Row = {name: text for name, text in texts.items() if text}
    row["kind"] = disk.kind
    if "queue/rotational" in found:
        row["rotational"] = found["queue/rotational"] == "1"
    for field in ("raid_disks", "degraded"):
        if "md/" + field in found:
            row[field] = disk.device.number("md/" + field)
    if disk.kind == "zram":
        return row, {"size": size * SECTOR}
    measured = {"size": size * SECTOR, "read_only": found.get("ro") == "1"}
    return (row, measured) if _takes_media(disk) else (dict(row, **measured), {})


def _part(part: Device) -> Row:
    event = uevent(part.attributes.get("uevent"))
    sectors, start = part.number("size"), part.number("start")
    row: Row = {
        "size": (sectors or 0) * SECTOR,
        "start": None if start is None else start * SECTOR,
        "read_only": part.attributes.get("ro") == "1",
    }
    row.update(
        (field, event[name]) for field, name in (("partuuid", "PARTUUID"), ("label", "PARTNAME")) if event.get(name)
    )
    return row


COLLECTOR = Collector(
    "hardware.block",
    key="world-wide id, or serial:, mmc:, loop:file, dm:name, md:uuid, path:bus address, name: as the last resort; "
    'a partition has " part N" after it',
    collect=collect,
    deadline=5,
    fields={
        "kind": "driver's prefix of the kernel name: sd, nvme, vd, sr, dm, md, loop, zram …",
        "vendor": "maker, as the disk says it",
        "model": "model, as the disk says it",
        "firmware": "firmware revision",
        "serial": "serial number",
        "transport": "nvme, sas, sata, fc, iscsi, usb, virtio, mmc",
        "size": "bytes",
        "read_only": "whether the kernel refuses to write",
        "rotational": "whether it turns",
        "paths": "paths by which the machine reaches it, where there are several",
        "uuid": "of a device-mapper volume or an array",
        "level": "RAID level of an array",
        "raid_disks": "members that an array should have",
        "degraded": "members that it lacks",
        "made_of": "keys of the disks and partitions below it",
        "start": "offset of a partition, in bytes",
        "partuuid": "of a partition, where the kernel tells it (since 6.1)",
        "label": "name of a partition in the partition table",
    },
    volatile={
        "names": "kernel names: given anew at each start, in the order of discovery",
        "size": "of a drive's medium, which people change; of zram, which is computed from MemTotal at each start",
        "read_only": "of a drive's medium",
    },
)
