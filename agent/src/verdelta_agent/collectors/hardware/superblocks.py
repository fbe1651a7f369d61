"""What lies on a block device, told by the superblock that it begins or ends with.

Pure: `read(offset, size)` returns the bytes of the device, fewer behind its end.  A handful of reads of a few KiB,
and none of them depends on more than the first: whatever stands there, it ends.  Types, versions and UUIDs are
written as libblkid writes them, so that udev's database says the same.

Source of the formats: libblkid/src/superblocks of util-linux; for each, the documentation or the header of its own:
fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, fs/btrfs (uapi/linux/btrfs_tree.h), mm/swapfile.c, uapi/linux/raid/md_p.h
of the Linux kernel; LVM2's lib/format_text/layout.h; the LUKS1 and LUKS2 on-disk format specifications; Microsoft's
FAT and exFAT specifications; squashfs.rst; ECMA-119.
"""

from typing import Callable, NamedTuple, Optional

from .device_mapper import dashed, lvm_uuid

Read = Callable[[int, int], bytes]

START = 8192  # bytes, read once: nearly everything says there what it is
LONGEST = 4096  # bytes of a directory that are looked through for the name of the volume
PAGES = (4096, 8192, 16384, 32768, 65536)  # bytes; swap is marked at the end of a page of the machine that made it
SUSPENDED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")


class Content(NamedTuple):
    """What lies on a device; `device_uuid` is of this member of several devices."""

    type: str
    version: str = ""
    uuid: str = ""
    label: str = ""
    device_uuid: str = ""


def identify(read: Read, size: int) -> Optional[Content]:
    """Return what lies on a device of so many bytes, or None where nothing of what is known here does.

    Members of an array or of a volume group come first: what the array holds may begin where they do.
    """
    start = read(0, START)

    def read_again(offset: int, length: int) -> bytes:
        whole = offset + length <= START
        return start[offset : offset + length] if whole else read(offset, length)

    found = (probe(read_again, size) for probe in _PROBES)
    return next((content for content in found if content), None)


def _md(read: Read, size: int) -> Optional[Content]:
    at_the_end = ((size >> 9) - 16) // 8 * 8 * 512
    for version, offset in (("1.1", 0), ("1.2", 4096), ("1.0", at_the_end)):
        block = read(offset, 256) if offset >= 0 else b""
        if block[:8] == b"\xfc\x4e\x2b\xa9\1\0\0\0" and _little(block[144:152]) * 512 == offset:
            return Content(
                "linux_raid_member", version, _uuid(block[16:32]), _text(block[32:64]), _uuid(block[168:184])
            )
    return None


def _lvm(read: Read, size: int) -> Optional[Content]:
    for sector in range(4):
        label = read(sector * 512, 512)
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001" and _little(label[8:16]) == sector:
            start = _little(label[20:24])
            identifier = _text(label[start : start + 32])
            return Content("LVM2_member", "LVM2 001", lvm_uuid(identifier)) if len(identifier) == 32 else None
    return None


def _luks(read: Read, size: int) -> Optional[Content]:
    header = read(0, 512)
    version = int.from_bytes(header[6:8], "big")
    if header[:6] != b"LUKS\xba\xbe" or version not in (1, 2):
        return None
    label = _text(header[24:72]) if version == 2 else ""
    return Content("crypto_LUKS", str(version), _text(header[168:208]), label)


