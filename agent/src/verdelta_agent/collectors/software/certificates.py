"""X.509 certificates that services of this host show or trust.

Sources of the format: RFC 7468 (PEM), RFC 5280 (der.py).

Looked for in the usual places (PLACES) and below the watched paths but /etc, in files whose name ends like that of a
certificate; private keys are never read for what they are.  What ca-certificates and its like bring is one row a store.
"""

import base64
import binascii
import hashlib
import re
from typing import Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.files import foreign, read_mounts
from .der import parse

PLACES = (
    (
        "/etc/ssl",
        "/etc/pki/tls",
        "/etc/pki/ca-trust/source",
        "/etc/pki/trust/anchors",
        "/usr/local/share/ca-certificates",
    )
    + (
        "/etc/letsencrypt/live",
        "/var/lib/acme",
        "/etc/nginx",
        "/etc/apache2",
        "/etc/httpd",
        "/etc/haproxy",
        "/etc/caddy",
    )
    + ("/etc/postfix", "/etc/dovecot", "/etc/exim4", "/etc/ldap", "/etc/openldap", "/etc/docker/certs.d", "/etc/etcd")
    + ("/etc/kubernetes/pki", "/var/lib/kubelet/pki", "/etc/openvpn", "/etc/ipsec.d", "/etc/swanctl", "/etc/stunnel")
    + ("/etc/cockpit/ws-certs.d", "/etc/mysql", "/etc/postgresql", "/etc/rabbitmq", "/etc/puppetlabs/puppet/ssl/certs")
)
STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
TRUSTED = ("/etc/ssl/certs", "/etc/pki/tls/certs")  # links here are what a store is made of, in another shape
ENDINGS = (".pem", ".crt", ".cer", ".cert", ".der")
SIZE = 1 << 20  # bytes of one file
DEPTH = 6
ENTRIES = 20000  # of all folders together
BUNDLE = 16  # certificates in one file; of more, the file is one row
BLOCK = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.*?)-----END", re.DOTALL)


class _TooMany(Exception):
    pass


def collect(host: Host) -> Section:
    """Absent where there is no certificate; partial where a file cannot be read or is none."""
    reader = Reader(host)
    rows: Rows = {}
    bad: List[str] = []
    for path in _paths(reader):
        content = reader.bytes(path, SIZE)
        if content is not None:
            rows.update(of_file(printable(path), content, bad))
    for path in STORES:
        content = reader.bytes(path, 4 * SIZE)
        if content is not None:
            rows["store %s" % path] = _store(content)
    if not rows and not reader.problems and not bad:
        return absent("there is no certificate in the usual places")
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


def _paths(reader: Reader) -> Iterator[str]:
    """Yield the files that may hold certificates, in order."""
    left = ENTRIES
    host = reader.host
    mounts = read_mounts(host)
    near = [place for place in PLACES + _watched(host) if foreign(place, mounts) is None]  # a dead server would hang
    pending = [(place, DEPTH) for place in reversed(near) if host.exists(place)]
    seen = set()
    while pending:
        path, depth = pending.pop()
        if path in seen or path in STORES or (path in mounts and foreign(path, mounts)):
            continue
        seen.add(path)
        left -= 1
        if left < 0:
            reader.problem("the rest", "more than %d files and folders" % ENTRIES)
            return
        kind = _kind(reader, path)
        if kind == "file" and path.endswith(ENDINGS):
            yield path
        elif kind == "directory" and depth:
            names = [name for name in reader.names(path) if path not in TRUSTED or name.endswith(ENDINGS)]
            pending += [("%s/%s" % (path, name), depth - 1) for name in reversed(names)]


def _watched(host: Host) -> Tuple[str, ...]:
    """Return the watched paths but /etc, whose usual places are enough: looking at every file there costs too much."""
    return tuple(path for path in host.watched if path.rstrip("/") != "/etc")


def _kind(reader: Reader, path: str) -> Optional[str]:
    """Return what a path is; of a link to a file (Let's Encrypt's) what it leads to."""
    try:
        kind = reader.host.lstat(path).kind
        if kind == "symlink" and path.endswith(ENDINGS) and path.rpartition("/")[0] not in TRUSTED:
            return reader.host.lstat(reader.host.resolve(path)).kind
        return kind
    except OSError:
        return None


def of_file(path: str, content: bytes, bad: List[str]) -> Rows:
    """Return the rows of the certificates in a file; what is none is added to `bad`."""
    blocks = list(_blocks(content))
    if len(blocks) > BUNDLE:
        return {"store %s" % path: _store(content)}
    rows: Rows = {}
    for number, block in enumerate(blocks, 1):
        try:
            rows[path if number == 1 else "%s #%d" % (path, number)] = _row(block)
        except ValueError as error:
            bad.append("%s #%d (%s)" % (path, number, error))
    return rows


def _blocks(content: bytes) -> Iterator[bytes]:
    if content[:1] == b"\x30" and b"-----" not in content:
        yield content
        return
    for block in BLOCK.findall(content):
        try:
            yield base64.b64decode(b"".join(block.split()), validate=True)
        except binascii.Error:
            yield b""


def _row(data: bytes) -> Row:
    found = parse(data)
    return {
        "subject": found.subject,
        "issuer": found.issuer,
        "serial": found.serial,
        "not_before": found.not_before,
        "not_after": found.not_after,
        "key": found.key,
        "names": found.names,
        "authority": found.is_authority,
        "fingerprint": hashlib.sha256(data).hexdigest(),
    }


def _store(content: bytes) -> Row:
    digests = sorted({hashlib.sha256(block).digest() for block in _blocks(content)})
    return {"certificates": len(digests), "digest": hashlib.sha256(b"".join(digests)).hexdigest()}


COLLECTOR = Collector(
    "software.certificates",
    key='path of the file, with " #2" for the second certificate in it; "store" and path for a bundle',
    collect=collect,
    deadline=15,
    fields={
        "subject": "whose it is",
        "issuer": "who signed it",
        "serial": "serial number, hexadecimal",
        "not_before": "from when on it is valid",
        "not_after": "until when it is valid",
        "key": "kind and size of the key: RSA 2048, EC P-256, Ed25519",
        "names": "alternative names: of DNS, mail, addresses, sorted",
        "authority": "whether it may sign others",
        "fingerprint": "SHA-256 of the certificate",
        "certificates": "of a store: how many different ones are in it",
        "digest": "of a store: over the digests of its certificates, whatever their order",
    },
)
