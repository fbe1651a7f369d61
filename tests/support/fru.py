"""Builds FRU inventories byte by byte, for tests of whoever reads them.

Source of the format: IPMI Platform Management FRU Information Storage Definition 1.0, revision 1.3, sections 8 to 13.
"""

from collections.abc import Sequence

BCD = "0123456789 -."


def text(content: str) -> bytes:
    """Return a field of Latin-1 text."""
    return bytes([0xC0 | len(content)]) + content.encode("latin-1")


def packed(content: str) -> bytes:
    """Return a field of six bits a character; the number of characters is a multiple of four, or a zero is added."""
    bits = sum((ord(character) - 0x20) << 6 * place for place, character in enumerate(content))
    data = bits.to_bytes(-(-len(content) * 6 // 8), "little")
    return bytes([0x80 | len(data)]) + data


def digits(content: str) -> bytes:
    """Return a field of BCD plus: an even number of digits, blanks, dashes and dots."""
    data = bytes(BCD.index(high) << 4 | BCD.index(low) for high, low in zip(content[::2], content[1::2], strict=True))
    return bytes([0x40 | len(data)]) + data


def binary(data: bytes) -> bytes:
    """Return a field of bytes without a meaning that is known."""
    return bytes([len(data)]) + data


def area(head: bytes, fields: Sequence[bytes]) -> bytes:
    """Return an area: version and length, what stands before its fields, the fields, their end, a checksum."""
    body = head + b"".join(fields) + b"\xc1"
    units = -(-(len(body) + 3) // 8)
    data = (bytes([1, units]) + body).ljust(units * 8 - 1, b"\0")
    return data + bytes([-sum(data) & 0xFF])


def chassis(kind: int, *fields: bytes) -> bytes:
    """Return a chassis area: part number, serial number."""
    return area(bytes([kind]), fields)


def board(minutes: int, *fields: bytes, language: int = 0) -> bytes:
    """Return a board area: maker, name, serial number, part number, file."""
    return area(bytes([language]) + minutes.to_bytes(3, "little"), fields)


def product(*fields: bytes, language: int = 0) -> bytes:
    """Return a product area: maker, name, part number, version, serial number, asset tag, file."""
    return area(bytes([language]), fields)


def inventory(chassis: bytes = b"", board: bytes = b"", product: bytes = b"") -> bytes:
    """Return the header and the areas that are not empty."""
    header, at = [1, 0], 1
    for one in (chassis, board, product):
        header.append(at if one else 0)
        at += len(one) // 8
    header += [0, 0]
    return bytes([*header, -sum(header) & 0xFF]) + chassis + board + product


def server() -> bytes:
    """Return the inventory of a server, with all three areas."""
    return inventory(
        chassis(23, text("CH-RS-2000"), text("C8250LK12345")),
        board(
            15726240,
            text("Example Computers"),
            text("X12-DUAL"),
            text("OM21AS012345"),
            text("X12-DUAL-B"),
            text("frudata.xml"),
            text("a field of the maker's own"),
        ),
        product(
            text("Example Computers"),
            text("RS-2000"),
            text("RS-2000-8X"),
            text("0123456789"),
            text("S412345X1802001"),
            text("ASSET-0042"),
            text(""),
        ),
    )


def power_supply() -> bytes:
    """Return the inventory of a power supply, written in the shorter ways."""
    fields = (
        packed("EXAMPLE POWER   "),
        packed("PWS-1K22A-1R"),
        digits("1200-3.1"),
        digits("01"),
        packed("P2K22CN35MT0"),
    )
    return inventory(product=product(*fields, text(""), text("")))


def locator(number: int, name: str, modifier: int = 0, address: int = 0x20) -> bytes:
    """Return the record that names an inventory, as it is kept among the sensor data records."""
    body = bytes([address, number, 0x80, 0, 0, 0x10, modifier, 7, 1, 0]) + text(name)
    return bytes([0, 0, 0x51, 0x11, len(body)]) + body
