"""The HTTP client of the API: one method a verb; what the controller refuses comes back as the error that it was."""

import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ..foundation.errors import (
    Conflict,
    GateClosed,
    InvalidInput,
    NotAllowed,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    VerdeltaError,
)
from .profile import Access, is_loopback

TIMEOUT = 60.0  # seconds without a byte
SHORT = 3.0  # seconds for what can be done without
LARGE = 900.0  # seconds for the controller to take a large artifact in, or to make a large file

_ERRORS: dict[int, type[VerdeltaError]] = {
    kind.exit_code: kind for kind in (VerdeltaError, InvalidInput, NotAllowed, GateClosed, TimedOut)
}
_BY_STATUS: dict[int, type[VerdeltaError]] = {
    kind.http_status: kind for kind in (NotFound, Conflict, TooLarge, Unavailable)
}


class Api:
    """One controller, asked as one token's holder.  Safe to use from several threads."""

    def __init__(self, access: Access, transport: httpx.BaseTransport | None = None, patience: float = TIMEOUT) -> None:
        self.url = access.url
        self._client = httpx.Client(
            base_url=f"{access.url}/api/v1/",
            headers={"Authorization": f"Bearer {access.token}"} if access.token else {},
            verify=_trust(access),
            timeout=httpx.Timeout(patience, connect=10.0),
            trust_env=not is_loopback(access.url),
            transport=transport,
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path.  Raises VerdeltaError as the controller said it, Unavailable, TimedOut."""
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def glance(self, path: str) -> Any:
        """Return what is at a path, if that takes no time.  Raises as `get`."""
        return self._ask("GET", path, timeout=httpx.Timeout(SHORT))

    def fetch(self, path: str) -> bytes:
        """Return what is at a path, byte for byte.  Raises as `get`."""
        return self._exchange("GET", path, timeout=httpx.Timeout(TIMEOUT, read=LARGE)).content

    def post(self, path: str, document: Any = None, patience: float = TIMEOUT) -> Any:
        """Send a document and return the answer.  Raises as `get`."""
        return self._ask("POST", path, json=document, timeout=httpx.Timeout(patience, connect=10.0))

    def put(self, path: str, document: Any) -> Any:
        """Send a document in another's place and return the answer.  Raises as `get`."""
        return self._ask("PUT", path, json=document)

    def patch(self, path: str, document: Any) -> Any:
        """Send what is to be different and return the answer.  Raises as `get`."""
        return self._ask("PATCH", path, json=document)

    def delete(self, path: str) -> None:
        """Remove what is at a path.  Raises as `get`."""
        self._ask("DELETE", path)

    def upload(self, path: str, chunks: Iterable[bytes], size: int, **query: Any) -> Any:
        """Send bytes as they are read, and return the answer.  Raises as `get`."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        return self._ask(
            "PUT", path, content=chunks, headers=headers, params=query, timeout=httpx.Timeout(TIMEOUT, read=LARGE)
        )

    def send(self, path: str, content: bytes) -> Any:
        """Send some bytes and return the answer.  Raises as `get`."""
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask("POST", path, content=content, headers=headers, timeout=httpx.Timeout(TIMEOUT, read=LARGE))

    @contextmanager
    def read(self, path: str, start: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield where the bytes begin that are answered (at `start`, or at 0), and the bytes.  Raises as `stream`."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        timeout = httpx.Timeout(TIMEOUT, read=LARGE)
        try:
            with self._client.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                    raise _refused(response, self.url)
                begins = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
                yield begins, response.iter_bytes(1 << 20)
        except httpx.HTTPError as error:
            raise _unreached(error, self.url) from error

    def stream(self, path: str, silence: float = TIMEOUT) -> Iterator[Any]:
        """Yield the documents of a stream of server-sent events, until the controller ends it.

        `silence` is how many seconds nothing may come.  Raises as `get`; Unavailable also when the stream breaks off.
        """
        try:
            with self._client.stream("GET", path, timeout=httpx.Timeout(silence, connect=10.0)) as response:
                if response.is_error:
                    response.read()
                    raise _refused(response, self.url)
                yield from events(lines_of(response.iter_bytes()))
        except httpx.HTTPError as error:
            raise _unreached(error, self.url) from error

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        response = self._exchange(method, path, **what)
        return _document(response, self.url) if response.content else None

    def _exchange(self, method: str, path: str, **what: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **what)
        except httpx.HTTPError as error:
            raise _unreached(error, self.url) from error
        if not response.is_success:
            raise _refused(response, self.url)
        return response


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream.  A line ends at a line feed alone: in a document of a host, anything may stand."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def events(lines: Iterable[str]) -> Iterator[Any]:
    """Yield the documents of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    data: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []


def _trust(access: Access) -> ssl.SSLContext | bool:
    if not access.ca or not access.url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=access.ca)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"{access.ca}: not a CA certificate that can be read: {error}",
            mend="Give the controller's: --ca STATE/ca.pem",
        ) from error


def _document(response: httpx.Response, url: str) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Unavailable(
            f"{url} answers, but is no Verdelta controller", mend="Give the controller's address: --url"
        ) from error


def _refused(response: httpx.Response, url: str) -> VerdeltaError:
    """Return what the controller said as the error that it was there, with its exit code."""
    if response.is_redirect:
        return InvalidInput(f"{url} leads elsewhere: {response.headers.get('location', '')}", mend="Give that: --url")
    said = _document(response, url)
    if not isinstance(said, dict) or "error" not in said:
        return VerdeltaError(f"{url} answered {response.status_code} {response.reason_phrase} to {response.url.path}")
    mend = said.get("mend")
    code = said.get("exit_code", 1)
    kind = _BY_STATUS.get(response.status_code)
    if kind is None or kind.exit_code != code:
        kind = _ERRORS.get(code, VerdeltaError)
    return kind(str(said["error"]), mend=mend)


def _unreached(error: httpx.HTTPError, url: str) -> VerdeltaError:
    """Return why there was no answer, and the mend."""
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE" in str(error):
        return Unavailable(
            f"{url}: its certificate is not trusted: {error}", mend="Give the controller's CA: --ca STATE/ca.pem"
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        mend = "Start it: verdelta serve" if is_loopback(url) else "Does it run there, and is the address right? --url"
        return Unavailable(f"no controller answers at {url}", mend=mend)
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"{url} did not answer in time", mend="Ask again; verdelta doctor looks for the cause.")
    return Unavailable(f"{url}: the connection ended: {error or type(error).__name__}", mend="Ask again.")
