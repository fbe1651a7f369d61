"""What a monitor says of itself, whatever bytes are in its EDID.

Source of the format: VESA Enhanced EDID Standard, release A, revision 2 (EDID 1.4), section 3.  Only the base block is
read: its maker, model and serial number are those of the monitor, and the extensions repeat none of them.
"""

from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ...model import Row

BLOCK = 128  # bytes
LIMIT = 256 * BLOCK  # bytes of a base block and all the extensions that it can announce
_HEADER = b"\x00\xff\xff\xff\xff\xff\xff\x00"
_DESCRIPTORS = (54, 72, 90, 108)
_DESCRIPTOR = 18  # bytes
_SERIAL, _TEXT, _NAME = 0xFF, 0xFE, 0xFC
_FIRST_YEAR = 1990
_MODEL_YEAR = 0xFF  # in place of a week: the year is that of the model
_LAST_WEEK = 54


class Edid(NamedTuple):
    """The base block of an EDID."""

    data: bytes

    def number(self, offset: int, size: int) -> int:
        """Return the little-endian number at an offset."""
        return int.from_bytes(self.data[offset : offset + size], "little")


def parse(data: bytes) -> Tuple[Row, Optional[str]]:
    """Return the fields that the monitor has filled in, and what is wrong with the rest.

    Any bytes give fields or a ValueError.
    """
    if len(data) < BLOCK:
        raise ValueError("%d bytes of an EDID are none" % len(data))
    if not data.startswith(_HEADER):
        raise ValueError("it does not start like an EDID")
    problem = "its checksum is wrong" if sum(data[:BLOCK]) & 0xFF else None
    edid = Edid(data[:BLOCK])
    row: Row = {
        "manufacturer": _manufacturer(int.from_bytes(data[8:10], "big")),
        "product": "%04x" % edid.number(10, 2),
        "serial_number": edid.number(12, 4) or None,
    }
    row.update(_made(data[16], data[17]))
    row.update(_texts(edid))
    row.update(_size(edid))
    return {name: value for name, value in row.items() if value is not None}, problem


def _manufacturer(number: int) -> str:
    """Return three letters, of five bits each, as PNP ids are; what is none of A to Z becomes a question mark."""
    letters = (number >> shift & 31 for shift in (10, 5, 0))
    return "".join(chr(64 + letter) if 1 <= letter <= 26 else "?" for letter in letters)


def _made(week: int, year: int) -> Row:
    return {
        "year": _FIRST_YEAR + year if year else None,
        "week": week if 1 <= week <= _LAST_WEEK else None,
        "model_year": True if week == _MODEL_YEAR else None,
    }


def _texts(edid: Edid) -> Row:
    """Return name, serial and text; a name may go on in a second descriptor."""
    found: Dict[int, List[str]] = {}
    for descriptor in _descriptors(edid):
        if descriptor[:3] == b"\0\0\0":
            found.setdefault(descriptor[3], []).append(_text(descriptor[5:]))
    fields = (("name", _NAME), ("serial", _SERIAL), ("text", _TEXT))
    return {field: " ".join(text for text in found.get(tag, []) if text) or None for field, tag in fields}


def _descriptors(edid: Edid) -> Iterator[bytes]:
    return (edid.data[offset : offset + _DESCRIPTOR] for offset in _DESCRIPTORS)


def _text(data: bytes) -> str:
    """Return the text before the line feed that ends it; some end theirs with a zero."""
    return data.partition(b"\n")[0].partition(b"\0")[0].decode("ascii", "backslashreplace").strip()


def _size(edid: Edid) -> Row:
    """Return the size of the image in millimetres, from the first timing where that agrees with the centimetres.

    Some makers put the ratio of the sides (16 by 9) into the timing instead.  Zero is: not known, as of a projector.
    """
    width, height = (10 * edid.data[offset] for offset in (21, 22))
    if not width or not height:
        return {}
    timing = next(_descriptors(edid))
    if timing[:2] != b"\0\0":
        exact = timing[12] | (timing[14] & 0xF0) << 4, timing[13] | (timing[14] & 0x0F) << 8
        if abs(exact[0] - width) <= 10 and abs(exact[1] - height) <= 10:
            width, height = exact
    return {"width": width, "height": height}
