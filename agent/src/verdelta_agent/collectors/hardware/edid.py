"""What a display says of itself: pure.

Source of the format: VESA Enhanced EDID Standard, release A revision 2, as far as identity and size go.
"""

from typing import Dict, Optional

from ...model import Row

HEADER = bytes.fromhex("00ffffffffffff00")
BLOCK = 128
SERIAL, TEXT, NAME = 0xFF, 0xFE, 0xFC  # tags of display descriptors


def parse(data: bytes) -> Row:
    """Return manufacturer, product, serial, name, when it was made, and size.  Raises ValueError for anything else."""
    if len(data) < BLOCK or data[:8] != HEADER:
        raise ValueError("not an EDID")
    if sum(data[:BLOCK]) % 256:
        raise ValueError("the checksum of the EDID is wrong")
    texts = _descriptors(data)
    number = int.from_bytes(data[12:16], "little")
    return {
        "manufacturer": _manufacturer(int.from_bytes(data[8:10], "big")),
        "product": "%04x" % int.from_bytes(data[10:12], "little"),
        "serial": texts.get(SERIAL) or (str(number) if number else None),
        "name": texts.get(NAME) or texts.get(TEXT),
        "made": _made(data[16], data[17]),
        "width": data[21] * 10 or None,
        "height": data[22] * 10 or None,
        "edid_version": "%d.%d" % (data[18], data[19]),
    }


def _manufacturer(packed: int) -> str:
    """Return the three letters that are packed in fifteen bits."""
    return "".join(chr(64 + (packed >> shift & 31)) if packed >> shift & 31 else "?" for shift in (10, 5, 0))


def _made(week: int, year: int) -> Optional[str]:
    if not year:
        return None
    return "%d" % (1990 + year) if week in (0, 255) or week > 54 else "%d-W%02d" % (1990 + year, week)


def _descriptors(data: bytes) -> Dict[int, str]:
    """Return tag -> text of the four descriptors that are texts."""
    texts: Dict[int, str] = {}
    for at in range(54, 126, 18):
        descriptor = data[at : at + 18]
        if descriptor[:3] == b"\0\0\0" and descriptor[3] in (SERIAL, TEXT, NAME):
            text = descriptor[5:].partition(b"\n")[0].decode("cp437").strip()
            texts.setdefault(descriptor[3], "".join(c if c.isprintable() else "?" for c in text))
    return texts
