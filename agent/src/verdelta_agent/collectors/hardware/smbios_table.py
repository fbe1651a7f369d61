"""The structures of an SMBIOS table, whatever bytes a firmware has left there.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, sections 5.2 (entry points) and 6.1
(structures).
"""

from typing import List, NamedTuple, Optional, Tuple

LIMIT = 1 << 20  # bytes of a table; large servers have 64 KiB
HEADER = 4  # type, length, handle
HANDLES = 1 << 16  # so many structures can be told apart at most
END_OF_TABLE = 127
_WRITTEN_WRONG = {0x021F: 0x0203, 0x0221: 0x0203, 0x0233: 0x0206}  # versions that firmware is known to misspell


class EntryPoint(NamedTuple):
    """Which version of the standard a table follows, and how many structures it has (0: as many as come)."""

    version: int  # 0x0302 is 3.2
    structures: int


class Structure(NamedTuple):
    """One structure: numbers at fixed offsets, and strings that these refer to by position.

    A field beyond the end of the structure (the standard made them longer and longer) is None.
    """

    kind: int
    data: bytes
    strings: List[bytes]

    def number(self, offset: int, size: int) -> Optional[int]:
        """Return the little-endian number of `size` bytes at an offset from the structure's start."""
        field = self.data[offset : offset + size]
        return int.from_bytes(field, "little") if len(field) == size else None

    def text(self, offset: int) -> Optional[str]:
        """Return the string that the byte at `offset` refers to, or None where there is none or only white space."""
        position = self.number(offset, 1)
        if not position or position > len(self.strings):
            return None
        return string(self.strings[position - 1]) or None


def string(raw: bytes) -> str:
    """Return one of a structure's strings as text, without white space around it."""
    return raw.decode("utf-8", "backslashreplace").strip()


def parse_entry_point(data: bytes) -> EntryPoint:
    """Return what a table's entry point says of it.  Raises ValueError when it is none, or its checksum is wrong."""
    if data.startswith(b"_SM3_") and len(data) >= 24:
        _check(data, data[6], 24)
        return EntryPoint(_version(data[7], data[8]), 0)
    if data.startswith(b"_SM_") and len(data) >= 31 and data[16:21] == b"_DMI_":
        _check(data, max(data[5], 31), 31)  # some say 30, which is a mistake in version 2.1 of the standard
        return EntryPoint(_version(data[6], data[7]), int.from_bytes(data[28:30], "little"))
    if data.startswith(b"_DMI_") and len(data) >= 15:
        _check(data, 15, 15)
        return EntryPoint(_version(data[14] >> 4, data[14] & 15), int.from_bytes(data[12:14], "little"))
    raise ValueError("not an SMBIOS entry point")


def _check(data: bytes, length: int, least: int) -> None:
    if not least <= length <= len(data):
        raise ValueError("the SMBIOS entry point says that it is %d bytes long" % length)
    if sum(data[:length]) & 0xFF:
        raise ValueError("the SMBIOS entry point has a wrong checksum")


def _version(major: int, minor: int) -> int:
    version = major << 8 | minor
    return _WRITTEN_WRONG.get(version, version)


def parse_table(entry: EntryPoint, table: bytes) -> Tuple[List[Structure], Optional[str]]:
    """Return the structures up to the end-of-table one, and the reason why the rest is missing, if it is.

    A table that is broken behind its first structures is what some machines will always have: what can be read of it
    is as good as ever.  Raises ValueError when nothing can be read, or the table is larger than any real one.
    """
    if len(table) > LIMIT:
        raise ValueError("the SMBIOS table is larger than %d bytes" % LIMIT)
    structures: List[Structure] = []
    offset = 0
    while offset + HEADER <= len(table) and (not entry.structures or len(structures) < entry.structures):
        kind, length = table[offset], table[offset + 1]
        end = table.find(b"\0\0", offset + length)
        if length < HEADER or end < 0:
            if not structures:
                raise ValueError("the SMBIOS table is broken at its start")
            return structures, "the table is broken at byte %d of %d" % (offset, len(table))
        if kind == END_OF_TABLE:
            break
        if len(structures) == HANDLES:
            raise ValueError("the SMBIOS table has more than %d structures" % HANDLES)
        structures.append(Structure(kind, table[offset : offset + length], table[offset + length : end].split(b"\0")))
        offset = end + 2
    if not structures:
        raise ValueError("the SMBIOS table is empty")
    return structures, None
