"""Builds the EDID of a monitor as VESA's E-EDID standard describes it, for tests."""

from typing import NamedTuple

HEADER = b"\x00\xff\xff\xff\xff\xff\xff\x00"


class Monitor(NamedTuple):
    """What a monitor says of itself; sizes are in millimetres."""

    maker: str = "VRD"
    product: int = 0xA0C1
    number: int = 0x12345678
    week: int = 12
    year: int = 2021
    width: int = 597
    height: int = 336
    texts: tuple[tuple[int, bytes], ...] = ((0xFF, b"SN-0001"), (0xFC, b"Verdelta 27"))


def build(monitor: Monitor) -> bytes:
    """Return the base block: one timing, then the texts."""
    one, two, three = (ord(letter) - 64 for letter in monitor.maker)
    identity = (one << 10 | two << 5 | three).to_bytes(2, "big")
    identity += monitor.product.to_bytes(2, "little") + monitor.number.to_bytes(4, "little")
    made = bytes([monitor.week, monitor.year - 1990, 1, 4])
    basic = bytes([0xA5, (monitor.width + 5) // 10, (monitor.height + 5) // 10, 0x78, 0x06])
    colours = bytes.fromhex("ee91a3544c99260f5054")
    timings = bytes.fromhex("210800") + b"\x01\x01" * 8
    descriptors = [timing(monitor.width, monitor.height)] + [text(tag, content) for tag, content in monitor.texts]
    descriptors += [text(0x10, b"")] * (4 - len(descriptors))
    return sealed(HEADER + identity + made + basic + colours + timings + b"".join(descriptors) + b"\0")


def timing(width: int, height: int) -> bytes:
    """Return the timing of 1920 by 1080 points at 60 Hz, with the size of the image."""
    size = bytes([width & 0xFF, height & 0xFF, width >> 8 << 4 | height >> 8])
    return bytes.fromhex("023a801871382d40582c4500") + size + bytes.fromhex("00001e")


def text(tag: int, content: bytes) -> bytes:
    """Return a descriptor of at most 13 bytes of text."""
    ended = content + b"\n" if len(content) < 13 else content
    return bytes([0, 0, 0, tag, 0]) + ((ended.ljust(13, b" ")) if content else bytes(13))


def sealed(block: bytes) -> bytes:
    """Return 127 bytes with their checksum."""
    assert len(block) == 127
    return block + bytes([-sum(block) & 0xFF])