def _fat(read: Read, size: int) -> Optional[Content]:
    boot = read(0, 512)
    sector, per_cluster, reserved, tables = (
        _little(boot[11:13]),
        _little(boot[13:14]),
        boot[14:16],
        _little(boot[16:17]),
    )
    is_32 = boot[82:90] == b"FAT32   "
    known = is_32 or boot[54:62] in (b"FAT12   ", b"FAT16   ", b"FAT     ")
    if not known or sector not in (512, 1024, 2048, 4096) or not _power(per_cluster) or not tables:
        return None
    entries, length = _little(boot[17:19]), _little(boot[22:24]) or _little(boot[36:40])
    data = _little(reserved) + tables * length  # sector of the root directory, or of the first cluster
    clusters = ((_little(boot[19:21]) or _little(boot[32:36])) - data - -(-entries * 32 // sector)) // per_cluster
    version = "FAT32" if is_32 else "FAT12" if clusters < 4085 else "FAT16"
    if is_32:
        data += (_little(boot[44:48]) - 2) * per_cluster
    room = per_cluster * sector if is_32 else entries * 32
    serial = boot[67:71] if is_32 else boot[39:43]
    return Content("vfat", version, _serial(serial), _fat_label(read(max(data, 0) * sector, min(room, LONGEST))))


def _fat_label(directory: bytes) -> str:
    for position in range(0, len(directory) - 31, 32):
        entry = directory[position : position + 32]
        if entry[:1] == b"\0":
            break
        is_label = entry[11] & 0x3F != 0x0F and entry[11] & 0x18 == 0x08
        if is_label and entry[:1] != b"\xe5" and _little(entry[20:22]) == 0 == _little(entry[26:28]):
            return _text(b"\xe5" + entry[1:11] if entry[:1] == b"\5" else entry[:11])
    return ""


def _exfat(read: Read, size: int) -> Optional[Content]:
    boot = read(0, 512)
    sector, cluster = _little(boot[108:109]), _little(boot[109:110])  # as powers of two
    if boot[3:11] != b"EXFAT   " or boot[11:64].strip(b"\0") or not 9 <= sector <= 12 or sector + cluster > 25:
        return None
    root = (_little(boot[88:92]) << sector) + (max(_little(boot[96:100]) - 2, 0) << (sector + cluster))
    directory = read(root, min(1 << (sector + cluster), LONGEST))
    entries = (directory[position : position + 32] for position in range(0, len(directory) - 31, 32))
    named = next((entry for entry in entries if entry[0] in (0x83, 0)), b"\0\0")
    label = named[2 : 2 + 2 * min(named[1], 11)].decode("utf-16-le", "replace") if named[0] == 0x83 else ""
    return Content("exfat", "%d.%d" % (boot[105], boot[104]), _serial(boot[100:104]), label)


def _swap(read: Read, size: int) -> Optional[Content]:
    for page in PAGES:
        magic = read(page - 10, 10)
        if magic in SUSPENDED or magic in (b"SWAPSPACE2", b"SWAP-SPACE"):
            header = read(1024, 44)
            kind = "swsuspend" if magic in SUSPENDED else "swap"
            if kind == "swap" and magic == b"SWAP-SPACE":
                return Content(kind, "0")
            return Content(kind, "" if kind == "swsuspend" else "1", _uuid(header[12:28]), _text(header[28:44]))
    return None


def _xfs(read: Read, size: int) -> Optional[Content]:
    block = read(0, 120)
    block_size = int.from_bytes(block[4:8], "big")
    if block[:4] != b"XFSB" or not _power(block_size) or not 512 <= block_size <= 65536:
        return None
    return Content("xfs", "", _uuid(block[32:48]), _text(block[108:120]))


# Features that a driver of ext2 or ext3 knows: journal, journal device; entry types, recovery, groups of meta blocks.
_JOURNAL, _JOURNAL_DEVICE, _NEEDS_RECOVERY = 0x4, 0x8, 0x4
_INCOMPATIBLE, _READ_ONLY_COMPATIBLE = 0x2 | 0x4 | 0x10, 0x1 | 0x2 | 0x4


def _ext(read: Read, size: int) -> Optional[Content]:
    block = read(1024, 1024)
    if block[56:58] != b"\x53\xef":
        return None
    compatible, incompatible, read_only = (_little(block[at : at + 4]) for at in (92, 96, 100))
    if incompatible & _JOURNAL_DEVICE:
        kind = "jbd"
    elif incompatible & ~_INCOMPATIBLE or read_only & ~_READ_ONLY_COMPATIBLE:
        kind = "ext4"
    else:
        kind = "ext3" if compatible & _JOURNAL else "ext2"
    version = "%d.%d" % (_little(block[76:80]), _little(block[62:64]))
    return Content(kind, version, _uuid(block[104:120]), _text(block[120:136]))


def _iso(read: Read, size: int) -> Optional[Content]:
    block = read(32768, 2048)
    if block[1:6] != b"CD001":
        return None
    label, joliet = _text(block[40:72]), ""
    for number in range(1, 4):
        more = read(32768 + number * 2048, 128)
        if more[:6] == b"\2CD001" and more[88:91] in (b"%/@", b"%/C", b"%/E"):
            joliet = more[40:72].decode("utf-16-be", "replace").strip(" \0")
            break
        if more[:1] == b"\xff" or more[1:6] != b"CD001":
            break
    dates = (block[at : at + 16].decode("ascii", "replace") for at in (830, 813))
    date = next((date for date in dates if date.strip("0\0 ") and date.isdigit()), "")
    parts = (date[:4],) + tuple(date[at : at + 2] for at in range(4, 16, 2))
    is_same = joliet and label.upper().startswith(joliet.upper())  # the shorter one, in capitals and lower-case
    shown = joliet if joliet and (len(joliet) >= len(label) or is_same) else label
    return Content("iso9660", "Joliet Extension" if joliet else "", "-".join(parts) if date else "", shown)


def _squashfs(read: Read, size: int) -> Optional[Content]:
    block = read(0, 32)
    version = "%d.%d" % (_little(block[28:30]), _little(block[30:32]))
    return Content("squashfs", version) if block[:4] == b"hsqs" else None


def _btrfs(read: Read, size: int) -> Optional[Content]:
    block = read(65536, 1024)
    if block[64:72] != b"_BHRfS_M":
        return None
    return Content("btrfs", "", _uuid(block[32:48]), _text(block[299:555]), _uuid(block[267:283]))


_PROBES = (_md, _lvm, _luks, _fat, _swap, _xfs, _ext, _iso, _squashfs, _btrfs, _exfat)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _power(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "backslashreplace").strip()


def _uuid(data: bytes) -> str:
    return dashed(data.hex()) if len(data) == 16 and data.strip(b"\0") else ""


def _serial(data: bytes) -> str:
    """Return a volume's serial number as FAT shows it."""
    digits = data[::-1].hex().upper()
    return "%s-%s" % (digits[:4], digits[4:]) if data.strip(b"\0") else ""
