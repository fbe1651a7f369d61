"""An OpenID provider, asked for who somebody is (OpenID Connect Core 1.0 with Discovery 1.0; code flow with PKCE).

Nothing in an answer is taken before it is checked: its size, where it came from, who signed it, for whom and when.
What an error says has no token, code or secret in it.
"""

import json
import ssl
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

from ..foundation.clock import now
from ..foundation.errors import InvalidInput, NotAllowed, TooLarge, Unavailable
from ..foundation.ids import digest_of_secret
from ..foundation.settings import Settings, is_safe_address

CALLBACK = "/oidc/callback"
ANSWER_LIMIT = 256 << 10  # bytes
PATIENCE = 10.0  # seconds for one whole answer
SILENCE = 5.0  # seconds without a byte
DESCRIPTION_LIFE = 3600.0  # seconds for which what the provider says of itself is believed
BREATH = 5.0  # seconds after a failure in which it is not asked for that again
LEEWAY = 60  # seconds by which its clock may differ
SUBJECT_LIMIT = 255  # ASCII characters (Core, 2)
# Keys of two halves alone: with a shared secret, or none, everybody who knows the public half could sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

Document = Mapping[str, Any]


class Untrusted(NotAllowed):
    """What the provider said is not believed."""


class Provider:
    """The provider that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        self._back = settings.url + CALLBACK
        self._trust = _trust(settings.oidc_ca)
        self._lock = Lock()
        self._description: Document = {}
        self._asks_again = 0.0  # by the monotonic clock

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser is sent to log in.  Raises Unavailable, Untrusted."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        wanted = {
            "response_type": "code",
            "scope": "openid",
            "client_id": self._client_id,
            "redirect_uri": self._back,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = self._described()["authorization_endpoint"]
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(wanted)}"

    def subject(self, code: str, verifier: str, nonce_digest: str) -> str:
        """Return what the provider calls whoever came back with a code.  Raises Unavailable, Untrusted, TooLarge."""
        described = self._described()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": verifier,
        }
        methods = described.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        auth = None
        if self._client_secret and "client_secret_basic" in methods:
            auth = httpx.BasicAuth(quote(self._client_id, safe=""), quote(self._client_secret, safe=""))
        else:
            form["client_id"] = self._client_id
            if self._client_secret:
                form["client_secret"] = self._client_secret
        answer = self._ask("POST", described["token_endpoint"], data=form, auth=auth)
        keys = self._ask("GET", described["jwks_uri"])  # each time: a key that was withdrawn is believed no more
        return self._verified(answer.get("id_token"), keys, nonce_digest)

    def _described(self) -> Document:
        """Return what the provider says of itself, asked for at most once an hour, by one at a time."""
        with self._lock:
            if time.monotonic() < self._asks_again:
                if not self._description:
                    raise Unavailable("the login provider did not answer a moment ago", mend="Try again in a while.")
                return self._description
            self._description, self._asks_again = {}, time.monotonic() + BREATH
            found = self._ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise Untrusted(
                    "the login provider calls itself by another name than the setting oidc_issuer",
                    mend="The two have to be the same, to the last character.",
                )
            for name in ENDPOINTS:
                if not is_safe_address(found.get(name)):
                    raise Untrusted(f"the login provider's {name} is no https:// address")
            self._description, self._asks_again = found, time.monotonic() + DESCRIPTION_LIFE
            return found

    def _ask(self, method: str, url: str, **what: Any) -> Document:
        """Return the document that is answered.  No redirect is followed: what is sent is for this address alone."""
        where, ends = urlsplit(url).hostname, time.monotonic() + PATIENCE
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        content = b""
        try:
            with (
                httpx.Client(verify=self._trust, timeout=SILENCE, follow_redirects=False) as client,
                client.stream(method, url, headers=headers, **what) as response,
            ):
                for piece in response.iter_raw(16 << 10):
                    content += piece
                    if len(content) > ANSWER_LIMIT:
                        raise TooLarge(f"the login provider's answer is larger than {ANSWER_LIMIT >> 10} KiB")
                    if time.monotonic() > ends:
                        raise Unavailable(f"the login provider took longer than {PATIENCE:.0f} seconds to answer")
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the login provider at {where} cannot be reached: {type(error).__name__}",
                mend="Log in with your password meanwhile: verdelta login NAME",
            ) from error
        if response.is_redirect:
            raise Untrusted(f"the login provider at {where} sends us elsewhere, where nothing is sent to")
        if response.is_server_error:
            raise Unavailable(f"the login provider at {where} failed: {response.status_code}")
        if not response.is_success:
            raise Untrusted(f"the login provider at {where} refused: {response.status_code}")
        return _document(content)

    def _verified(self, token: object, keys: Document, nonce_digest: str) -> str:
        """Return the subject of an ID token (Core, 3.1.3.7).  Raises Untrusted."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        if not isinstance(token, str):
            raise Untrusted("the login provider gave no ID token")
        expected = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._client_id},
            "nonce": {"essential": True},
        }
        try:
            registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
            offered = [key for key in keys["keys"] if key.get("kty") != "oct"]  # a whole secret is not published
            read = jwt.decode(token, KeySet.import_key_set({"keys": offered}), ALGORITHMS, registry)
            claims = CodeIDToken(read.claims, read.header, expected, {"client_id": self._client_id})
            claims.validate(int(now().timestamp()), LEEWAY)
        except JoseError as error:
            raise Untrusted(f"the login provider's ID token is not believed: {_reason(error)}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Untrusted(f"the login provider's ID token cannot be read: {type(error).__name__}") from None
        nonce, subject = claims["nonce"], claims["sub"]
        if not isinstance(nonce, str) or digest_of_secret(nonce) != nonce_digest:
            raise Untrusted("the login provider's ID token is not believed: it is not for this login (nonce)")
        if not is_subject(subject):
            raise Untrusted("the login provider's ID token is not believed: its subject is none")
        return str(subject)


def provider_of(settings: Settings) -> Provider | None:
    """Return the provider that the settings name, None where they name none.  Raises InvalidInput."""
    if not settings.oidc_issuer:
        return None
    for name in ("oidc_client_id", "url"):
        if not getattr(settings, name):
            raise InvalidInput(
                f"oidc_issuer is set, but {name} is not", mend=f"Set it: VERDELTA_{name.upper()}, or in verdelta.toml."
            )
    try:
        import authlib.oidc.core  # noqa: F401 - it is needed later, and missed now
        import joserfc  # noqa: F401
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "logins by a provider (oidc_issuer) need authlib, which is not installed",
            mend="pip install verdelta-controller[oidc]",
        ) from error
    return Provider(settings)


def is_subject(text: object) -> bool:
    """Return whether a text can be what a provider calls somebody."""
    return isinstance(text, str) and 0 < len(text) <= SUBJECT_LIMIT and text.isascii() and text.isprintable()


def _reason(error: Exception) -> str:
    """Return what is wrong with a token, in the library's short word for it: its longer ones quote the token."""
    claim = getattr(error, "claim", None)
    return f"{getattr(error, 'error', type(error).__name__)}{f' ({claim})' if isinstance(claim, str) else ''}"


def _document(content: bytes) -> Document:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Untrusted("the login provider's answer is no JSON document")
    return found


def _trust(ca: str) -> ssl.SSLContext:
    """Return whose certificates are believed: those that the system trusts, or a CA of one's own alone."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"setting oidc_ca: {ca}: no CA certificates can be read there") from error
