"""Disks and what is made of them: partitions, volumes, arrays, loop and network disks.

Source of the format: Documentation/ABI/stable/sysfs-block, testing/sysfs-block-dm and sysfs-block-loop, and
admin-guide/md.rst of the Linux kernel; SPC-5 for the page with the serial number.

A disk is known by what it carries itself: its world-wide id, else its serial number, else where it is plugged in; its
kernel name (sda) is given anew at each start.  Several paths to one disk are one row.  Left out are RAM disks, devices
of loop, zram, nbd and the like that hold nothing, snaps, and the media in drives that take media: the drive is part of
the machine, the medium is not.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from . import device_mapper
from .sysfs import Device, class_devices, has, number, place, read_attributes, uevent

CLASS = "/sys/class/block"
SECTOR = 512  # bytes; sysfs counts in these, whatever the disk does

_SCSI = ("device/vendor", "device/model", "device/rev", "device/wwid", "removable", "queue/rotational")
_ATTRIBUTES: Dict[str, Tuple[str, ...]] = {  # by kind, to read no file in vain
    "sd": _SCSI,
    "sr": _SCSI,
    "nvme": ("wwid", "device/model", "device/serial", "device/firmware_rev", "device/transport", "queue/rotational"),
    "vd": ("serial", "queue/rotational"),
    "mmcblk": ("device/cid", "device/name", "device/serial", "device/fwrev"),
    "loop": ("loop/backing_file", "loop/offset"),
    "dm": ("dm/name", "dm/uuid"),
    "md": ("md/uuid", "md/level", "md/raid_disks", "md/degraded"),
}
_PARTITION = ("size", "ro", "start", "partition", "uevent")
_SERIAL_PAGE = "device/vpd_pg80"
_MADE_OF_OTHERS = ("dm", "md", "bcache")
_IGNORED = re.compile(r"ram[0-9]+$")
_NVME_PATH = re.compile(r"(nvme[0-9]+)c[0-9]+(n[0-9]+)$")  # one of the paths to an NVMe disk, which has its own row
_SNAPS = "/var/lib/snapd/snaps/"  # software of its own kind, whose files have the revision in their names
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
    paths: int = 1  # by which NVMe reaches it; of SCSI, each path is a device


def collect(host: Host) -> Section:
    """Absent where the kernel knows no block devices at all."""
    if not has(host, CLASS):
        return absent()
    return Section(OK, *parse(read_disks(host)))


def read_disks(host: Host) -> List[Disk]:
    """Return every device that has content and is no part of another one, with its partitions."""
    paths = class_devices(host, CLASS)
    parents = {name: path.split("/")[-2] for name, path in paths.items()}
    parts: Dict[str, List[Device]] = {}
    for name, parent in parents.items():
        if parent in paths:
            parts.setdefault(parent, []).append(_read(host, name, paths[name], _PARTITION))
    nvme: Dict[str, List[str]] = {}
    whole = []
    for name in (name for name, parent in parents.items() if parent not in paths and not _IGNORED.match(name)):
        path = _NVME_PATH.match(name)
        if path is None:
            whole.append(name)
        else:
            nvme.setdefault(path.group(1) + path.group(2), []).append(paths[name])
    disks = (_read_disk(host, name, paths[name], parts.get(name, []), nvme.get(name, [])) for name in whole)
    return [disk for disk in disks if disk]


def _read(host: Host, name: str, path: str, attributes: Sequence[str]) -> Device:
    return Device(name, path, read_attributes(host, path, attributes))


def _read_disk(host: Host, name: str, path: str, parts: Sequence[Device], nvme: Sequence[str] = ()) -> Optional[Disk]:
    """Return a disk, or None for a device without content that no hardware stands behind, and for a snap.

    `nvme` are the paths by which NVMe reaches it, where it is not one alone.
    """
    device = _read(host, name, path, ("size", "ro"))
    size = device.number("size")
    if size is None or (size == 0 and device.virtual):
        return None
    kind = _kind(name)
    device.attributes.update(read_attributes(host, path, _ATTRIBUTES.get(kind, ())))
    if device.attributes.get("loop/backing_file", "").startswith(_SNAPS):
        return None
    device.attributes.update(_read_elsewhere(host, device, kind, nvme))
    made_of = host.listdir(path + "/slaves") if kind in _MADE_OF_OTHERS else []
    return Disk(device, kind, parts, made_of, len(nvme) or 1)


def _read_elsewhere(host: Host, device: Device, kind: str, nvme: Sequence[str]) -> Dict[str, str]:
    """Return what does not stand where the other attributes do."""
    found: Dict[str, Optional[str]] = {}
    if kind == "sd":
        found["device/serial"] = _serial_page(host, device.path)
    elif kind == "md" and "md/uuid" not in device.attributes:
        found["md/uuid"] = _array_uuid(host, device.path)
    elif nvme:  # the disk hangs below its subsystem; how it is reached, the controllers know
        found["device/transport"] = host.read_or_none(nvme[0].rpartition("/")[0] + "/transport")
    return {name: text for name, text in found.items() if text}


def _array_uuid(host: Host, path: str) -> Optional[str]:
    """Return the UUID of an array from udev's database: older kernels (RHEL 8, SLES 15) do not show it themselves."""
    properties = udev_properties(host, host.read_or_none(path + "/dev")) or {}
    digits = properties.get("MD_UUID", "").replace(":", "")
    return device_mapper.dashed(digits) if re.match("[0-9a-f]{32}$", digits) else None


