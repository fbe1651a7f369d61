"""Another controller as a site: its library, over its API, with a token of its own."""

import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from ...foundation.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable, VerdeltaError
from .. import transfer
from ..tables import Artifact
from ..transfer import Content, ContentFrom
from .port import Place

ANSWER_LIMIT = 4 << 20  # bytes of one answer
PAGE = 1000
_KINDS: dict[int, type[VerdeltaError]] = {404: NotFound, 409: Conflict, 413: TooLarge, 422: InvalidInput}


class ControllerSite:
    """Copies in the library of another controller."""

    def __init__(self, place: Place, source: str) -> None:
        self._remote = _Remote(place)
        self._source = source

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield digest and size of everything whose content it says it has."""
        after = ""
        while page := self._remote.get("library/content", after=after, limit=PAGE):
            for one in page:
                yield str(one["sha256"]), int(one["size"])
            if str(page[-1]["sha256"]) <= after:
                raise Unavailable(f"{self._remote.url} lists the same again and again")
            after = str(page[-1]["sha256"])

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterable[bytes]]:
        """Yield the content."""
        with self._remote.read(f"artifacts/{digest}/content") as (_, pieces):
            yield pieces

    def write(self, artifact: Artifact, read_from: ContentFrom) -> None:
        """Bring a copy in there; broken off, the next call goes on where it stood."""
        content = Content(artifact.digest, artifact.size, artifact.file_name, read_from, self._source)
        transfer.send(self._remote, content)

    def close(self) -> None:
        """Close the connections."""
        self._remote.close()


class _Remote:
    """The API of a controller; what it answers is as little trusted as anything from outside."""

    def __init__(self, place: Place) -> None:
        self.url = _checked(place.location)
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1/",
            headers={"Authorization": f"Bearer {place.secrets.get('token', '')}", "Accept-Encoding": "identity"},
            verify=_trust(place.options.get("ca", "")),
            timeout=httpx.Timeout(60.0, connect=10.0, read=900.0),
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, document: Any = None) -> Any:
        """Send a document and return the answer."""
        return self._ask("POST", path, json=document)

    def upload(self, path: str, chunks: Iterable[bytes], size: int, **query: Any) -> Any:
        """Send bytes as they are read, and return the answer."""
        return self._ask("PUT", path, content=chunks, headers={"Content-Length": str(size)}, params=query)

    @contextmanager
    def read(self, path: str, start: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield where the bytes begin that are answered, and the bytes."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._answer("GET", path, headers=headers) as response:
            begins = start if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            yield begins, response.iter_raw(1 << 20)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, **what: Any) -> Any:
        with self._answer(method, path, **what) as response:
            return _document(response, self.url)

    @contextmanager
    def _answer(self, method: str, path: str, **what: Any) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, path, **what) as response:
                if not response.is_success:
                    raise _refused(response, self.url)
                yield response
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url}: {error or type(error).__name__}") from error


def _document(response: httpx.Response, url: str) -> Any:
    """Return an answer.  Raises Unavailable when it is too large, or no document."""
    body = b""
    for piece in response.iter_raw():
        body += piece
        if len(body) > ANSWER_LIMIT:
            raise Unavailable(f"{url} answers more than {ANSWER_LIMIT} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{url} answers, but is no Verdelta controller") from error


def _refused(response: httpx.Response, url: str) -> VerdeltaError:
    said = _document(response, url)
    words = str(said.get("error", ""))[:300] if isinstance(said, dict) else ""
    kind = _KINDS.get(response.status_code, Unavailable if response.status_code >= 500 else InvalidInput)
    return kind(f"{url} answers {response.status_code}: {words}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.query
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"{url[:100]!r} is no address of a controller", mend="Like https://deploy.example.org:8470")
    if url.startswith("http:") and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise InvalidInput(f"{url}: the token would go over the network for everybody to read", mend="Use https://")
    return url.rstrip("/")


def _trust(ca: str) -> ssl.SSLContext | bool:
    if not ca:
        return True
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput("the CA certificate is none", mend="Give the other controller's STATE/ca.pem") from error
