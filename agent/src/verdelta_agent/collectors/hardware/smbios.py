"""What the firmware says of the machine: maker, serial numbers, processor sockets, memory slots, power supplies.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, section 7, a type a function; the files below
/sys/class/dmi/id, which carry less, are Documentation/ABI/testing/sysfs-class-dmi of the Linux kernel.  The table is
made at the machine's start and stays as it is until the next one.
"""

from collections import Counter
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .smbios_names import (
    ARRAY_USE,
    CHASSIS,
    ERROR_CORRECTION,
    FORM_FACTOR,
    MEMORY_TYPE,
    PROCESSOR_STATUS,
    SLOT_USAGE,
    named,
)
from .smbios_table import LIMIT, Structure, parse_entry_point, parse_table

TABLES = "/sys/firmware/dmi/tables"
IDENTITY = "/sys/class/dmi/id"

# row -> field -> file below /sys/class/dmi/id
_FILES: Dict[str, Dict[str, str]] = {
    "bios": {"vendor": "bios_vendor", "version": "bios_version", "release_date": "bios_date"},
    "system": {
        "manufacturer": "sys_vendor",
        "product": "product_name",
        "version": "product_version",
        "serial": "product_serial",
        "uuid": "product_uuid",
        "sku": "product_sku",
        "family": "product_family",
    },
    "baseboard": {
        "manufacturer": "board_vendor",
        "product": "board_name",
        "version": "board_version",
        "serial": "board_serial",
        "asset_tag": "board_asset_tag",
    },
    "chassis": {
        "manufacturer": "chassis_vendor",
        "type": "chassis_type",
        "version": "chassis_version",
        "serial": "chassis_serial",
        "asset_tag": "chassis_asset_tag",
    },
}


class Entry(NamedTuple):
    """A row, the key that it should have, and what tells it from others that should have the same."""

    key: str
    detail: Optional[str]
    row: Row


def collect(host: Host) -> Section:
    """Absent where the machine has no SMBIOS.  The serial numbers are root's: without them the section has failed."""
    if host.exists(TABLES + "/DMI"):
        entry_point = host.read_bytes(TABLES + "/smbios_entry_point", 4096)
        rows, broken = parse(entry_point, host.read_bytes(TABLES + "/DMI", LIMIT))
        return Section(OK, rows, {}, broken)
    if not host.exists(IDENTITY):
        return absent()
    present = set(host.listdir(IDENTITY))
    wanted = (name for fields in _FILES.values() for name in fields.values() if name in present)
    return Section(OK, parse_files({name: host.read(IDENTITY + "/" + name, 4096).strip() for name in wanted}), {})


def parse_files(files: Dict[str, str]) -> Rows:
    """Return the rows that the files below /sys/class/dmi/id make up, as `parse` would."""
    rows: Rows = {}
    for key, fields in _FILES.items():
        row: Row = {field: files[name] for field, name in fields.items() if files.get(name)}
        if "type" in row:
            row["type"] = named(CHASSIS, int(row["type"]))
        if row:
            rows[key] = row
    return rows


def parse(entry_point: bytes, table: bytes) -> Tuple[Rows, Optional[str]]:
    """Return bios, system, baseboard, chassis, processors, slots, memory, power supplies; and what of it is missing.

    Any bytes give rows or a ValueError.
    """
    entry = parse_entry_point(entry_point)
    structures, broken = parse_table(entry, table)
    entries = [_DECODERS[s.kind](s) for s in structures if s.kind in _DECODERS]
    entries += [_system(s, entry.version) for s in structures if s.kind == 1]
    return _keyed(entries), broken


def _keyed(entries: Sequence[Entry]) -> Rows:
    """Return the rows by key.  Where several want one key, their details tell them apart, then their order."""
    wanted = Counter(entry.key for entry in entries)
    given: Dict[str, int] = Counter()
    rows: Rows = {}
    for entry in entries:
        key = "%s (%s)" % (entry.key, entry.detail) if entry.detail and wanted[entry.key] > 1 else entry.key
        given[key] += 1
        rows[key if given[key] == 1 else "%s #%d" % (key, given[key])] = entry.row
    return rows


def _known(**fields: object) -> Row:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _bios(s: Structure) -> Entry:
    return Entry(
        "bios",
        None,
        _known(
            vendor=s.text(0x04),
            version=s.text(0x05),
            release_date=s.text(0x08),
            revision=_pair(s, 0x14),
            controller_revision=_pair(s, 0x16),
        ),
    )


