"""Signatures made by `ssh-keygen -Y sign`, taken apart.  Pure: what a signature is worth is decided in signing.

Source of the formats: OpenSSH's PROTOCOL.sshsig; RFC 4251 section 5 (string, mpint); RFC 5656 section 3.1 (ECDSA);
RFC 8709 (Ed25519).  Every function raises ValueError when the bytes are not exactly what the format says.
"""

import base64
import hashlib
from typing import NamedTuple

ED25519 = "ssh-ed25519"
ECDSA_P256 = "ecdsa-sha2-nistp256"
LIMIT = 1024  # bytes of a signature or a public key; those of both kinds have less than 300

_MAGIC = b"SSHSIG"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class PublicKey(NamedTuple):
    """An OpenSSH public key: its kind, its blob, and in it the 32 bytes of Ed25519 or the 65 of a point on P-256."""

    kind: str
    blob: bytes
    point: bytes


class Signature(NamedTuple):
    """A signature: by which key, for what, and over what it was really made."""

    public_key: bytes
    namespace: bytes
    reserved: bytes
    hash_algorithm: bytes
    kind: str
    value: bytes  # 64 bytes of Ed25519, or the two mpints of ECDSA

    def signed(self, data: bytes) -> bytes:
        """Return the bytes that the key signed when `data` was to be signed."""
        digest = _HASHES[self.hash_algorithm](data).digest()
        fields = (self.namespace, self.reserved, self.hash_algorithm, digest)
        return _MAGIC + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def parse_public_key(line: str) -> PublicKey:
    """Return the key in one line of OpenSSH: type, base64, and perhaps a comment."""
    words = line.split(maxsplit=2)
    if len(line) > LIMIT or len(words) < 2:
        raise ValueError("not an OpenSSH public key")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError as error:
        raise ValueError("not an OpenSSH public key: not base64") from error
    reader = _Reader(blob)
    kind = reader.string().decode("ascii", "replace")
    if kind != words[0]:
        raise ValueError("not an OpenSSH public key: it names two types")
    if kind == ECDSA_P256 and reader.string() != b"nistp256":
        raise ValueError("an ECDSA key on another curve than P-256")
    if kind not in (ED25519, ECDSA_P256):
        raise ValueError(f"a key of type {kind[:40]!r}; {ED25519} and {ECDSA_P256} can sign for Verdelta")
    point = reader.string()
    reader.end()
    if len(point) != (32 if kind == ED25519 else 65):
        raise ValueError(f"a public key of {len(point)} bytes")
    return PublicKey(kind, blob, point)


def parse_signature(blob: bytes) -> Signature:
    """Return the signature in a blob: what stands between the lines of its armour, decoded."""
    if len(blob) > LIMIT:
        raise ValueError(f"a signature of {len(blob)} bytes")
    reader = _Reader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != 1:
        raise ValueError("not an SSH signature of version 1")
    public_key, namespace, reserved, hash_algorithm = (reader.string() for _ in range(4))
    if hash_algorithm not in _HASHES:
        raise ValueError(f"hashed with {hash_algorithm[:20]!r}")
    inner = _Reader(reader.string())
    reader.end()
    kind, value = inner.string().decode("ascii", "replace"), inner.string()
    inner.end()
    return Signature(public_key, namespace, reserved, hash_algorithm, kind, value)


def parse_ecdsa_value(value: bytes) -> tuple[int, int]:
    """Return r and s of an ECDSA signature."""
    reader = _Reader(value)
    r, s = reader.positive(), reader.positive()
    reader.end()
    return r, s


class _Reader:
    """Takes bytes off the front; whatever is not there is a ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise ValueError("cut short")
        self._at += size
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def positive(self) -> int:
        """Take an mpint that is greater than zero, has at most 256 bits and no superfluous leading zero."""
        encoded = self.string()
        if not 1 <= len(encoded) <= 33 or encoded[0] & 0x80 or encoded == b"\0":
            raise ValueError("not a positive number of at most 256 bits")
        if encoded[0] == 0 and not encoded[1] & 0x80:
            raise ValueError("a number with a superfluous leading zero")
        return int.from_bytes(encoded, "big")

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("bytes left over")
