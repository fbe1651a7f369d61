"""The controller's own CA: what it signs is what every TLS library accepts, for the names asked for and no others."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509

from verdelta_agent.report import ReportError, post
from verdelta_controller.foundation import certificates
from verdelta_controller.foundation.certificates import ensure_ca, ensure_server, names_for
from verdelta_controller.foundation.errors import InvalidInput

NAMES = ["localhost", "127.0.0.1", "::1", "deploy.example.org"]


class Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"accepted": "yes"}')

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(certificate: Path, key: Path) -> Iterator[HTTPServer]:
    """Yield an HTTPS server on loopback; `taken` has the paths of what it was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), Accepting)
    server.taken = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that go away are what is tested
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def strict(ca: Path) -> ssl.SSLContext:
    """Return what the newest Pythons check by default."""
    context = ssl.create_default_context(cafile=str(ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def connect(port: int, name: str, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        return tls.version() or ""


def expiry(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize(
    "check",
    [
        ["-purpose", "sslserver", "-x509_strict"],
        *(["-verify_hostname", name] for name in ("localhost", "deploy.example.org")),
        *(["-verify_ip", address] for address in ("127.0.0.1", "::1")),
    ],
)
def test_openssl_verifies_the_chain_for_every_name_and_address(tmp_path, check):
    certificate, _ = ensure_server(tmp_path, NAMES)
    command = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), *check, str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize(
    "check", [["-verify_hostname", "evil.example.org"], ["-verify_ip", "127.0.0.2"], ["-purpose", "sslclient"]]
)
def test_openssl_verifies_it_for_nothing_else(tmp_path, check):
    certificate, _ = ensure_server(tmp_path, NAMES)
    command = ["openssl", "verify", "-CAfile", str(tmp_path / "ca.pem"), *check, str(certificate)]
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_python_speaks_to_every_name_and_address_and_to_no_other(tmp_path):
    with serving(*ensure_server(tmp_path, NAMES)) as server:
        for name in NAMES:
            assert connect(server.server_port, name, strict(tmp_path / "ca.pem")).startswith("TLSv1.")
        for name in ("evil.example.org", "127.0.0.2", "a.deploy.example.org"):
            with pytest.raises(ssl.SSLCertVerificationError):
                connect(server.server_port, name, strict(tmp_path / "ca.pem"))


def test_an_agent_sends_nothing_to_a_server_of_another_ca(tmp_path):
    ours, other = tmp_path / "ours", tmp_path / "other"
    for state in (ours, other):
        state.mkdir()
        ensure_server(state, NAMES)
    with serving(other / "server.pem", other / "server.key") as server:
        url = f"https://127.0.0.1:{server.server_port}"
        assert post(url, "/agent/v1/enrol", b"{}", str(other / "ca.pem"))
        for ca in (str(ours / "ca.pem"), None):  # None: the CAs of the system
            with pytest.raises(ReportError, match="certificate verify failed"):
                post(url, "/agent/v1/messages", b"secret", ca)
        assert server.taken == ["/agent/v1/enrol"]  # type: ignore[attr-defined]


def test_keys_are_for_their_owner_alone(tmp_path):
    ensure_server(tmp_path, NAMES)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o644, "server.key": 0o600}


def test_a_good_certificate_stays_as_it_is_whatever_the_order_of_the_names(tmp_path):
    certificate, key = ensure_server(tmp_path, NAMES)
    before = certificate.read_bytes(), key.read_bytes(), (tmp_path / "ca.pem").read_bytes()
    ensure_server(tmp_path, [*reversed(NAMES), *NAMES])
    assert (certificate.read_bytes(), key.read_bytes(), (tmp_path / "ca.pem").read_bytes()) == before


def test_a_certificate_is_renewed_a_month_before_it_ends_and_the_ca_stays(tmp_path, monkeypatch):
    certificate, _ = ensure_server(tmp_path, NAMES)
    first, ca = expiry(certificate), (tmp_path / "ca.pem").read_bytes()
    later = [first - timedelta(days=31)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return later[0]

    monkeypatch.setattr(certificates, "datetime", Clock)
    ensure_server(tmp_path, NAMES)
    assert expiry(certificate) == first
    later[0] += timedelta(days=1, seconds=1)
    ensure_server(tmp_path, NAMES)
    assert expiry(certificate) > first and (tmp_path / "ca.pem").read_bytes() == ca


def test_other_names_get_another_certificate(tmp_path):
    certificate, _ = ensure_server(tmp_path, NAMES)
    before = certificate.read_bytes()
    ensure_server(tmp_path, NAMES[:-1])
    assert certificate.read_bytes() != before


@pytest.mark.parametrize(
    "damage", ["another key", "no key", "half a key", "half a certificate", "no certificate", "another ca"]
)
def test_a_certificate_that_cannot_be_served_with_is_made_anew(tmp_path, damage):
    certificate, key = ensure_server(tmp_path, NAMES)
    other = tmp_path / "other"
    other.mkdir()
    ensure_server(other, NAMES)
    if damage == "another key":
        shutil.copy(other / "server.key", key)
    elif damage == "another ca":
        for name in ("ca.pem", "ca.key"):
            shutil.copy(other / name, tmp_path / name)
    else:
        path = key if damage.endswith("key") else certificate
        path.write_bytes(path.read_bytes()[:100]) if damage.startswith("half") else path.unlink()
    with serving(*ensure_server(tmp_path, NAMES)) as server:
        assert connect(server.server_port, "localhost", strict(tmp_path / "ca.pem"))


@pytest.mark.parametrize("damage", ["no key", "another key", "half a key", "half a certificate"])
def test_a_ca_that_is_not_whole_is_not_replaced_in_silence(tmp_path, damage):
    ensure_ca(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    ensure_ca(other)
    if damage == "another key":
        shutil.copy(other / "ca.key", tmp_path / "ca.key")
    elif damage == "no key":
        (tmp_path / "ca.key").unlink()
    else:
        path = tmp_path / ("ca.key" if damage.endswith("key") else "ca.pem")
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInput, match=r"the CA is not whole|is not the key of") as refused:
        ensure_server(tmp_path, NAMES)
    assert "Restore ca.pem and ca.key" in str(refused.value)
    assert not (tmp_path / "server.pem").exists()


def test_a_ca_that_was_killed_while_it_was_made_is_made_again(tmp_path):
    ensure_ca(tmp_path)
    (tmp_path / "ca.pem").unlink()  # its key is written first
    (tmp_path / "ca.pem.writing").write_text("half")
    assert ensure_ca(tmp_path).exists()
    ensure_server(tmp_path, NAMES)


@pytest.mark.parametrize("name", ["m\N{LATIN SMALL LETTER U WITH DIAERESIS}nchen.example.org", "\ud800"])
def test_a_name_that_no_certificate_can_have_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="cannot stand in a certificate"):
        ensure_server(tmp_path, [name])


def test_a_controller_is_reached_by_loopback_by_its_name_and_where_it_listens():
    everywhere = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
    assert set(names_for("0.0.0.0")) == set(names_for("::")) == everywhere
    assert set(names_for("192.0.2.1")) == everywhere | {"192.0.2.1"}


def test_the_ca_lasts_and_signs_servers_alone(tmp_path):
    ca = x509.load_pem_x509_certificate(ensure_ca(tmp_path).read_bytes())
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    assert ca.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3600)
    certificate, _ = ensure_server(tmp_path, NAMES)
    server = x509.load_pem_x509_certificate(certificate.read_bytes())
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert expiry(certificate) - datetime.now(UTC) < timedelta(days=398)
