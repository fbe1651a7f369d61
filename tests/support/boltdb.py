"""Writes bbolt databases for tests.

Source of the format: as in verdelta_agent.collectors.software.bolt, whose tests this is for; real databases are read in
tests/integration/test_containers_live.py.
"""

import struct
from collections.abc import Mapping
from typing import Any

from verdelta_agent.collectors.software.bolt import BRANCH, LEAF, MAGIC, META, VERSION, Bucket, Database

INLINE = 256  # bytes: a bucket that is not larger stands within its parent


def dump(data: bytes) -> dict[bytes, Any]:
    """Return what is in a database: a value is bytes, a bucket is a dictionary."""
    return _dump(Bucket(Database(data)))


def _dump(bucket: Bucket) -> dict[bytes, Any]:
    return {item.key: item.value if item.bucket is None else _dump(item.bucket) for item in bucket.items()}


def write(tree: Mapping[bytes, Any], page_size: int = 1024, transaction: int = 7, order: str = "<") -> bytes:
    """Return a database with the tree in it, in which each bucket begins on a page of its own, if it is not small."""
    pages = _Pages(page_size, order)
    root = pages.bucket(tree)
    count = len(pages.data) // page_size
    metas = [_meta(number, page_size, root, count, transaction - number, order) for number in (0, 1)]
    return b"".join(metas) + bytes(pages.data[2 * page_size :])


def _meta(number: int, page_size: int, root: int, count: int, transaction: int, order: str) -> bytes:
    fields = (MAGIC, VERSION, page_size, 0, root, 0, 2**64 - 1, count, transaction)
    body = struct.pack(order + "IIIIQQQQQ", *fields)
    checksum = 0xCBF29CE484222325
    for byte in body:
        checksum = ((checksum ^ byte) * 0x100000001B3) % 2**64
    page = struct.pack(order + "QHHI", number, META, 0, 0) + body + struct.pack(order + "Q", checksum)
    return page.ljust(page_size, b"\0")


class _Pages:
    def __init__(self, size: int, order: str) -> None:
        self.size, self.order = size, order
        self.data = bytearray(2 * size)

    def bucket(self, tree: Mapping[bytes, Any]) -> int:
        """Write a bucket and return its root page: a leaf, or a branch with leaves below it."""
        items = [self._item(key, tree[key]) for key in sorted(tree)]
        leaves: list[list[tuple[int, bytes, bytes]]] = [[]]
        for item in items:
            used = 16 + sum(16 + len(key) + len(value) for _, key, value in leaves[-1])
            if leaves[-1] and used + 16 + len(item[1]) + len(item[2]) > self.size:
                leaves.append([])
            leaves[-1].append(item)
        numbers = [self._page(LEAF, len(leaf), _leaf(leaf, self.order)) for leaf in leaves]
        if len(numbers) == 1:
            return numbers[0]
        keys = [leaf[0][1] for leaf in leaves]
        return self._page(BRANCH, len(numbers), _branch(keys, numbers, self.order))

    def _item(self, key: bytes, value: Any) -> tuple[int, bytes, bytes]:
        if isinstance(value, bytes):
            return 0, key, value
        if not any(isinstance(item, Mapping) for item in value.values()):
            leaf = _leaf([(0, name, value[name]) for name in sorted(value)], self.order)
            if len(leaf) <= INLINE:
                header = struct.pack(self.order + "QQQHHI", 0, 0, 0, LEAF, len(value), 0)
                return 1, key, header + leaf
        return 1, key, struct.pack(self.order + "QQ", self.bucket(value), 0)

    def _page(self, flags: int, count: int, body: bytes) -> int:
        number, room = divmod(len(self.data), self.size)
        assert room == 0
        overflow = (16 + len(body) - 1) // self.size
        page = struct.pack(self.order + "QHHI", number, flags, count, overflow) + body
        self.data += page.ljust((overflow + 1) * self.size, b"\0")
        return number


def _leaf(items: list[tuple[int, bytes, bytes]], order: str) -> bytes:
    elements, data, position = b"", b"", 16 * len(items)
    for index, (kind, key, value) in enumerate(items):
        elements += struct.pack(order + "IIII", kind, position + len(data) - 16 * index, len(key), len(value))
        data += key + value
    return elements + data


def _branch(keys: list[bytes], numbers: list[int], order: str) -> bytes:
    elements, data, position = b"", b"", 16 * len(keys)
    for index, (key, number) in enumerate(zip(keys, numbers, strict=True)):
        elements += struct.pack(order + "IIQ", position + len(data) - 16 * index, len(key), number)
        data += key
    return elements + data
