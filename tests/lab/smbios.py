"""SMBIOS tables as a machine's firmware would leave them, for dmidecode and for /sys/class/dmi/id.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.2, sections 5.2.2 and 7.
"""

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILLED = 0x09  # memory device form factor DIMM
DDR5 = 0x22
SPEED = 4800


@dataclass(frozen=True)
class Dimm:
    """A memory module in a slot."""

    megabytes: int
    serial: str
    locator: str = ""


@dataclass(frozen=True)
class Board:
    """What the firmware of a machine says about it."""

    serial: str
    identity: uuid.UUID
    dimms: Sequence[Dimm] = ()
    vendor: str = "Lab Systems"
    product: str = "LabServer 100"
    bios: str = "1.2.3"
    cpu: str = "LabChip 9000"
    sockets: int = 1
    cores: int = 8
    slots: int = 4


class _Table:
    """Collects structures and numbers them."""

    def __init__(self) -> None:
        self.bytes = b""
        self._handle = 0x100

    def add(self, kind: int, body: bytes, *strings: str) -> int:
        handle, self._handle = self._handle, self._handle + 1
        text = b"".join(s.encode() + b"\0" for s in strings) or b"\0"
        self.bytes += struct.pack("<BBH", kind, len(body) + 4, handle) + body + text + b"\0"
        return handle


def write(board: Board, sys: Path) -> None:
    """Write the tables and the id files where a kernel shows them below /sys."""
    table = _tables(board)
    firmware = sys / "firmware/dmi/tables"
    firmware.mkdir(parents=True, exist_ok=True)
    (firmware / "DMI").write_bytes(table)
    (firmware / "smbios_entry_point").write_bytes(_entry_point(len(table)))
    ids = sys / "devices/virtual/dmi/id"
    ids.mkdir(parents=True, exist_ok=True)
    for name, value in _id_files(board).items():
        (ids / name).write_text(f"{value}\n")
        if name.endswith(("_serial", "_uuid")):
            (ids / name).chmod(0o400)  # as the kernel does: not for everybody's eyes
    (sys / "class/dmi").mkdir(parents=True, exist_ok=True)
    link = sys / "class/dmi/id"
    if not link.is_symlink():
        link.symlink_to("../../devices/virtual/dmi/id")


def _tables(board: Board) -> bytes:
    table = _Table()
    _add_machine(table, board)
    for number in range(board.sockets):
        _add_processor(table, board, number)
    _add_memory(table, board)
    table.add(127, b"")
    return table.bytes


def _add_machine(table: _Table, board: Board) -> None:
    bios = struct.pack("<BBHBBQBBBBBB", 1, 2, 0xE800, 3, 0xFF, 0x08, 3, 0x0D, 1, 2, 0xFF, 0xFF)
    table.add(0, bios, board.vendor, board.bios, "01/15/2026")
    system = struct.pack("<BBBB16sBBB", 1, 2, 3, 4, board.identity.bytes_le, 6, 5, 6)
    sku = "SKU-" + board.product.replace(" ", "")
    table.add(1, system, board.vendor, board.product, "A1", board.serial, sku, "Lab")
    base = struct.pack("<BBBBBBBHBB", 1, 2, 3, 4, 5, 1, 6, 0x300, 10, 0)
    table.add(2, base, board.vendor, "LabBoard", "R1", f"MB-{board.serial}", f"A-{board.serial}", "Slot0")
    chassis = struct.pack("<BBBBBBBBBIBBBB", 1, 23, 2, 3, 4, 3, 3, 3, 3, 0, 1, 1, 0, 0)
    table.add(3, chassis, board.vendor, "R1", f"CH-{board.serial}", f"A-{board.serial}")


def _add_processor(table: _Table, board: Board, number: int) -> None:
    cores, threads = board.cores, 2 * board.cores
    head = struct.pack("<BBBBQBBHHHBB", 1, 3, 0xB3, 2, 0x178BFBFF000A0F11, 3, 0x8B, 100, 3500, 2600, 0x41, 0x2F)
    caches = struct.pack("<HHH", 0xFFFF, 0xFFFF, 0xFFFF)
    tail = struct.pack("<BBBBBBHHHHH", 4, 5, 6, cores, cores, threads, 4, 0xB3, cores, cores, threads)
    words = (f"CPU{number}", "LabChip", board.cpu, f"CS{number}-{board.serial}", "none", "LC9000")
    table.add(4, head + caches + tail, *words)


def _add_memory(table: _Table, board: Board) -> None:
    slots = max(board.slots, len(board.dimms))
    array = table.add(16, struct.pack("<BBBIHHQ", 3, 3, 6, 0x80000000, 0xFFFE, slots, slots << 36))
    for number in range(slots):
        dimm = board.dimms[number] if number < len(board.dimms) else Dimm(0, "")
        _add_dimm(table, array, dimm, dimm.locator or f"DIMM_{number}")


def _add_dimm(table: _Table, array: int, dimm: Dimm, locator: str) -> None:
    size, there = dimm.megabytes, dimm.megabytes > 0
    body = struct.pack(
        "<HHHHHBBBBBHHBBBBBIHHHH",
        array,
        0xFFFE,
        72 if there else 0,
        64 if there else 0,
        min(size, 0x7FFF),  # sizes of 32 GB and more stand in the extended field
        FILLED,
        *(0, 1, 2),
        DDR5 if there else 2,
        0x80,
        SPEED if there else 0,
        *(3, 4, 5, 6),
        2 if there else 0,
        size if size >= 0x7FFF else 0,
        SPEED if there else 0,
        *(1100, 1100, 1100),
    )
    about = ("LabMem", dimm.serial, f"A-{dimm.serial}", f"LM-{size}") if there else ("NO DIMM",) * 4
    table.add(17, body, locator, "BANK 0", *about)


def _entry_point(length: int) -> bytes:
    entry = bytearray(struct.pack("<5sBBBBBBBIQ", b"_SM3_", 0, 24, 3, 2, 0, 1, 0, length, 0x20))
    entry[5] = -sum(entry) & 0xFF
    return bytes(entry)


def _id_files(board: Board) -> dict[str, object]:
    return {
        "sys_vendor": board.vendor,
        "product_name": board.product,
        "product_version": "A1",
        "product_serial": board.serial,
        "product_uuid": board.identity,
        "board_vendor": board.vendor,
        "board_name": "LabBoard",
        "board_version": "R1",
        "board_serial": f"MB-{board.serial}",
        "board_asset_tag": f"A-{board.serial}",
        "chassis_vendor": board.vendor,
        "chassis_type": 23,
        "chassis_version": "R1",
        "chassis_serial": f"CH-{board.serial}",
        "chassis_asset_tag": f"A-{board.serial}",
        "bios_vendor": board.vendor,
        "bios_version": board.bios,
        "bios_date": "01/15/2026",
    }