def _pair(s: Structure, offset: int) -> Optional[str]:
    """Return major.minor of a revision; 255 in either stands for: has none."""
    major, minor = s.number(offset, 1), s.number(offset + 1, 1)
    return None if major is None or minor is None or 255 in (major, minor) else "%d.%d" % (major, minor)


def _system(s: Structure, version: int) -> Entry:
    return Entry(
        "system",
        None,
        _known(
            manufacturer=s.text(0x04),
            product=s.text(0x05),
            version=s.text(0x06),
            serial=s.text(0x07),
            uuid=uuid(s.data[0x08:0x18], version),
            sku=s.text(0x19),
            family=s.text(0x1A),
        ),
    )


def uuid(data: bytes, version: int) -> Optional[str]:
    """Return a UUID as text; the first three fields are little-endian since 2.6.  None where it was never set."""
    if len(data) != 16 or data in (b"\0" * 16, b"\xff" * 16):
        return None
    if version >= 0x0206:
        data = data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:]
    digits = data.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _baseboard(s: Structure) -> Entry:
    return Entry(
        "baseboard",
        None,
        _known(
            manufacturer=s.text(0x04),
            product=s.text(0x05),
            version=s.text(0x06),
            serial=s.text(0x07),
            asset_tag=s.text(0x08),
            location=s.text(0x0A),
        ),
    )


def _chassis(s: Structure) -> Entry:
    elements, size = s.number(0x13, 1) or 0, s.number(0x14, 1) or 0
    return Entry(
        "chassis",
        None,
        _known(
            manufacturer=s.text(0x04),
            type=named(CHASSIS, (s.number(0x05, 1) or 0) & 0x7F),
            version=s.text(0x06),
            serial=s.text(0x07),
            asset_tag=s.text(0x08),
            height=s.number(0x11, 1) or None,
            sku=s.text(0x15 + elements * size),
        ),
    )


def _processor(s: Structure) -> Entry:
    status = s.number(0x18, 1) or 0
    socket = s.text(0x04) or "?"
    row = _known(populated=bool(status & 0x40), status=PROCESSOR_STATUS[status & 7])
    if row["populated"]:
        identity = s.number(0x08, 8)
        row.update(
            _known(
                manufacturer=s.text(0x07),
                version=s.text(0x10),
                identity=None if identity is None else "%016x" % identity,
                serial=s.text(0x20),
                asset_tag=s.text(0x21),
                part_number=s.text(0x22),
                max_speed=s.number(0x14, 2) or None,
                cores=_count(s, 0x23, 0x2A),
                cores_enabled=_count(s, 0x24, 0x2C),
                threads=_count(s, 0x25, 0x2E),
            )
        )
    return Entry("processor " + socket, None, row)


def _count(s: Structure, short: int, long: int) -> Optional[int]:
    """Return a count that outgrew its byte: 255 there refers to a word further on; 0 is: not known."""
    count = s.number(short, 1)
    return (s.number(long, 2) if count == 0xFF else count) or None


def _slot(s: Structure) -> Entry:
    segment, bus, device = s.number(0x0D, 2), s.number(0x0F, 1), s.number(0x10, 1)
    address = None
    if segment is not None and bus is not None and device is not None and (segment, bus, device) != (0xFFFF, 255, 255):
        address = "%04x:%02x:%02x.%d" % (segment, bus, device >> 3, device & 7)
    row = _known(usage=named(SLOT_USAGE, s.number(0x07, 1)), address=address)
    return Entry("slot " + (s.text(0x04) or "?"), address, row)


def _memory_array(s: Structure) -> Entry:
    kilobytes = s.number(0x07, 4)
    capacity = s.number(0x0F, 8) if kilobytes == 0x80000000 else None if kilobytes is None else kilobytes * 1024
    row = _known(
        use=named(ARRAY_USE, s.number(0x05, 1)),
        error_correction=named(ERROR_CORRECTION, s.number(0x06, 1)),
        capacity=capacity,
        slots=s.number(0x0D, 2),
    )
    return Entry("memory array", None, row)


