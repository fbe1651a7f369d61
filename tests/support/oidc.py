"""An OpenID provider on a socket, with one client; what it answers and signs can be made as wrong as a test wants it.

https://openid.net/specs/openid-connect-core-1_0.html (code flow) with PKCE (RFC 7636), which it insists on.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from joserfc import jws
from joserfc.jwk import RSAKey

CLIENT, SECRET = "verdelta", "the secret/of the:client"  # with what has to be escaped in it
BACK = "https://deploy.example.org:8470/oidc/callback"


@dataclass(frozen=True)
class Answer:
    """An answer to be given in the place of the right one."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Issuer(ThreadingHTTPServer):
    """The provider.  `codes` are those that are open, `asked` the paths in the order in which they were asked for."""

    daemon_threads = True

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_address[1]}"
        self.key = _first_key()
        self.published: list[dict[str, Any]] = [public(self.key)]
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.instead: dict[str, Answer] = {}  # by path
        self.claims: dict[str, Any] = {}  # that are different in the next tokens; None leaves one out
        self.sign: Callable[[bytes], str] = self.signed
        self.description: dict[str, Any] = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
        }

    def log_in(self, address: str, subject: str) -> dict[str, str]:
        """Return what a browser brings back after somebody has logged in at an address."""
        said = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert said["response_type"] == "code" and said["client_id"] == CLIENT and said["redirect_uri"] == BACK
        assert said["scope"] == "openid" and said["code_challenge_method"] == "S256"
        code = secrets.token_hex(16)
        self.codes[code] = {**said, "sub": subject}
        return {"state": said["state"], "code": code}

    def signed(self, payload: bytes) -> str:
        """Return a token as it should be."""
        return jws.serialize_compact({"alg": "RS256", "kid": self.key.kid}, payload, self.key, ["RS256"])

    def token(self, begun: dict[str, str]) -> str:
        """Return an ID token for who logged in."""
        at = int(time.time())
        right = {"iss": self.url, "aud": CLIENT, "sub": begun["sub"], "nonce": begun["nonce"], "iat": at}
        claims = {**right, "exp": at + 300, "email": "alice@example.org", **self.claims}
        return self.sign(json.dumps({name: value for name, value in claims.items() if value is not None}).encode())

    def exchange(self, form: dict[str, str], authorization: str) -> Answer:
        """Return the token for a code, which works once."""
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        begun = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (unquote(name), unquote(secret)) != (CLIENT, SECRET):
            return Answer(401, b'{"error": "invalid_client"}')
        if (
            begun is None
            or form["redirect_uri"] != begun["redirect_uri"]
            or base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != begun["code_challenge"]
        ):
            return Answer(400, b'{"error": "invalid_grant"}')
        return _json({"access_token": "at-secret", "token_type": "Bearer", "id_token": self.token(begun)})


def new_key(name: str) -> RSAKey:
    """Return a new key to sign tokens with."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@cache
def _first_key() -> RSAKey:
    """Return the key that every provider begins with; to make one takes a while."""
    return new_key("first")


def public(key: RSAKey) -> dict[str, Any]:
    """Return the half of a key that is published."""
    return dict(key.as_dict(private=False))


@contextmanager
def an_issuer(tls: tuple[Path, Path] | None = None) -> Iterator[Issuer]:
    """Yield a provider that runs until the block ends; with a certificate and its key it speaks TLS."""
    server = Issuer(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        """Answer with the description or the keys."""
        known = {"/.well-known/openid-configuration": self.server.description, "/keys": {"keys": self.server.published}}
        self._answer(lambda: _json(known[self.path]) if self.path in known else Answer(404, b"{}"))

    def do_POST(self) -> None:
        """Answer with a token."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(lambda: self.server.exchange(form, self.headers.get("Authorization", "")))

    def _answer(self, right: Callable[[], Answer]) -> None:
        self.server.asked.append(self.path)
        answer = self.server.instead.get(self.path) or right()
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # who asked may have heard enough
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _json(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})
