"""Builds SMBIOS tables byte by byte, for tests of whoever reads them.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, sections 5.2 and 7.
"""

import struct
import uuid

NOT_GIVEN = "Not Specified"


class Table:
    """Collects structures, numbers them, and ends the table."""

    def __init__(self) -> None:
        self._bytes = b""
        self.structures = 0

    def add(self, kind: int, body: bytes, *strings: str) -> int:
        """Append a structure with its strings, which the body refers to by position from 1, and return its handle."""
        handle = 0x1000 + self.structures
        text = b"".join(string.encode() + b"\0" for string in strings) or b"\0"
        self._bytes += struct.pack("<BBH", kind, len(body) + 4, handle) + body + text + b"\0"
        self.structures += 1
        return handle

    def end(self) -> bytes:
        """Return the table's bytes, closed by an end-of-table structure."""
        self.add(127, b"")
        return self._bytes


def entry_point_3(length: int, major: int = 3, minor: int = 3) -> bytes:
    """Return a 64-bit entry point; the table's address is where `dmidecode --from-dump` looks for it."""
    return _summed(bytearray(struct.pack("<5sBBBBBBBIQ", b"_SM3_", 0, 24, major, minor, 0, 1, 0, length, 0x20)), 5, 24)


def entry_point_2(length: int, structures: int, major: int = 2, minor: int = 8) -> bytes:
    """Return a 32-bit entry point."""
    data = bytearray(struct.pack("<4sBBBBHB5s", b"_SM_", 0, 31, major, minor, 0xFFFF, 0, b""))
    data += struct.pack("<5sBHIHB", b"_DMI_", 0, length, 0x20, structures, major << 4 | minor)
    data[21] = -sum(data[16:31]) & 0xFF
    return _summed(data, 4, 31)


def entry_point_legacy(length: int, structures: int) -> bytes:
    """Return the entry point of a machine from before SMBIOS 2.1."""
    return _summed(bytearray(struct.pack("<5sBHIHB", b"_DMI_", 0, length, 0x20, structures, 0x20)), 5, 15)


def _summed(data: bytearray, at: int, length: int) -> bytes:
    data[at] = -sum(data[:length]) & 0xFF
    return bytes(data)


def dump(entry_point: bytes, table: bytes) -> bytes:
    """Return the file that `dmidecode --from-dump` reads."""
    return entry_point.ljust(0x20, b"\0") + table


def server() -> tuple[bytes, bytes]:
    """Return entry point and table of a rack server: two sockets, 16 memory slots (half of them full), two supplies."""
    table = Table()
    bios(table, "American Megatrends International, LLC.", "3.7", "11/28/2025")
    identity = uuid.UUID("7b6f1d02-4a1c-4f0e-9c55-3cecefa10b42")
    system(table, ("Example Computers", "RS-2000", "0123456789", "S412345X1802001", "RS-2000-8X", "Servers"), identity)
    baseboard(table, ("Example Computers", "X12-DUAL", "1.02", "OM21AS012345", NOT_GIVEN, "Main board"), kind=0x0A)
    baseboard(table, ("Example Computers", "RISER-2U", "1.00", "OM21AS067890", NOT_GIVEN, "Riser 1"), kind=0x09)
    chassis(table, ("Example Computers", "2.0", "C8250LK12345", "ASSET-0042", "CH-RS-2000"), kind=23, height=2)
    for number in (1, 2):
        caches = (
            cache(table, "CPU Internal L1", 1, 256),
            cache(table, "CPU Internal L2", 2, 4096),
            cache(table, "CPU Internal L3", 3, 16896),
        )
        processor(table, f"CPU{number}", "Intel(R) Xeon(R) Gold 5222 CPU @ 3.80GHz", 4, caches)
    for number, bus in enumerate((0x3B, 0x5E, 0xAF), 1):
        slot(table, f"CPU1 SLOT{number} PCI-E 3.0 X16", in_use=number < 3, bus=bus)
    oem_strings(table, "Example Computers", "io.systemd.credential:mysecret=correct horse")
    array = memory_array(table, 2 << 40, 16)
    for number in range(16):
        locator = f"P{number // 8 + 1}-DIMM{'ABCDEFGH'[number % 8]}1"
        size = 49152 if number % 2 == 0 else 0
        memory(table, array, locator, f"P{number // 8}_Node{number // 8}_Channel{number % 8}_Dimm0", size, number)
    for number in (1, 2):
        power_supply(table, f"PSU{number}", f"P2K22CN35MT{number:04}")
    data = table.end()
    return entry_point_3(len(data)), data


def bios(table: Table, vendor: str, version: str, date: str) -> int:
    """Add type 0."""
    body = struct.pack("<BBHBBQBBBBBBH", 1, 2, 0xF000, 3, 0xFF, 0x0B90, 3, 0x0D, 5, 14, 1, 74, 32)
    return table.add(0, body, vendor, version, date)