def _memory(s: Structure) -> Entry:
    bank = s.text(0x11)
    size = _memory_size(s)
    row = _known(bank=bank, form_factor=named(FORM_FACTOR, s.number(0x0E, 1)))
    row["size"] = size
    if size != 0:
        row.update(
            _known(
                type=named(MEMORY_TYPE, s.number(0x12, 1)),
                manufacturer=s.text(0x17),
                serial=s.text(0x18),
                asset_tag=s.text(0x19),
                part_number=s.text(0x1A),
                ranks=(s.number(0x1B, 1) or 0) & 0x0F or None,
                total_width=_width(s.number(0x08, 2)),
                data_width=_width(s.number(0x0A, 2)),
                speed=_speed(s, 0x15, 0x54),
                configured_speed=_speed(s, 0x20, 0x58),
                firmware=s.text(0x2B),
            )
        )
    return Entry("dimm " + (s.text(0x10) or "?"), bank, row)


def _memory_size(s: Structure) -> Optional[int]:
    """Return bytes, 0 of an empty slot, None where the firmware does not know."""
    size = s.number(0x0C, 2)
    if size is None or size == 0xFFFF:
        return None
    if size == 0x7FFF:
        megabytes = s.number(0x1C, 4)
        return None if megabytes is None else (megabytes & 0x7FFFFFFF) << 20
    return (size & 0x7FFF) << (10 if size & 0x8000 else 20)


def _width(bits: Optional[int]) -> Optional[int]:
    return None if bits in (None, 0, 0xFFFF) else bits


def _speed(s: Structure, short: int, long: int) -> Optional[int]:
    speed = s.number(short, 2)
    return (s.number(long, 4) if speed == 0xFFFF else speed) or None


def _power_supply(s: Structure) -> Entry:
    power, state = s.number(0x0C, 2), s.number(0x0E, 2) or 0
    row = _known(
        name=s.text(0x06),
        manufacturer=s.text(0x07),
        serial=s.text(0x08),
        asset_tag=s.text(0x09),
        part_number=s.text(0x0A),
        revision=s.text(0x0B),
        max_power=None if power in (None, 0x8000) else power,
        populated=bool(state & 2),
    )
    return Entry("power supply " + (s.text(0x05) or "?"), None, row)


_DECODERS: Dict[int, Callable[[Structure], Entry]] = {
    0: _bios,
    2: _baseboard,
    3: _chassis,
    4: _processor,
    9: _slot,
    16: _memory_array,
    17: _memory,
    39: _power_supply,
}

COLLECTOR = Collector(
    "hardware.smbios",
    key="bios, system, baseboard, chassis, memory array, or processor, dimm, slot, power supply and where it sits",
    collect=collect,
    deadline=5,
    fields={
        "vendor": "maker of the firmware",
        "manufacturer": "maker",
        "product": "model",
        "name": "model of a power supply",
        "version": "version; of a processor, its model name",
        "release_date": "of the firmware, as it writes dates",
        "revision": "major.minor of the firmware; revision of a power supply",
        "controller_revision": "major.minor of the embedded controller's firmware",
        "serial": "serial number",
        "uuid": "of the machine",
        "sku": "order number",
        "family": "product family",
        "asset_tag": "inventory number that somebody has set",
        "part_number": "part number",
        "location": "of a baseboard in the chassis",
        "type": "kind of chassis, or of memory",
        "height": "of the chassis, in rack units",
        "populated": "whether there is something in the socket, or the bay",
        "status": "of a processor: Enabled, Disabled By BIOS …",
        "identity": "signature and features of a processor, as CPUID has them",
        "max_speed": "of a processor, in MHz",
        "cores": "of a processor",
        "cores_enabled": "cores that the firmware has switched on",
        "threads": "of a processor",
        "usage": "whether a slot is In Use or Available",
        "address": "PCI address of a slot",
        "use": "what a memory array is for",
        "error_correction": "of a memory array",
        "capacity": "most bytes that a memory array takes",
        "slots": "of a memory array",
        "size": "bytes of a memory module; 0 of an empty slot, null where the firmware does not know",
        "bank": "bank locator of a memory slot",
        "form_factor": "of a memory module: DIMM, SODIMM …",
        "ranks": "of a memory module",
        "total_width": "bits, error correction included",
        "data_width": "bits",
        "speed": "of a memory module, in MT/s",
        "configured_speed": "that the firmware runs it at, in MT/s",
        "firmware": "firmware version of a memory module",
        "max_power": "watts of a power supply",
    },
)
