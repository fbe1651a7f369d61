"""The partition table of a disk: GPT or MBR, its UUID, and those of the partitions.

Pure, as superblocks.py is.  Source of the formats: UEFI specification 2.10, chapter 5; for the MBR, libblkid's
partitions/dos.c of util-linux: the disk's identifier stands for a UUID, and with the number of a partition for its.
"""

from typing import Dict, NamedTuple, Optional, Sequence

from .device_mapper import dashed
from .superblocks import Read

SECTORS = (512, 4096)  # bytes, as disks have them
ENTRIES = 128  # of a GPT; nobody writes more
ENTRY = 4096  # bytes of one, at most
MBR_PARTITIONS = 64


class Partition(NamedTuple):
    """What the table says of one partition."""

    uuid: str
    type: str


class Table(NamedTuple):
    """A partition table; `partitions` goes by their number."""

    kind: str
    uuid: str
    partitions: Dict[int, Partition]


def identify(read: Read, size: int) -> Optional[Table]:
    """Return the partition table of a disk of so many bytes, or None where it has none that holds."""
    boot = read(0, 512)
    if boot[510:512] != b"\x55\xaa":
        return None
    slots = [boot[at : at + 16] for at in range(446, 510, 16)]
    if any(slot[4] == 0xEE for slot in slots):  # it only keeps old programs off a GPT
        return _gpt(read, size)
    return _mbr(boot, slots) if all(slot[0] & 0x7F == 0 for slot in slots) else None


def _gpt(read: Read, size: int) -> Optional[Table]:
    for sector in SECTORS:
        for offset in (sector, max(size - sector, 0)):  # the second one is the copy for when the first is damaged
            header = read(offset, 512)
            if _holds(header):
                return Table("gpt", _guid(header[56:72]), _gpt_partitions(read, header, sector))
    return None


def _holds(header: bytes) -> bool:
    length = _little(header[12:16])
    if header[:8] != b"EFI PART" or not 92 <= length <= len(header):
        return False
    from binascii import crc32

    return crc32(header[:16] + bytes(4) + header[20:length]) & 0xFFFFFFFF == _little(header[16:20])


def _gpt_partitions(read: Read, header: bytes, sector: int) -> Dict[int, Partition]:
    start, count, length = _little(header[72:80]), _little(header[80:84]), _little(header[84:88])
    if not 128 <= length <= ENTRY or start >= 1 << 52:
        return {}
    entries = read(start * sector, min(min(count, ENTRIES) * length, ENTRIES * 128))
    slots = [entries[at : at + 32] for at in range(0, len(entries) - 31, length)]
    return {
        number: Partition(_guid(slot[16:]), _guid(slot[:16]))
        for number, slot in enumerate(slots, 1)
        if slot[:16].strip(b"\0")
    }


def _mbr(boot: bytes, slots: Sequence[bytes]) -> Table:
    identifier = "%08x" % _little(boot[440:444])
    types = {number: "0x%x" % slot[4] for number, slot in enumerate(slots, 1) if slot[4]}
    numbers = [number for number in range(1, MBR_PARTITIONS) if number in types or number > 4]
    # Partitions from 5 on stand in a chain of tables of their own, one behind the other: their types stay unread.
    named = {number: Partition("%s-%02x" % (identifier, number), types.get(number, "")) for number in numbers}
    return Table("dos", identifier, named)


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _guid(data: bytes) -> str:
    """Return a GUID as it is written: its first three parts are numbers, little end first."""
    return dashed((data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:16]).hex())
