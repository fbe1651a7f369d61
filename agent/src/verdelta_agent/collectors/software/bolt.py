"""Reading a bbolt database, the key-value store that containerd and others keep their state in: pure.

Source of the format: go.etcd.io/bbolt, page.go, bucket.go, node.go and db.go: pages of a fixed size, two of them meta
pages of which the one with the higher transaction counts; buckets are B+trees, small ones inline in their parent.
"""

import struct
from typing import Dict, Iterator, NamedTuple, Optional, Tuple, Union

MAGIC = 0xED0CDAED
VERSION = 2
PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
META = struct.Struct("<IIIIQQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, pages, txid, checksum
BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
BUCKET = struct.Struct("<QQ")  # root page, sequence; a root of 0 means inline
IS_BRANCH, IS_LEAF, IS_META = 1, 2, 4
IS_BUCKET = 1
DEPTH = 64
ITEMS = 500000  # of one database
FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class Bucket(NamedTuple):
    """A bucket: the bytes that its root page is in, and where."""

    data: bytes
    offset: int


Value = Union[bytes, Bucket]


class Database:
    """A database that was read as a whole.  Raises ValueError where it is none, or damaged where it is looked at."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        meta = max(filter(None, (_meta(data, offset) for offset in _meta_offsets(data))), default=None)
        if meta is None:
            raise ValueError("no bolt database: neither meta page is whole")
        self._page_size, self._root, self.transaction = meta[1], meta[2], meta[0]
        self._left = ITEMS

    def root(self) -> Dict[bytes, Value]:
        """Return what is at the top."""
        return dict(self._items(Bucket(self._data, self._page_offset(self._root))))

    def bucket(self, bucket: Bucket) -> Dict[bytes, Value]:
        """Return what is in a bucket."""
        return dict(self._items(bucket))

    def path(self, *names: bytes) -> Dict[bytes, Value]:
        """Return what is in the bucket at a path of names; nothing where there is none."""
        found = self.root()
        for name in names:
            value = found.get(name)
            if not isinstance(value, Bucket):
                return {}
            found = self.bucket(value)
        return found

    def _page_offset(self, number: int) -> int:
        offset = number * self._page_size
        if not number >= 2 or offset + PAGE.size > len(self._data):
            raise ValueError("page %d is not there" % number)
        return offset

    def _items(self, bucket: Bucket, depth: int = 0) -> Iterator[Tuple[bytes, Value]]:
        data, offset = bucket
        if depth > DEPTH:
            raise ValueError("pages refer to each other")
        _, flags, count, _ = PAGE.unpack_from(_slice(data, offset, PAGE.size))
        if flags & IS_BRANCH:
            for number in range(count):
                at = offset + PAGE.size + number * BRANCH_ELEMENT.size
                _, _, page = BRANCH_ELEMENT.unpack(_slice(data, at, BRANCH_ELEMENT.size))
                yield from self._items(Bucket(self._data, self._page_offset(page)), depth + 1)
        elif flags & IS_LEAF:
            for number in range(count):
                yield self._leaf(data, offset + PAGE.size + number * LEAF_ELEMENT.size)
        else:
            raise ValueError("a page that is neither branch nor leaf")

    def _leaf(self, data: bytes, at: int) -> Tuple[bytes, Value]:
        self._left -= 1
        if self._left < 0:
            raise ValueError("more than %d items" % ITEMS)
        flags, position, key_size, value_size = LEAF_ELEMENT.unpack(_slice(data, at, LEAF_ELEMENT.size))
        key = _slice(data, at + position, key_size)
        value = _slice(data, at + position + key_size, value_size)
        if not flags & IS_BUCKET:
            return key, value
        root, _ = BUCKET.unpack(_slice(value, 0, BUCKET.size))
        return key, Bucket(value, BUCKET.size) if root == 0 else Bucket(self._data, self._page_offset(root))


def _slice(data: bytes, at: int, size: int) -> bytes:
    found = data[at : at + size]
    if len(found) != size:
        raise ValueError("cut short")
    return found


def _meta_offsets(data: bytes) -> Tuple[int, ...]:
    """Return where the second meta page may be: the page size stands in the first, which may be the damaged one."""
    return (0, *(1 << bits for bits in range(9, 17)))


def _meta(data: bytes, offset: int) -> Optional[Tuple[int, int, int]]:
    """Return transaction, page size and root page of a meta page, or None where it is not whole."""
    at = offset + PAGE.size
    if len(data) < at + META.size:
        return None
    magic, version, page_size, _, root, _, _, _, transaction, checksum = META.unpack_from(data, at)
    if magic != MAGIC or version != VERSION or not 512 <= page_size <= 1 << 16:
        return None
    if checksum and checksum != _checksum(data[at : at + META.size - 8]):
        return None
    return transaction, page_size, root


def _checksum(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash."""
    found = FNV_OFFSET
    for byte in data:
        found = (found ^ byte) * FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return found