def udev_properties(host: Host, device_number: Optional[str]) -> Optional[Dict[str, str]]:
    """Return what udev found out about a device, 8:1, or None where it runs not, or does not know the device."""
    text = host.read_or_none("/run/udev/data/b%s" % device_number) if device_number else None
    if text is None:
        return None
    return uevent("\n".join(line[2:] for line in text.split("\n") if line.startswith("E:")))


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
        ("", device_mapper.key(found)),
        ("md:", found.get("md/uuid")),
        ("path:", plugged),
        ("name:", device.name),
    )
    return next(prefix + value for prefix, value in named if value)


def parse(disks: Sequence[Disk]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: identity -> disk, and "identity part N" -> partition."""
    keys = keys_of(disks)
    rows: Rows = {}
    volatile: Rows = {}
    for disk in disks:
        key = keys[disk.device.name]
        stable, moving = _disk(disk)
        if disk.made_of:
            stable["made_of"] = sorted({keys.get(name, name) for name in disk.made_of})
        _add_path(rows, volatile, key, stable, disk.device.name)
        volatile[key].update(moving)
        for part in disk.parts if not takes_media(disk) else ():
            _add_path(rows, volatile, keys[part.name], _part(part), part.name)
    return rows, volatile


def _add_path(rows: Rows, volatile: Rows, key: str, row: Row, name: str) -> None:
    """Add a row, or one more path to a disk that is there already."""
    rows.setdefault(key, row)
    names = volatile.setdefault(key, {"names": []})["names"]
    names.append(name)
    if len(names) > 1:
        rows[key]["paths"] = len(names)


def keys_of(disks: Sequence[Disk]) -> Dict[str, str]:
    """Return name -> key of all disks and their partitions."""
    keys = _keys(disks)
    for disk in disks:
        keys.update((part.name, _part_key(keys[disk.device.name], part, disk)) for part in disk.parts)
    return keys


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
    """Return whether the devices are several paths to one disk: one world-wide id and one size.

    Makers have given one id to a whole series of NVMe disks: of these, the serial number has to be one, too.
    """
    attributes = [disk.device.attributes for disk in members]
    if len({found["size"] for found in attributes}) > 1:
        return False
    if all("device/wwid" in found for found in attributes):
        return True
    serials = {found.get("device/serial") for found in attributes}
    return all("wwid" in found for found in attributes) and len(serials) == 1 and None not in serials


def _part_key(disk_key: str, part: Device, disk: Disk) -> str:
    """Return the key of a partition; the boot areas of an eMMC chip hang below it too, and have no number."""
    position = part.attributes.get("partition")
    return "%s part %s" % (disk_key, position) if position else "%s %s" % (disk_key, part.name[len(disk.device.name) :])


def takes_media(disk: Disk) -> bool:
    """Return whether a drive's medium is something that people change."""
    # Internal disks behind a hot-plug port say removable, too; a USB device that says so is a stick or a card reader.
    removable = disk.device.attributes.get("removable") == "1"
    return disk.kind in ("sr", "fd") or (removable and _transport(disk.device) == "usb")


def _transport(device: Device) -> Optional[str]:
    told = device.attributes.get("device/transport", "pcie")
    if told != "pcie":
        return "nvme-" + told
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
    row.update(device_mapper.described(found))
    if disk.paths > 1:
        row["paths"] = disk.paths
    if "queue/rotational" in found:
        row["rotational"] = found["queue/rotational"] == "1"
    for field in ("raid_disks", "degraded"):
        if "md/" + field in found:
            row[field] = disk.device.number("md/" + field)
    if disk.kind == "zram":
        return row, {"size": size * SECTOR}
    measured = {"size": size * SECTOR, "read_only": found.get("ro") == "1"}
    given_out = {"name": found.get("dm/name")} if device_mapper.multipath(found) else {}
    return (row, measured) if takes_media(disk) else (dict(row, **measured), given_out)


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
    key="world-wide id, or mpath:world-wide id, serial:, mmc:, loop:file, dm:name, md:uuid, path:bus address, "
    "name: as the last resort; "
    'a partition has " part N" after it',
    collect=collect,
    deadline=5,
    fields={
        "kind": "driver's prefix of the kernel name: sd, nvme, vd, sr, dm, md, loop, zram …",
        "vendor": "maker, as the disk says it",
        "model": "model, as the disk says it",
        "firmware": "firmware revision",
        "serial": "serial number",
        "transport": "nvme (on PCI Express), nvme-tcp, nvme-rdma, nvme-fc, sas, sata, fc, iscsi, usb, virtio, mmc",
        "size": "bytes",
        "read_only": "whether the kernel refuses to write",
        "rotational": "whether it turns",
        "paths": "paths by which the machine reaches it, where there are several",
        "uuid": "of a device-mapper volume or an array",
        "volume_group": "LVM: the group that the volume is of, as the running kernel has it",
        "logical_volume": "LVM: name of the volume; of a hidden part of it, with what LVM adds",
        "vg_uuid": "LVM: UUID of the group",
        "lv_uuid": "LVM: UUID of the volume",
        "encryption": "dm-crypt: LUKS1, LUKS2, PLAIN …",
        "luks_uuid": "UUID of the LUKS header that an opened volume belongs to",
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
        "name": "of a multipath disk: given out in the order of discovery, and another one before /etc is there",
        "size": "of a drive's medium, which people change; of zram, which is computed from MemTotal at each start",
        "read_only": "of a drive's medium",
    },
)
