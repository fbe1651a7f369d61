"""An S3-compatible object store as a site, through obstore (extra object-storage).

An object is there when all of it was sent: what is broken off is not.  What the provider keeps of multipart uploads
that were broken off by a kill goes by a rule of the bucket (AbortIncompleteMultipartUpload).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...foundation.errors import InvalidInput, NotFound, Unavailable
from ..tables import Artifact
from ..transfer import ContentFrom
from .port import Place

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE = 8 << 20  # bytes of one part of an upload: 10,000 of them are the most that S3 takes
AT_ONCE = 2  # parts on their way at the same time, each of them in memory


class ObjectStoreSite:
    """Copies as objects sha256/ab/abcdef… below a prefix."""

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of every object."""
        with _errors_wrapped():
            for objects in self._store.list("sha256", chunk_size=1000):
                for found in objects:
                    name = found["path"].rpartition("/")[2]
                    yield name if found["path"] == _key(name) else found["path"], found["size"]

    @contextmanager
    def read(self, digest: str) -> Iterator[Iterable[bytes]]:
        """Yield the content."""
        with _errors_wrapped():
            yield (bytes(piece) for piece in self._store.get(_key(digest)).stream(1 << 20))

    def write(self, artifact: Artifact, read_from: ContentFrom) -> None:
        """Send a copy, in parts where it is large."""
        with read_from(0) as pieces, _errors_wrapped():
            parted = artifact.size > PIECE
            body: Any = iter(pieces) if parted else b"".join(pieces)
            self._store.put(
                _key(artifact.digest), body, use_multipart=parted, chunk_size=PIECE, max_concurrency=AT_ONCE
            )

    def close(self) -> None:
        """Hold nothing open between two calls."""


def connect(place: Place) -> ObjectStoreSite:
    """Return the site at s3://bucket/prefix.  Raises InvalidInput."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "object stores need obstore, which is not installed", mend="pip install verdelta-controller[object-storage]"
        ) from error
    parts = urlsplit(place.location)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise InvalidInput(f"{place.location[:100]!r} is no bucket", mend="Write it like s3://bucket/prefix")
    endpoint = place.options.get("endpoint", "")
    if "@" in endpoint:
        raise InvalidInput("the endpoint has a name or a password in it", mend="Give them as the keys of the store.")
    settings: dict[str, Any] = {
        "region": place.options.get("region") or "us-east-1",
        "access_key_id": place.secrets.get("access_key", ""),
        "secret_access_key": place.secrets.get("secret", ""),
        **({"endpoint": endpoint} if endpoint else {}),
    }
    try:
        return ObjectStoreSite(
            S3Store(
                parts.netloc,
                prefix=parts.path.strip("/") or None,
                client_options={"allow_http": _is_loopback(endpoint), "timeout": "60s", "connect_timeout": "10s"},
                retry_config={"max_retries": 3},
                **settings,
            )
        )
    except BaseError as error:
        raise InvalidInput(f"{place.location}: {_said(error)}") from error


@contextmanager
def _errors_wrapped() -> Iterator[None]:
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise NotFound("the object store has no such object") from error
    except BaseError as error:
        raise Unavailable(f"the object store: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return the first line of what obstore says, without its inner state: requests have signatures in them."""
    return str(error).strip().partition("\n")[0][:200]


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")


def _key(digest: str) -> str:
    return f"sha256/{digest[:2]}/{digest}"
