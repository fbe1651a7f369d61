"""Writes rpm databases for tests: headers, and the three formats that hold them.

Sources of the formats: as in verdelta_agent.collectors.software.rpmdb, whose tests this is for.  Real rpm reads what
`bdb` and `sqlite` write (tests/integration/test_software_live.py holds it to that).
"""

import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

NAME, VERSION, RELEASE, EPOCH, VENDOR, ARCHITECTURE, SOURCE = 1000, 1001, 1002, 1003, 1011, 1022, 1044
REGION, RSA, OPENPGP, FILE_SIZES = 63, 268, 278, 1028
INTEGER, STRING, BINARY, STRINGS = 4, 6, 7, 8


def header(name: str, version: str, release: str, **more: str | int | bytes) -> bytes:
    """Return the header of a package.

    `more`: epoch, vendor, architecture, source, rsa (a signature), openpgp (one in base64, as rpm 6 has it), files (how
    many the package has).
    """
    tags = {"epoch": EPOCH, "vendor": VENDOR, "architecture": ARCHITECTURE, "source": SOURCE}
    values: dict[int, str | int | bytes | list[int]] = {NAME: name, VERSION: version, RELEASE: release}
    values.update({tags[key]: value for key, value in more.items() if key in tags})
    if "files" in more:
        values[FILE_SIZES] = list(range(int(more["files"])))
    entries, data = [], b""
    for tag, value in sorted(values.items()):
        entry, data = _entry(tag, value, data)
        entries.append(entry)
    count = len(entries) + 1
    region = struct.pack(">iiii", REGION, BINARY, len(data), 16)
    data += struct.pack(">iiii", REGION, BINARY, -16 * count, 16)
    if "rsa" in more:  # after the region: it was not in the package's own header
        entry, data = _entry(RSA, more["rsa"], data)
        entries.append(entry)
    if "openpgp" in more:
        entry, data = _entry(OPENPGP, more["openpgp"], data)
        entries.append(entry.replace(struct.pack(">i", STRING), struct.pack(">i", STRINGS), 1))
    return struct.pack(">ii", len(entries) + 1, len(data)) + region + b"".join(entries) + data


def _entry(tag: int, value: str | int | bytes | list[int], data: bytes) -> tuple[bytes, bytes]:
    """Return an index entry, and the data with the value appended."""
    if isinstance(value, str):
        return struct.pack(">iiii", tag, STRING, len(data), 1), data + value.encode() + b"\0"
    if isinstance(value, bytes):
        return struct.pack(">iiii", tag, BINARY, len(data), len(value)), data + value
    numbers = value if isinstance(value, list) else [value]
    data += bytes(-len(data) % 4)
    packed = struct.pack(f">{len(numbers)}I", *numbers)
    return struct.pack(">iiii", tag, INTEGER, len(data), len(numbers)), data + packed


def signature(key_id: str) -> bytes:
    """Return an OpenPGP signature packet, version 4, that names the key and signs nothing."""
    unhashed = b"\x09\x10" + bytes.fromhex(key_id)
    body = b"\4\0\1\x08" + struct.pack(">H", 0) + struct.pack(">H", len(unhashed)) + unhashed + b"\0\0"
    return b"\x89" + struct.pack(">H", len(body)) + body


