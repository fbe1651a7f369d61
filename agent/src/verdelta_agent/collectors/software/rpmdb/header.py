"""One package's header, as each of rpm's databases stores it.

Source of the format: "RPM V4 Package Format" of rpm's reference manual (header structure), rpm's rpmtag.h, and RFC 4880
5.2 for the signature.  Two counts, il and dl; il index entries of tag, type, offset, count; dl bytes of data.  All
integers are 32 bits and big-endian.
"""

import binascii
import struct
from typing import NamedTuple, Optional, Tuple

HEADER = 64 << 20  # bytes; the largest in the wild (a kernel's, with all its files) take a tenth
TEXT = 4096  # bytes of one value that is shown
SIGNATURE = 65536  # bytes of one that is not

COUNTS = struct.Struct(">ii")
ENTRY = 16  # bytes of an index entry

INTEGER, STRING, BINARY, STRINGS = 4, 6, 7, 8  # types
NAME, VERSION, RELEASE, EPOCH, VENDOR, ARCHITECTURE, SOURCE = (  # what their index entries start with
    COUNTS.pack(tag, INTEGER if tag == 1003 else STRING) for tag in (1000, 1001, 1002, 1003, 1011, 1022, 1044)
)
SIGNATURES = [COUNTS.pack(tag, BINARY) for tag in (268, 267, 262, 259)]  # of the header; then of header and payload
SIGNATURE_TEXTS = COUNTS.pack(278, STRINGS)  # in base64, since rpm 6


class Corrupt(ValueError):
    """The database's bytes are not what its format says."""


class Unsupported(ValueError):
    """The database is in a format that this agent cannot read, though rpm may."""


class Package(NamedTuple):
    """One installed package.  Texts that it does not have are empty; no epoch is epoch 0, as it is to rpm."""

    name: str
    epoch: int
    version: str
    release: str
    architecture: str
    vendor: str
    source: str
    key_id: str  # of the key that signed it, 16 hex digits


def parse(blob: bytes) -> Package:
    """Return the package that a header describes.  Raises Corrupt."""
    if len(blob) < COUNTS.size:
        raise Corrupt("a header of %d bytes" % len(blob))
    entries, size = COUNTS.unpack_from(blob)
    start = COUNTS.size + entries * ENTRY
    if entries < 1 or size < 1 or start + size > len(blob):
        raise Corrupt("a header of %d bytes with %d entries and %d bytes of data" % (len(blob), entries, size))
    header = _Header(blob, start, start + size)
    name, version = header.text(NAME), header.text(VERSION)
    if not name or not version:
        raise Corrupt("a header without a name or a version")
    return Package(
        name=name,
        epoch=header.integer(EPOCH),
        version=version,
        release=header.text(RELEASE),
        architecture=header.text(ARCHITECTURE),
        vendor=header.text(VENDOR),
        source=header.text(SOURCE),
        key_id=header.key_id(),
    )


class _Header:
    def __init__(self, blob: bytes, start: int, end: int) -> None:
        self.blob = blob
        self.start = start  # of the data
        self.end = end

    def text(self, tag: bytes) -> str:
        found = self._entry(tag)
        return self._string(found[0], TEXT).decode("utf-8", "backslashreplace") if found else ""

    def integer(self, tag: bytes) -> int:
        found = self._entry(tag)
        return int.from_bytes(self.blob[found[0] : min(found[0] + 4, self.end)], "big") if found else 0

    def key_id(self) -> str:
        for tag in SIGNATURES:
            found = self._entry(tag)
            if found:
                return _issuer(self.blob[found[0] : min(found[0] + max(found[1], 0), self.end)])
        found = self._entry(SIGNATURE_TEXTS)
        if not found:
            return ""
        try:
            return _issuer(binascii.a2b_base64(self._string(found[0], SIGNATURE)))
        except binascii.Error as error:
            raise Corrupt("a signature that is not base64: %s" % error) from error

    def _string(self, at: int, limit: int) -> bytes:
        end = self.blob.find(b"\0", at, min(self.end, at + limit))
        if end < 0:
            raise Corrupt("a text in a header that does not end")
        return self.blob[at:end]

    def _entry(self, tag: bytes) -> Optional[Tuple[int, int]]:
        """Return where a tag's data is, and its count.  bytes.find takes a fifth of unpacking every entry."""
        at = self.blob.find(tag, COUNTS.size, self.start)
        while at >= 0 and (at - COUNTS.size) % ENTRY:
            at = self.blob.find(tag, at + 1, self.start)
        if at < 0:
            return None
        offset, count = COUNTS.unpack_from(self.blob, at + COUNTS.size)
        if not 0 <= offset < self.end - self.start:
            raise Corrupt("tag %d of a header points outside of it" % COUNTS.unpack(tag)[0])
        return self.start + offset, count


def _issuer(signature: bytes) -> str:
    """Return the id of the key that made an OpenPGP signature, or "" where the signature does not say."""
    body = signature[_body(signature) :]
    if body[:2] == b"\3\5":
        return binascii.hexlify(body[7:15]).decode("ascii")
    if body[:1] != b"\4":
        return ""
    unhashed = 6 + int.from_bytes(body[4:6], "big")
    ends = unhashed, unhashed + 2 + int.from_bytes(body[unhashed : unhashed + 2], "big")
    return _issuer_in(body[6 : ends[0]]) or _issuer_in(body[unhashed + 2 : ends[1]])


def _body(packet: bytes) -> int:
    """Return where the body of an OpenPGP packet starts."""
    if not packet:
        return 0
    if packet[0] & 0x40:
        first = packet[1] if len(packet) > 1 else 0
        return 2 if first < 192 else 3 if first < 224 else 6
    return 1 + (1, 2, 4, 0)[packet[0] & 3]


def _issuer_in(subpackets: bytes) -> str:
    """Return the key id in the subpackets of a signature: type 16 is an id, 33 a fingerprint that ends with it."""
    at = 0
    while at < len(subpackets):
        first = subpackets[at]
        width = 1 if first < 192 else 2 if first < 255 else 5
        length = int.from_bytes(subpackets[at + 1 : at + 5], "big") if width == 5 else first
        if width == 2:
            length = ((first - 192) << 8) + int.from_bytes(subpackets[at + 1 : at + 2], "big") + 192
        body = subpackets[at + width : at + width + length]
        identified = len(body) == 9 and body[0] & 0x7F == 16
        if identified or (len(body) == 22 and body[0] & 0x7F == 33 and body[1] == 4):
            return binascii.hexlify(body[-8:]).decode("ascii")
        at += width + length
    return ""
