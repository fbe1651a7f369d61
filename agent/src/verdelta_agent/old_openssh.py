"""Signing with an SSH key where OpenSSH cannot (before 8.1, as on RHEL 8): by OpenSSL or cryptography, in its format.

OpenSSL takes the host's ECDSA P-256 key only: these versions cannot sign with Ed25519 on the command line.

Sources of the formats: OpenSSH's PROTOCOL.key (the private key file) and PROTOCOL.sshsig (the signature); RFC 5915 (the
private key that OpenSSL reads); RFC 5656 section 3.1.2 and X.690 (the two forms of an ECDSA signature).
Every function raises ValueError when the bytes are not what the format says.
"""

import base64
import hashlib
from typing import List, Tuple

from .wire import NAMESPACE

KIND = b"ecdsa-sha2-nistp256"
LIMIT = 4096  # characters of a private key; a pipe takes as many at once

_MAGIC = b"openssh-key-v1\0"
_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
# SEQUENCE of the version 1, the number, the curve P-256 and the point: all of fixed length.
_DER = b"\x30\x77\x02\x01\x01\x04\x20%b\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\xa1\x44\x03\x42\x00%b"


def private_key_for_openssl(text: str) -> bytes:
    """Return the key in a file as PEM that OpenSSL reads, which is what very old ones are already."""
    if len(text) > LIMIT:
        raise ValueError("a private key of %d characters" % len(text))
    lines = text.strip().splitlines()
    if not lines or lines[0] != _BEGIN:
        return text.encode("ascii")
    if lines[-1] != _END:
        raise ValueError("the private key is cut short")
    secret, point = _secret_and_point(base64.b64decode("".join(lines[1:-1]), validate=True))
    encoded = base64.encodebytes(_DER % (secret, point))
    return b"-----BEGIN EC PRIVATE KEY-----\n" + encoded + b"-----END EC PRIVATE KEY-----\n"


def _secret_and_point(blob: bytes) -> Tuple[bytes, bytes]:
    if not blob.startswith(_MAGIC):
        raise ValueError("not a private key of OpenSSH")
    (cipher, _, _), at = _strings(blob, len(_MAGIC), 3)
    if cipher != b"none":
        raise ValueError("the private key has a passphrase")
    (_, private), _ = _strings(blob, at + 4, 2)  # after the number of keys: the public half, the private half
    (kind, curve), at = _strings(private, 8, 2)  # after two equal numbers
    if (kind, curve) != (KIND, b"nistp256"):
        raise ValueError("not an ECDSA key on P-256")
    (point, secret), _ = _strings(private, at, 2)
    secret = secret.lstrip(b"\0").rjust(32, b"\0")
    if (len(point), len(secret)) != (65, 32):
        raise ValueError("not an ECDSA key on P-256")
    return secret, point


def to_be_signed(data: bytes) -> bytes:
    """Return the bytes that an SSH signature over `data` is really over."""
    fields = (NAMESPACE.encode("ascii"), b"", b"sha512", hashlib.sha512(data).digest())
    return b"SSHSIG" + b"".join(_string(field) for field in fields)


def signature(public_key: str, value: bytes) -> bytes:
    """Return the blob of an SSH signature from one over `to_be_signed`: 64 bytes of Ed25519, or the DER of ECDSA."""
    kind, public = (public_key.split() + ["", ""])[:2]
    if kind == KIND.decode("ascii"):
        value = b"".join(_string(number) for number in _integers(value))
    signed = _string(kind.encode("ascii")) + _string(value)
    fields = (base64.b64decode(public, validate=True), NAMESPACE.encode("ascii"), b"", b"sha512", signed)
    return b"SSHSIG\0\0\0\1" + b"".join(_string(field) for field in fields)


def _integers(der: bytes) -> List[bytes]:
    """Return the two INTEGERs of a SEQUENCE.  DER writes them as SSH does: no superfluous zero, never negative."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2 or der[3] + 6 > len(der):
        raise ValueError("not an ECDSA signature")
    middle = 4 + der[3]
    return [der[4:middle], der[middle + 2 :]]


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _strings(data: bytes, at: int, count: int) -> Tuple[List[bytes], int]:
    """Return so many strings, each with its length before it, and where they end."""
    found = []
    for _ in range(count):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if at + 4 > len(data) or end > len(data):
            raise ValueError("the private key is cut short")
        found.append(data[at + 4 : end])
        at = end
    return found, at
