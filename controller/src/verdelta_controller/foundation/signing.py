"""Signatures: those of agents are verified, those of this controller are made.  And secrets, sealed at rest.

Sources: OpenSSH's PROTOCOL.sshsig; RFC 8032 (Ed25519); SEC 1 and RFC 5480 (ECDSA P-256, SubjectPublicKeyInfo);
DSSE v1.0 (https://github.com/secure-systems-lab/dsse) for the controller's own statements.
"""

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import NamedTuple, Self

import nacl.exceptions
import nacl.secret
import nacl.signing
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from verdelta_agent.wire import NAMESPACE

from . import keyfile, sshsig
from .errors import InvalidInput, NotAuthenticated, VerdeltaError

SSHSIG = "sshsig"
ECDSA = "ecdsa-p256-sha256"

_KEY_LIMIT = 1024  # characters of a public key
_DER_LIMIT = 72  # bytes of an ECDSA P-256 signature
_ED25519_SIZE = 64  # bytes of an Ed25519 signature


class BadKey(InvalidInput):
    """This is not a public key that can sign for Verdelta."""


class BadSignature(NotAuthenticated):
    """The signature is not valid."""


class SealBroken(VerdeltaError):
    """A secret cannot be opened."""


# -- of agents


def verify(scheme: str, public_key: str, data: bytes, signature: bytes) -> None:
    """Hold a signature over `data` against the key that has to have made it, for Verdelta and nothing else.

    Schemes: sshsig (OpenSSH's one-line key, Ed25519 or ECDSA P-256; the signature is the blob of `ssh-keygen -Y sign`)
    and ecdsa-p256-sha256 (PEM key, DER signature).  Raises BadKey, BadSignature.
    """
    if scheme == SSHSIG:
        _verify_ssh(_ssh_key(public_key), data, signature)
    else:
        _verify_ecdsa(_pem_key(scheme, public_key), data, signature)