def system(table: Table, texts: tuple[str, str, str, str, str, str], identity: uuid.UUID) -> int:
    """Add type 1: maker, product, version, serial number, order number, family."""
    return table.add(1, struct.pack("<BBBB16sBBB", 1, 2, 3, 4, identity.bytes_le, 6, 5, 6), *texts)


def baseboard(table: Table, texts: tuple[str, str, str, str, str, str], kind: int) -> int:
    """Add type 2: maker, product, version, serial number, asset tag, location; and what kind of board it is."""
    return table.add(2, struct.pack("<BBBBBBBHBB", 1, 2, 3, 4, 5, 9, 6, 0x1004, kind, 0), *texts)


def chassis(table: Table, texts: tuple[str, str, str, str, str], kind: int, height: int) -> int:
    """Add type 3, with one contained element: maker, version, serial number, asset tag, order number."""
    head = struct.pack("<BBBBBBBBBI", 1, kind, 2, 3, 4, 3, 3, 3, 3, 0)
    return table.add(3, head + struct.pack("<BBBB3sB", height, 2, 1, 3, b"\x0a\x01\x01", 5), *texts)


def processor(
    table: Table, socket: str, model: str, cores: int, caches: tuple[int, int, int] = (0xFFFF, 0xFFFF, 0xFFFF)
) -> int:
    """Add type 4, with the handles of its caches; an empty socket has no cores."""
    populated = 0x41 if cores else 0
    head = struct.pack("<BBBBQBBHHHBB", 1, 3, 0xB3, 2, 0xBFEBFBFF00050657, 3, 0x92, 100, 4000, 3800, populated, 0x36)
    short = min(cores, 0xFF)
    threads = min(2 * cores, 0xFF)
    tail = struct.pack("<HHHBBBBBBHHHHH", *caches, 4, 5, 6, short, short, threads, 0xFC, 0xB3, cores, cores, 2 * cores)
    return table.add(4, head + tail, socket, "Intel(R) Corporation", model, f"{socket}-SERIAL", "UNKNOWN", "UNKNOWN")


def cache(table: Table, name: str, level: int, kilobytes: int) -> int:
    """Add type 7, of the form that 3.1 gave it: switched on, unified, 8-way, with ECC."""
    word = kilobytes if kilobytes < 0x8000 else 0x8000 | kilobytes // 64 if kilobytes < 0x7FFF * 64 else 0xFFFF
    double = 0x80000000 | kilobytes // 64 if word & 0x8000 else kilobytes
    body = struct.pack("<BHHHHHBBBBII", 1, 0x0180 | level - 1, word, word, 0x20, 0x20, 0, 5, 5, 7, double, double)
    return table.add(7, body, name)


def oem_strings(table: Table, *texts: str) -> int:
    """Add type 11."""
    return table.add(11, bytes([len(texts)]), *texts)


def slot(table: Table, name: str, in_use: bool, bus: int) -> int:
    """Add type 9, a PCI Express x16 slot."""
    return table.add(9, struct.pack("<BBBBBHBBHBB", 1, 0xB6, 0x0D, 4 if in_use else 3, 4, 1, 0x0C, 1, 0, bus, 0), name)


def memory_array(table: Table, capacity: int, slots: int) -> int:
    """Add type 16, of so many bytes at most."""
    return table.add(16, struct.pack("<BBBIHHQ", 3, 3, 6, 0x80000000, 0xFFFE, slots, capacity))


def memory(table: Table, array: int, locator: str, bank: str, megabytes: int, number: int = 0) -> int:
    """Add type 17, of the form that 3.3 gave it; an empty slot has no megabytes."""
    there = megabytes > 0
    size = struct.pack("<H", megabytes if megabytes < 0x7FFF else 0x7FFF)
    speed = 2933 if there else 0
    body = struct.pack("<HHHH", array, 0xFFFE, 72 if there else 0, 64 if there else 0) + size
    body += struct.pack("<BBBBBHH", 9, 0, 1, 2, 0x1A if there else 2, 0x2080 if there else 4, speed)
    body += struct.pack("<BBBBBIH", 3, 4, 5, 6, 2 if there else 0, megabytes if megabytes >= 0x7FFF else 0, speed)
    body += struct.pack("<HHHBHBHHHHQQQQII", 1200, 1200, 1200, 3, 8, 7, 0xCE00, 0, 0, 0, 0, megabytes << 20, 0, 0, 0, 0)
    texts = (
        ("Samsung", f"H0KE{number:08X}", f"{locator}_AssetTag", "M393A6K40DB3-CWE", "0x1A")
        if there
        else ("NO DIMM",) * 5
    )
    return table.add(17, body, locator, bank, *texts)


def power_supply(table: Table, location: str, serial: str) -> int:
    """Add type 39."""
    body = struct.pack("<BBBBBBBBHHHHH", 1, 1, 2, 3, 4, 5, 6, 7, 1200, 0x11A3, 0xFFFF, 0xFFFF, 0xFFFF)
    return table.add(39, body, location, "PWS-1K22A-1R", "Example Power", serial, NOT_GIVEN, "PWS-1K22A-1R", "1.1")
