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
from cryptography.exceptions import InvalidSignature
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
    """Return the CA certificate's path, made now together with its key where there is none.

    Its key is written first: where the certificate is, the key is, too.
    """
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
    """Return the paths of a server certificate for these names or addresses, and of its key; renewed when it is due.

    Raises InvalidInput for a name that no certificate can have, and for a CA that is not whole.
    """
    wanted = [_name(name) for name in sorted(set(names))]
    certificate, key_path = state / "server.pem", state / "server.key"
    ca, ca_key = _load_ca(state)
    if not _is_good(certificate, key_path, ca, wanted):
        key = ec.generate_private_key(ec.SECP256R1())
        built = _sign_server(key.public_key(), wanted, ca, ca_key)
        _write(key_path, _private(key))
        _write(certificate, built.public_bytes(Encoding.PEM), 0o644)
    return certificate, key_path


def _load_ca(state: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = ensure_ca(state)
    try:
        ca = x509.load_pem_x509_certificate(certificate.read_bytes())
        key = _load_key(state / "ca.key")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{state}: the CA is not whole: {error}", mend="Restore ca.pem and ca.key.") from error
    if key.public_key() != ca.public_key():
        raise InvalidInput(f"{state / 'ca.key'} is not the key of {certificate}", mend="Restore ca.pem and ca.key.")
    return ca, key


def _sign_server(
    public_key: ec.EllipticCurvePublicKey,
    names: list[x509.GeneralName],
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Verdelta controller")])
    return (
        _builder(subject, ca.subject, public_key, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def names_for(listen: str) -> list[str]:
    """Return the names and addresses under which a controller that listens there can be reached."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
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
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} cannot stand in a certificate", mend="Give the name in its xn-- form.") from error


def _is_good(certificate: Path, key_path: Path, ca: x509.Certificate, wanted: list[x509.GeneralName]) -> bool:
    """Return whether a certificate is of this CA and key, for exactly these names, and not due for renewal."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        found.verify_directly_issued_by(ca)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        same = set(names) == set(wanted) and _load_key(key_path).public_key() == found.public_key()
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False  # whatever it is, it is made anew
    return same and found.not_valid_after_utc - datetime.now(UTC) > RENEW_BEFORE


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} is not the key that this controller made")
    return key


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
