"""Write small bbolt databases: every bucket inline in the one below it, and all of it in one leaf page."""

import struct
from collections.abc import Mapping
from typing import Any

PAGE_SIZE = 4096
MAGIC, VERSION = 0xED0CDAED, 2


def write(content: Mapping[str, Any], transaction: int = 3) -> bytes:
    """Return a database of nested buckets (mappings) and values (bytes)."""
    leaf = _leaf(content)
    pages = -(-len(leaf) // PAGE_SIZE)
    meta = b"".join(_meta(number, transaction - number, 3 + pages) for number in (0, 1))
    free_list = struct.pack("<QHHI", 2, 0x10, 0, 0).ljust(PAGE_SIZE, b"\0")
    root = struct.pack("<QHHI", 3, 2, len(content), pages - 1) + leaf[16:]
    return meta + free_list + root.ljust(pages * PAGE_SIZE, b"\0")


def _meta(number: int, transaction: int, pages: int) -> bytes:
    head = struct.pack("<QHHI", number, 4, 0, 0)
    body = struct.pack("<IIIIQQQQQ", MAGIC, VERSION, PAGE_SIZE, 0, 3, 0, 2, pages, transaction)
    return (head + body + struct.pack("<Q", checksum(body))).ljust(PAGE_SIZE, b"\0")


def checksum(data: bytes) -> int:
    """Return FNV-1a of 64 bits, which bbolt uses."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 % (1 << 64)
    return found


def _leaf(content: Mapping[str, Any]) -> bytes:
    items = sorted((name.encode(), value) for name, value in content.items())
    encoded = [
        (1, name, struct.pack("<QQ", 0, 0) + _leaf(value)) if isinstance(value, Mapping) else (0, name, value)
        for name, value in items
    ]
    elements, data = b"", b""
    for number, (flags, name, value) in enumerate(encoded):
        position = (len(encoded) - number) * 16 + len(data)
        elements += struct.pack("<IIII", flags, position, len(name), len(value))
        data += name + value
    return struct.pack("<QHHI", 0, 2, len(encoded), 0) + elements + data
