"""The controller's own certificate authority, and the certificate that it serves with when it leaves loopback.

Agents pin the CA.  Keys are ECDSA P-256, which every TLS library knows.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .errors import InvalidInput

CA_LIFE = timedelta(days=3650)
SERVER_LIFE = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)


def ensure_ca(state: Path) -> Path:
    """Return the CA certificate's path, made now together with its key where there is none."""
    certificate, key_path = state / "ca.pem", state / "ca.key"
    if not certificate.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Verdelta controller CA")])
        built = (
            _builder(name, name, key.public_key(), CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        _write(key_path, _private(key))
        _write(certificate, built.public_bytes(Encoding.PEM), 0o644)
    return certificate


def ensure_server(state: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """Return the paths of a server certificate for these names or addresses, and of its key; renewed when it is due."""
    wanted = sorted(set(names))
    certificate, key_path = state / "server.pem", state / "server.key"
    if certificate.exists() and _still_good(certificate, wanted):
        return certificate, key_path
    ca = x509.load_pem_x509_certificate(ensure_ca(state).read_bytes())
    ca_key = load_pem_private_key((state / "ca.key").read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"{state / 'ca.key'} is not the key that this controller made")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Verdelta controller")])
    built = (
        _builder(subject, ca.subject, key.public_key(), SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in wanted]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(key_path, _private(key))
    _write(certificate, built.public_bytes(Encoding.PEM), 0o644)
    return certificate, key_path


def names_for(listen: str) -> list[str]:
    """Return the names and addresses under which a controller that listens there can be reached."""
    names = ["localhost", "127.0.0.1", socket.gethostname()]
    if listen not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names.append(listen)
    return sorted(set(names))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    moment = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(minutes=5))  # clocks of hosts differ
        .not_valid_after(moment + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _still_good(path: Path, wanted: list[str]) -> bool:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    has = [str(value) for kind in (x509.DNSName, x509.IPAddress) for value in names.get_values_for_type(kind)]
    return sorted(has) == wanted and found.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    temporary = path.with_name(path.name + ".writing")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
