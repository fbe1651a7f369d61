"""The headers in rpm's own database, Packages.db (SUSE).

Source of the format: rpm's lib/backend/ndb/rpmpkg.c.  Little-endian integers of 32 bits.  The file starts with pages
of 4096 bytes, full of slots (magic, package number, offset and length in blocks of 16 bytes); the first two slots are
the file's header.  A package is a head (magic, number, time, length), the header, padding, and a tail (checksum,
length, magic) at the end of its blocks.
"""

import os
import struct
from typing import IO, Iterator

from .header import HEADER, Corrupt, Unsupported

PAGE, BLOCK = 4096, 16
FILE = struct.Struct("<4sIIII")  # magic, version, generation, number of slot pages, next package number
SLOT = struct.Struct("<4sIII")
HEAD = struct.Struct("<4sIII")
TAIL = struct.Struct("<II4s")
SLOTS = 1 << 20  # more packages than any host has


def headers(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the header of every package.  Raises Corrupt or Unsupported."""
    descriptor = file.fileno()
    start = os.pread(descriptor, FILE.size, 0)
    if len(start) < FILE.size or start[:4] != b"RpmP":
        raise Corrupt("not an ndb database")
    _, version, _, pages, _ = FILE.unpack(start)
    if version != 0:
        raise Unsupported("ndb version %d" % version)
    if not 0 < pages <= SLOTS * SLOT.size // PAGE:
        raise Corrupt("%d pages of slots" % pages)
    slots = os.pread(descriptor, pages * PAGE, 0)
    if len(slots) != pages * PAGE:
        raise Corrupt("cut short within the slots")
    seen = set()
    for magic, number, offset, length in SLOT.iter_unpack(slots[2 * SLOT.size :]):
        if magic != b"Slot":
            raise Corrupt("a slot without its magic")
        if offset:
            if number in seen:
                raise Corrupt("package %d is there twice" % number)
            seen.add(number)
            yield _header(descriptor, number, offset * BLOCK, length * BLOCK)


def _header(descriptor: int, number: int, offset: int, size: int) -> bytes:
    if not HEAD.size + TAIL.size <= size <= HEADER:
        raise Corrupt("package %d takes %d bytes" % (number, size))
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise Corrupt("cut short within package %d" % number)
    magic, stored, _, length = HEAD.unpack_from(data)
    _, repeated, end = TAIL.unpack_from(data, size - TAIL.size)
    if (magic, stored, end) != (b"BlbS", number, b"BlbE") or length != repeated:
        raise Corrupt("package %d is not where its slot points" % number)
    if HEAD.size + length + TAIL.size > size:
        raise Corrupt("package %d is longer than its blocks" % number)
    return data[HEAD.size : HEAD.size + length]