def sqlite(headers: Iterable[bytes], page_size: int = 512) -> bytes:
    """Return rpmdb.sqlite."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "rpmdb.sqlite")
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in headers])
        connection.commit()
        connection.close()
        return path.read_bytes()


def ndb(headers: Sequence[bytes]) -> bytes:
    """Return Packages.db."""
    pages = 1 + (2 + len(headers)) * 16 // 4096
    slots = struct.pack("<4sIIII12x", b"RpmP", 0, 7, pages, len(headers) + 1)
    blobs, block = b"", pages * 256
    for number, blob in enumerate(headers, 1):
        start = struct.pack("<4sIII", b"BlbS", number, 1600000000, len(blob))
        padding = bytes(-(len(start) + len(blob) + 12) % 16)
        end = struct.pack("<II4s", zlib.adler32(start + blob + padding), len(blob), b"BlbE")
        written = start + blob + padding + end
        slots += struct.pack("<4sIII", b"Slot", number, block, len(written) // 16)
        blobs += written
        block += len(written) // 16
    empty = struct.pack("<4s12x", b"Slot")
    return slots + empty * ((pages * 4096 - len(slots)) // 16) + blobs


def bdb(headers: Sequence[bytes], order: str = "<", page_size: int = 512, buckets: int = 2) -> bytes:
    """Return Packages as a Berkeley DB hash, with the values on overflow pages; `order` is "<" or ">"."""
    pages = _Pages(order, page_size)
    chains = [[pages.add(13)] for _ in range(buckets)]
    pages.item(chains[0][0], struct.pack(order + "I", 0), b"\1" + struct.pack(order + "I", len(headers)))
    for number, blob in enumerate(headers, 1):
        key = struct.pack(order + "I", number)
        chain = chains[pages.bucket(key, buckets)]
        if not pages.item(chain[-1], key, pages.overflow(blob)):
            chain.append(pages.add(13, previous=chain[-1]))
            pages.item(chain[-1], key, pages.overflow(blob))
    return pages.written(buckets)


class _Pages:
    def __init__(self, order: str, size: int) -> None:
        self.order, self.size = order, size
        self.kinds, self.links, self.data = [8], [[0, 0]], [b""]
        self.items: list[list[bytes]] = [[]]

    def add(self, kind: int, previous: int = 0) -> int:
        number = len(self.kinds)
        self.kinds.append(kind)
        self.links.append([previous, 0])
        self.items.append([])
        self.data.append(b"")
        if previous:
            self.links[previous][1] = number
        return number

    def bucket(self, key: bytes, buckets: int) -> int:
        """Return Fowler, Noll and Vo's hash, as Berkeley DB takes it; `buckets` is a power of two."""
        value = 0
        for byte in key:
            value = (value * 16777619 ^ byte) & 0xFFFFFFFF
        return value & (buckets - 1)

    def item(self, page: int, key: bytes, value: bytes) -> bool:
        """Put a key and its value on a page, unless it is full."""
        items = self.items[page] + [b"\1" + key, value]
        if 26 + sum(len(item) + 2 for item in items) > self.size:
            return False
        self.items[page] = items
        return True

    def overflow(self, blob: bytes) -> bytes:
        """Write a value to pages of its own; return the item that points there."""
        first = previous = 0
        for start in range(0, len(blob), self.size - 26):
            previous = self.add(7, previous)
            self.data[previous] = blob[start : start + self.size - 26]
            first = first or previous
        return b"\3\0\0\0" + struct.pack(self.order + "II", first, len(blob))

    def written(self, buckets: int) -> bytes:
        return self._meta(buckets) + b"".join(self._page(number) for number in range(1, len(self.kinds)))

    def _meta(self, buckets: int) -> bytes:
        meta = [0] * 56
        meta[3:6] = 0x00061561, 9, self.size
        meta[8] = len(self.kinds) - 1
        meta[18:21] = buckets - 1, buckets - 1, max(buckets // 2 - 1, 0)
        meta[24:56] = [1] * 32  # bucket n is page n + 1
        page = bytearray(struct.pack(self.order + "56I", *meta).ljust(self.size, b"\0"))
        page[24:28] = bytes([0, 8, 0, 0])
        return bytes(page)

    def _page(self, number: int) -> bytes:
        kind, items, data = self.kinds[number], self.items[number], self.data[number]
        offsets, at, body = [], self.size, b""
        for item in items:
            at -= len(item)
            offsets.append(at)
            body = item + body
        count, free = (1, len(data)) if kind == 7 else (len(items), at)
        start = struct.pack(self.order + "IIIIIHHBB", 0, 0, number, *self.links[number], count, free, 0, kind)
        start += data if kind == 7 else struct.pack(f"{self.order}{len(offsets)}H", *offsets)
        return start.ljust(self.size - len(body), b"\0") + body
