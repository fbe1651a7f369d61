"""Reads bbolt databases, as containerd and Podman keep them, from their bytes.

Sources of the format: bbolt's page.go, bucket.go and db.go.  Pages of a fixed size make up a tree of buckets; of the
two meta pages, the one with the higher transaction counts, if its checksum is right.

Nothing is locked.  A page of a committed transaction is written again only by the second transaction after it: so what
was read is whole if the transaction is still the last one afterwards, and is read again if not (`read`).
"""

import errno
import struct
from typing import Callable, Dict, Iterator, NamedTuple, Optional, Set, Tuple, TypeVar, Union

from ...host import Host

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META = 1, 2, 4
IS_BUCKET = 1
PAGE_SIZES = tuple(1024 << shift for shift in range(7))  # the size stands in the first meta page, unless that is broken
HEADER = 16  # of a page, of a bucket, and of an element
DEPTH = 40
TRIES = 4

Result = TypeVar("Result")


class Corrupt(ValueError):
    """The database, or a part of it, is not what the format says."""


class Meta(NamedTuple):
    """A meta page: where the tree begins."""

    order: str  # of bytes, as struct has it
    page_size: int
    root: int
    transaction: int


def read(host: Host, path: str, work: Callable[["Bucket"], Result]) -> Result:
    """Return what `work` makes of the database's root bucket.  It is called again where the database was written to.

    Raises OSError, or Corrupt.
    """
    data = host.read_bytes(path)
    for _ in range(TRIES):
        try:
            outcome: Union[Tuple[Result], Corrupt] = (work(Bucket(Database(data))),)
        except Corrupt as error:
            outcome = error
        again = host.read_bytes(path)
        if again == data or _transaction(again) == _transaction(data):
            if isinstance(outcome, Corrupt):
                raise outcome
            return outcome[0]
        data = again
    raise OSError(errno.EBUSY, "written to while it was read, %d times" % TRIES, path)


def _transaction(data: bytes) -> Optional[int]:
    try:
        return Database(data).meta.transaction
    except Corrupt:
        return None


class Database:
    """The bytes of a database, of which each page is handed out once: a tree has no page twice."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.meta = _meta(data)
        self.seen: Set[int] = set()

    def page(self, number: int) -> bytes:
        """Return a page with those that it runs over into."""
        size = self.meta.page_size
        start = number * size
        if number in self.seen or number < 2 or start + size > len(self.data):
            raise Corrupt("page %d is not there, or there twice" % number)
        self.seen.add(number)
        stated, _, _, overflow = struct.unpack_from(self.meta.order + "QHHI", self.data, start)
        end = start + (overflow + 1) * size
        if stated != number or end > len(self.data):
            raise Corrupt("page %d is another one, or cut short" % number)
        return self.data[start:end]


def _meta(data: bytes) -> Meta:
    found = []
    for offset in (0,) + PAGE_SIZES:
        meta = _meta_at(data, offset)
        if meta is not None and offset in (0, meta.page_size):  # what looks like one elsewhere is somebody's value
            found.append(meta)
    if not found:
        raise Corrupt("no meta page")
    return max(found, key=lambda meta: meta.transaction)


def _meta_at(data: bytes, offset: int) -> Optional[Meta]:
    body = data[offset + HEADER : offset + HEADER + 64]
    if len(body) < 64:
        return None
    order = "<" if body[:4] == struct.pack("<I", MAGIC) else ">"
    fields = struct.unpack(order + "IIIIQQQQQQ", body)
    magic, version, page_size, _, root, _, _, _, transaction, checksum = fields
    whole = magic == MAGIC and version == VERSION and checksum == _fnv(body[:56])
    return Meta(order, page_size, root, transaction) if whole and page_size in PAGE_SIZES else None


def _fnv(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


class Item(NamedTuple):
    """A key with its value, or with the bucket below it."""

    key: bytes
    value: bytes
    bucket: Optional["Bucket"]


class Bucket:
    """A bucket, which can be gone through once, and holds values and other buckets."""

    def __init__(self, database: Database, value: Optional[bytes] = None, depth: int = 0) -> None:
        self.database = database
        self.depth = depth
        self.root, self.inline = database.meta.root, b""
        if depth > DEPTH:
            raise Corrupt("buckets too deep in each other")
        if value is not None:
            if len(value) < HEADER:
                raise Corrupt("a bucket that is cut short")
            (self.root,) = struct.unpack_from(database.meta.order + "Q", value)
            self.inline = value[HEADER:]  # a small bucket is a page right behind its header

    def items(self) -> Iterator[Item]:
        """Yield what is in the bucket, by key.  Raises Corrupt."""
        page = self.database.page(self.root) if self.root else self.inline
        return self._items(page, 0)

    def buckets(self) -> Iterator[Tuple[bytes, "Bucket"]]:
        """Yield the buckets in it, each with its key."""
        for item in self.items():
            if item.bucket is not None:
                yield item.key, item.bucket

    def _items(self, page: bytes, depth: int) -> Iterator[Item]:
        if len(page) < HEADER or depth > DEPTH:
            raise Corrupt("a page that is cut short, or a tree too deep")
        order = self.database.meta.order
        _, flags, count, _ = struct.unpack_from(order + "QHHI", page)
        if HEADER * (count + 1) > len(page) or flags & (BRANCH | LEAF) not in (BRANCH, LEAF):
            raise Corrupt("a page that is no part of a tree")
        left = len(page)  # all elements of a page together are not larger than the page
        for start in range(HEADER, HEADER * (count + 1), HEADER):
            if flags & BRANCH:
                (child,) = struct.unpack_from(order + "Q", page, start + 8)
                yield from self._items(self.database.page(child), depth + 1)
                continue
            kind, position, key_size, value_size = struct.unpack_from(order + "IIII", page, start)
            begin, middle = start + position, start + position + key_size
            left -= key_size + value_size
            if left < 0 or middle + value_size > len(page):
                raise Corrupt("an element beyond its page")
            yield self._item(kind, page[begin:middle], page[middle : middle + value_size])

    def _item(self, kind: int, key: bytes, value: bytes) -> Item:
        bucket = Bucket(self.database, value, self.depth + 1) if kind & IS_BUCKET else None
        return Item(key, b"" if bucket else value, bucket)

    def values(self) -> Dict[bytes, bytes]:
        """Return the values in it by their keys, without the buckets."""
        return {item.key: item.value for item in self.items() if item.bucket is None}