def key_id(scheme: str, public_key: str) -> str:
    """Return "SHA256:…" of a public key, as `ssh-keygen -l` prints it; of a PEM key, the same over its DER.

    One key has one id, however it is written.  Raises BadKey.
    """
    if scheme == SSHSIG:
        return _fingerprint(_ssh_key(public_key).blob)
    return _fingerprint(_pem_key(scheme, public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def verify_ed25519(public_key: bytes, data: bytes, signature: bytes) -> None:
    """Hold 64 bytes of signature over `data` against a public key of 32 bytes.  Raises BadSignature."""
    if len(signature) != _ED25519_SIZE:
        raise BadSignature(f"an Ed25519 signature of {len(signature)} bytes")
    try:
        nacl.signing.VerifyKey(public_key).verify(data, signature)
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise BadSignature() from error


def _verify_ssh(key: sshsig.PublicKey, data: bytes, blob: bytes) -> None:
    try:
        signature = sshsig.parse_signature(blob)
    except ValueError as error:
        raise BadSignature(f"not an SSH signature: {error}") from error
    if signature.namespace != NAMESPACE.encode():
        raise BadSignature(f"signed for {signature.namespace[:40]!r}, not for {NAMESPACE}")
    if signature.public_key != key.blob or signature.kind != key.kind:
        raise BadSignature("signed with another key")
    if key.kind == sshsig.ED25519:
        verify_ed25519(key.point, signature.signed(data), signature.value)
        return
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.point)
    except ValueError as error:
        raise BadKey("an ECDSA key that is no point on P-256") from error
    try:
        encoded = encode_dss_signature(*sshsig.parse_ecdsa_value(signature.value))
    except ValueError as error:
        raise BadSignature(f"not an ECDSA signature: {error}") from error
    _verify_ecdsa(point, signature.signed(data), encoded)


def _verify_ecdsa(key: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
    if len(signature) > _DER_LIMIT:
        raise BadSignature(f"an ECDSA signature of {len(signature)} bytes")
    try:
        key.verify(signature, data, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise BadSignature() from error


def _ssh_key(text: str) -> sshsig.PublicKey:
    try:
        return sshsig.parse_public_key(text)
    except ValueError as error:
        raise BadKey(str(error)) from error


def _pem_key(scheme: str, text: str) -> ec.EllipticCurvePublicKey:
    if scheme != ECDSA:
        raise BadKey(f"there is no scheme of signatures {scheme[:40]!r}; there are {SSHSIG} and {ECDSA}")
    try:
        if len(text) > _KEY_LIMIT:
            raise ValueError(f"{len(text)} characters")
        key = load_pem_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"not a public key in PEM: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise BadKey("this PEM has no ECDSA key on P-256")
    return key


def _fingerprint(data: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


# -- of this controller


class Statement(NamedTuple):
    """What a DSSE envelope says: the payload, and what kind of thing it is."""

    payload_type: str
    payload: bytes


class SigningKey:
    """The controller's own Ed25519 key.  Its `public_key` (32 bytes) is what an auditor has to trust."""

    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)
        self.public_key = bytes(self._key.verify_key)

    @classmethod
    def generate(cls) -> Self:
        """Return a new key that is kept nowhere."""
        return cls(bytes(nacl.signing.SigningKey.generate()))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the key in a file.  Raises NotFound, UnsafeKeyFile."""
        return cls(keyfile.load(path))

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Return the key in a file, made now if there is none.  Raises UnsafeKeyFile."""
        return cls(keyfile.load_or_create(path))

    @property
    def key_id(self) -> str:
        """Return "SHA256:…" of the public key."""
        return _fingerprint(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of the signature over `data`."""
        return self._key.sign(data).signature

    def sign_statement(self, statement: Statement) -> bytes:
        """Return a statement as a DSSE envelope (JSON)."""
        signature = {"keyid": self.key_id, "sig": _encode(self.sign(_to_be_signed(statement)))}
        fields = {
            "payloadType": statement.payload_type,
            "payload": _encode(statement.payload),
            "signatures": [signature],
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def audience_of(public_key: bytes) -> str:
    """Return how agents name the controller that has this key: messages for another one are refused."""
    return hashlib.sha256(public_key).hexdigest()[:32]


def open_statement(envelope: bytes, public_key: bytes) -> Statement:
    """Return the statement in a DSSE envelope with one signature, made with `public_key`.  Raises BadSignature."""
    try:
        fields = json.loads(envelope)
        (signature,) = fields["signatures"]
        statement = Statement(str(fields["payloadType"]), _decode(fields["payload"]))
        signed, value = _to_be_signed(statement), _decode(signature["sig"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSignature(f"not a DSSE envelope with one signature: {error!r:.200}") from error
    verify_ed25519(public_key, signed, value)
    return statement


def _to_be_signed(statement: Statement) -> bytes:
    kind = statement.payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement.payload), statement.payload)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


# -- secrets at rest


class Vault:
    """Seals secrets for the database (XChaCha20-Poly1305); the key lies in a file beside it, never in it.

    A `purpose` (whose secret it is) is sealed in: what was sealed for one purpose does not open for another.
    """

    def __init__(self, key: bytes) -> None:
        self._box = nacl.secret.Aead(key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the vault with the key in a file.  Raises NotFound, UnsafeKeyFile."""
        return cls(keyfile.load(path))

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Return the vault with the key in a file, made now if there is none.  Raises UnsafeKeyFile.

        For `verdelta init` alone: with a new key beside an old database its secrets are lost.
        """
        return cls(keyfile.load_or_create(path))

    def seal(self, secret: bytes, purpose: str = "") -> bytes:
        """Return the secret, unreadable without the key."""
        return bytes(self._box.encrypt(secret, purpose.encode()))

    def open(self, sealed: bytes, purpose: str = "") -> bytes:
        """Return the secret.  Raises SealBroken when it was sealed with another key or purpose, or was changed."""
        try:
            return self._box.decrypt(sealed, purpose.encode())
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise SealBroken(
                "a secret cannot be opened: sealed with another key, for another purpose, or changed since",
                mend="Restore the key file that belongs to this database, or enter the secret again.",
            ) from error

    def __repr__(self) -> str:
        return "Vault()"
