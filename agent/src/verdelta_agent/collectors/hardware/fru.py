"""The inventory that a board, a chassis or a power supply carries in a memory of its own.

Source of the format: IPMI Platform Management FRU Information Storage Definition 1.0, revision 1.3, sections 8 to 13.
"""

import time
from typing import Dict, List, Optional, Tuple

from ...model import Row
from .smbios_names import CHASSIS, named

HEADER = 8  # bytes of the header, and the unit in which places and lengths are counted

_BLANK = (bytes(HEADER), b"\xff" * HEADER)
_END_OF_FIELDS = 0xC1
_EPOCH = 820454400  # 1996-01-01, from which the minutes to a board's making are counted
_ENGLISH = (0, 25)
_BCD = "0123456789 -."
_AREAS: Tuple[Tuple[str, int, Tuple[str, ...]], ...] = (  # name, its place in the header, its fields
    ("chassis", 2, ("part_number", "serial")),
    ("board", 3, ("manufacturer", "name", "serial", "part_number", "file_id")),
    ("product", 4, ("manufacturer", "name", "part_number", "version", "serial", "asset_tag", "file_id")),
)
_LEFT_OUT = "file_id"  # a file that filled the memory, at its maker's


def needed(data: bytes) -> int:
    """Return how many bytes of an inventory, from its start, have to be read at least: more is known with each part."""
    if len(data) < HEADER or not _is_header(data):
        return HEADER
    starts = [data[place] * HEADER for _, place, _ in _AREAS]
    return max(start + (data[start + 1] * HEADER if start + 1 < len(data) else HEADER) for start in starts)


def parse(data: bytes) -> Tuple[Row, List[str]]:
    """Return chassis_, board_ and product_ fields, and the areas that are broken; the others stand.

    An inventory that nobody has ever written has no fields.  Raises ValueError when the header is none.
    """
    if data[:HEADER] in _BLANK:
        return {}, []
    if not _is_header(data):
        raise ValueError("it has no header of a FRU inventory")
    row: Row = {}
    broken = []
    for name, place, fields in _AREAS:
        start = data[place] * HEADER
        if not start:
            continue
        try:
            found = _area(name, _checked(data, start), fields)
        except ValueError as error:
            broken.append("%s area %s" % (name, error))
            continue
        row.update(("%s_%s" % (name, field), value) for field, value in found.items())
    return row, broken


def _is_header(data: bytes) -> bool:
    return len(data) >= HEADER and data[0] & 0x0F == 1 and not sum(data[:HEADER]) & 0xFF


def _checked(data: bytes, start: int) -> bytes:
    """Return an area, from its version on and without the checksum at its end.  Raises ValueError."""
    length = data[start + 1] * HEADER if start + 1 < len(data) else 0
    area = data[start : start + length]
    if not length or len(area) != length:
        raise ValueError("breaks off")
    if area[0] & 0x0F != 1:
        raise ValueError("is of version %d" % (area[0] & 0x0F))
    if sum(area) & 0xFF:
        raise ValueError("has a wrong checksum")
    return area[:-1]


def _area(name: str, area: bytes, fields: Tuple[str, ...]) -> Dict[str, Optional[str]]:
    """Return what an area says: of a chassis its kind, of a board when it was made, and text."""
    found: Dict[str, Optional[str]] = {}
    start = 3
    if name == "chassis":
        found["type"] = named(CHASSIS, area[2])
    elif name == "board":
        start = 6
        found["made"] = _made(area[3:6])
    english = name == "chassis" or area[2] in _ENGLISH
    texts = _texts(area, start, english)
    found.update((fields[place], text) for place, text in enumerate(texts[: len(fields)]))
    return {field: text for field, text in found.items() if text and field != _LEFT_OUT}


def _made(minutes: bytes) -> Optional[str]:
    """Return the date on which a board was made, or None where nobody has set it."""
    count = int.from_bytes(minutes, "little")
    return time.strftime("%Y-%m-%d", time.gmtime(_EPOCH + count * 60)) if 0 < count < 0xFFFFFF else None


def _texts(area: bytes, start: int, english: bool) -> List[str]:
    """Return the fields up to the end of the list.  Raises ValueError when that does not come."""
    texts: List[str] = []
    while start < len(area):
        kind, length = area[start] >> 6, area[start] & 0x3F
        if area[start] == _END_OF_FIELDS:
            return texts
        data = area[start + 1 : start + 1 + length]
        if len(data) != length:
            break
        texts.append(_text(kind, data, english).strip(" \0"))
        start += 1 + length
    raise ValueError("has no end of its fields")


def _text(kind: int, data: bytes, english: bool) -> str:
    if kind == 0:
        return data.hex()
    if kind == 1:
        return "".join(_digit(byte >> 4) + _digit(byte & 15) for byte in data)
    if kind == 2:
        return _packed(data)
    return data.decode("latin-1") if english else data.decode("utf-16-le", "backslashreplace")


def _digit(value: int) -> str:
    return _BCD[value] if value < len(_BCD) else "?"


def _packed(data: bytes) -> str:
    """Return text of six bits a character, four characters in three bytes, the lowest bits first."""
    bits = int.from_bytes(data, "little")
    return "".join(chr((bits >> shift & 0x3F) + 0x20) for shift in range(0, len(data) * 8 - 5, 6))
