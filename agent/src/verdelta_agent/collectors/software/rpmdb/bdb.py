"""The headers in a Berkeley DB hash, Packages (RHEL and CentOS up to 8, SLES up to 15).

Source of the format: Berkeley DB's db_page.h and hash.h, and rpm's own reader, lib/backend/bdb_ro.c.  Page 0 is the
database's meta page; the buckets of the hash are chains of pages of key and value items; a value too large for its
page is a chain of overflow pages.  Integers are in the byte order of the machine that wrote the file.
"""

import os
import struct
from typing import IO, Iterator, List, Sequence, Set

from .header import HEADER, Corrupt, Unsupported

META = 512
MAGIC = 0x00061561
VERSIONS = (8, 9, 10)
UNSORTED, SORTED, OVERFLOW = 2, 13, 7  # types of pages
KEYDATA, OFFPAGE = 1, 3  # types of items
START = 26  # bytes of a page before its items


def headers(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the header of every package.  Raises Corrupt or Unsupported."""
    return _Hash(file.fileno()).headers()


class _Hash:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        meta = os.pread(descriptor, META, 0)
        if len(meta) < META:
            raise Corrupt("shorter than its meta page")
        self.order = "<" if int.from_bytes(meta[12:16], "little") == MAGIC else ">"
        fields = struct.unpack_from(self.order + "56I", meta)
        if fields[3] != MAGIC or fields[4] not in VERSIONS:
            raise Unsupported("not a Berkeley DB hash of version 8 to 10")
        self.page_size, self.last_page = fields[5], fields[8]
        self.buckets, self.spares = fields[18] + 1, fields[24:56]
        pages = os.fstat(descriptor).st_size // max(self.page_size, 1)
        if self.page_size & (self.page_size - 1) or not 512 <= self.page_size <= 65536:
            raise Corrupt("pages of %d bytes" % self.page_size)
        if self.last_page >= pages or self.buckets > pages:
            raise Corrupt("cut short: %d pages of %d, %d buckets" % (pages, self.last_page + 1, self.buckets))
        self.number = struct.Struct(self.order + "I")
        self.pointers = struct.Struct(self.order + "IIHH")  # of a page: previous, next, items, length
        self.chain = struct.Struct(self.order + "II")  # of an item off its page: first page, length
        self.seen: Set[int] = set()  # pages; each belongs to one chain, so that no chain can be a circle

    def headers(self) -> Iterator[bytes]:
        for bucket in range(self.buckets):
            number = bucket + self.spares[bucket.bit_length()]
            while number:
                page = self._page(number, (UNSORTED, SORTED))
                yield from self._values(page)
                number = self.pointers.unpack_from(page, 12)[1]

    def _page(self, number: int, kinds: Sequence[int]) -> bytes:
        """Return a page that was not read before."""
        if not 0 < number <= self.last_page or number in self.seen:
            raise Corrupt("page %d is outside of the file, or in two places" % number)
        self.seen.add(number)
        page = os.pread(self.descriptor, self.page_size, number * self.page_size)
        if len(page) != self.page_size or page[25] not in kinds or self.number.unpack_from(page, 8)[0] != number:
            raise Corrupt("page %d is not of its kind" % number)
        return page

    def _values(self, page: bytes) -> Iterator[bytes]:
        """Yield the headers among the items of a page.  Items lie backwards from its end, key and value in turn."""
        count = self.pointers.unpack_from(page, 12)[2]
        if count % 2 or START + 2 * count > self.page_size:
            raise Corrupt("%d items on a page" % count)
        offsets: List[int] = [self.page_size]
        offsets += struct.unpack_from("%s%dH" % (self.order, count), page, START)
        for index in range(1, count, 2):
            before, key, value = offsets[index - 1 : index + 2]
            if not START <= value < key < before <= self.page_size:
                raise Corrupt("an item outside of its page")
            if page[key] != KEYDATA or before - key != 5:
                raise Corrupt("a key that is no package number")
            if page[key + 1 : before] != b"\0\0\0\0":  # number 0 holds the last number given out
                yield self._value(page[value:key])

    def _value(self, item: bytes) -> bytes:
        if item[0] == KEYDATA:
            return item[1:]
        if item[0] != OFFPAGE or len(item) != 12:
            raise Corrupt("a value of kind %d" % item[0])
        number, size = self.chain.unpack_from(item, 4)
        if size > HEADER:
            raise Corrupt("a header of %d bytes" % size)
        parts = []
        while size > 0:
            page = self._page(number, (OVERFLOW,))
            _, number, _, length = self.pointers.unpack_from(page, 12)
            if not 0 < length <= min(size, self.page_size - START):
                raise Corrupt("an overflow page with %d bytes" % length)
            parts.append(page[START : START + length])
            size -= length
        return b"".join(parts)
