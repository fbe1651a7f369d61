"""The structures of an SMBIOS table as rows, a type a function.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, section 7.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from ...model import Row
from .smbios_names import (
    ARRAY_USE,
    ASSOCIATIVITY,
    CACHE_ERROR_CORRECTION,
    CACHE_TYPE,
    CHASSIS,
    ERROR_CORRECTION,
    FORM_FACTOR,
    MEMORY_TYPE,
    PROCESSOR_STATUS,
    SLOT_USAGE,
    named,
)
from .smbios_table import Structure, string


class Entry(NamedTuple):
    """A row, the key that it should have, and what tells it from others that should have the same."""

    key: str
    detail: Optional[str]
    row: Row


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


def system(s: Structure, version: int) -> Entry:
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


def caches(structures: Sequence[Structure]) -> List[Entry]:
    """Return the caches; the sockets of the processors that have them tell one from another."""
    owners: Dict[Optional[int], str] = {}
    for s in (s for s in structures if s.kind == 4):
        owners.update((s.number(offset, 2), s.text(0x04) or "?") for offset in (0x1A, 0x1C, 0x1E))
    return [_cache(s, owners.get(s.number(0x02, 2))) for s in structures if s.kind == 7]


def _cache(s: Structure, socket: Optional[str]) -> Entry:
    configuration = s.number(0x05, 2) or 0
    row = _known(
        processor=socket,
        level=(configuration & 7) + 1,
        enabled=bool(configuration & 0x80),
        size=_cache_size(s, 0x09, 0x17),
        max_size=_cache_size(s, 0x07, 0x13),
        type=named(CACHE_TYPE, s.number(0x11, 1)),
        associativity=named(ASSOCIATIVITY, s.number(0x12, 1)),
        error_correction=named(CACHE_ERROR_CORRECTION, s.number(0x10, 1)),
    )
    return Entry("cache " + (s.text(0x04) or "L%d" % row["level"]), socket, row)


def _cache_size(s: Structure, short: int, long: int) -> Optional[int]:
    """Return bytes, counted in KiB or in 64 KiB; what outgrew its word is in a double word further on."""
    word, double = s.number(short, 2), s.number(long, 4)
    if word in (None, 0xFFFF) and double is not None:
        return (double & 0x7FFFFFFF) << (16 if double & 0x80000000 else 10)
    return None if word is None else (word & 0x7FFF) << (16 if word & 0x8000 else 10)


def _oem_strings(s: Structure) -> Entry:
    count = s.number(0x04, 1) or 0
    return Entry("oem strings", None, {"strings": [_public(string(raw)) for raw in s.strings[:count]]})


def _public(text: str) -> str:
    """Return text without the secrets that a hypervisor hands to its guest this way (systemd.system-credentials(7))."""
    name, equals, _ = text.partition("=")
    return name + equals if name.startswith("io.systemd.credential") else text


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


DECODERS: Dict[int, Callable[[Structure], Entry]] = {
    0: _bios,
    2: _baseboard,
    3: _chassis,
    4: _processor,
    9: _slot,
    11: _oem_strings,
    16: _memory_array,
    17: _memory,
    39: _power_supply,
}
