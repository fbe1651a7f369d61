"""Fetch what a release takes from elsewhere, on the machine of whoever builds it: the controller never fetches.

What has arrived is kept in a cache, by its digest; what broke off goes on where it ended when the source says that it
is still the same (If-Range, RFC 9110 section 13.1.5).

    ~/.cache/verdelta/sha256/<digest>    content, verified at every use
    ~/.cache/verdelta/partial/<name>     what is arriving, and in <name>.validator what tells whether it is still that
"""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import httpx

from ..foundation.errors import InvalidInput, NotFound, TooLarge, Unavailable
from ..library.store import LIMIT
from .folder import File, hashed
from .profile import is_loopback
from .text import plain

TRIES = 4
REDIRECTS = 5
TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds without a byte

_VALIDATOR = re.compile(r'"[\x21\x23-\x7e]{1,200}"|[A-Z][a-z]{2}, [0-9A-Za-z :]{1,40}GMT')
_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")


class Vanished(NotFound):
    """What a component is made of is no longer at its source."""


class _BrokeOff(Exception):
    """The connection ended before everything had come."""


def cache_folder() -> Path:
    """Return where fetched content is kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "verdelta"


def fetch(source: str, name: str, expected: str | None, limit: int = LIMIT) -> File:
    """Return the content of a source as a file of the cache, named `name` in the package.

    Content with the expected digest (SHA-256) is not fetched twice.  Whether what comes has it, the caller checks: the
    one or the other may be right.  Raises InvalidInput, Vanished, TooLarge, Unavailable.
    """
    scheme = check_source(source, pinned=expected is not None)
    cache = cache_folder()
    kept = cache / "sha256" / expected if expected is not None else None
    if kept is not None and kept.is_file():
        file = hashed(name, kept)
        if file.sha256 == expected:
            return file
        kept.unlink()  # damaged: fetched again
    if scheme == "file":
        return _local(source, name, limit)
    return _kept(cache, source, name, limit)


def check_source(source: str, *, pinned: bool) -> str:
    """Return the scheme of a source.  Raises InvalidInput: it has a password in it, or could be exchanged on its way.

    `pinned` says whether the digest is known.
    """
    try:
        parts = urlsplit(source)
        host, userinfo = parts.hostname, "@" in parts.netloc
    except ValueError as error:
        raise InvalidInput(f"{plain(source)}: no URL: {error}") from error
    if userinfo:
        raise InvalidInput(
            "a source has a name or a password in it: it would be in the package for everybody to read",
            mend="Put the file into the release folder, and name it as artifact.",
        )
    if parts.scheme == "file" and (host not in (None, "", "localhost") or not parts.path.startswith("/")):
        raise InvalidInput(f"{plain(source)}: not a file of this machine", mend="Write file:///path/to/it")
    if parts.scheme in ("http", "https") and not host:
        raise InvalidInput(f"{plain(source)}: a URL without a host")
    if parts.scheme == "http" and not pinned and not is_loopback(source):
        raise InvalidInput(
            f"{plain(source)}: anybody on the way could exchange it", mend="Use https://, or give its sha256."
        )
    return parts.scheme


def _local(source: str, name: str, limit: int) -> File:
    path = Path(unquote(urlsplit(source).path))
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise Vanished(f"{name} has vanished from its source {plain(source)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{plain(source)}: not a regular file")
    if status.st_size > limit:
        raise _too_large(source, limit)
    return hashed(name, path)


def _kept(cache: Path, source: str, name: str, limit: int) -> File:
    """Fetch over HTTP into the cache, going on where an earlier try ended."""
    partial = cache / "partial" / hashlib.sha256(source.encode()).hexdigest()
    try:
        for folder in (cache / "sha256", partial.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(partial) as stream:
            _arrive(source, name, stream, partial.with_suffix(".validator"), limit)
            os.fsync(stream.fileno())
            file = hashed(name, partial)
            kept = cache / "sha256" / file.sha256
            partial.replace(kept)
            partial.with_suffix(".validator").unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{cache}: cannot be written: {error.strerror or error}", mend="Make room.") from error
    return file._replace(path=kept)


@contextmanager
def _alone(partial: Path) -> Iterator[BinaryIO]:
    """Open what is arriving, while no other process writes to it."""
    while True:
        with partial.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if partial.exists() and os.path.samestat(partial.stat(), os.fstat(stream.fileno())):
                yield stream
                return


def _arrive(source: str, name: str, stream: BinaryIO, validator: Path, limit: int) -> None:
    with httpx.Client(timeout=TIMEOUT, trust_env=not is_loopback(source)) as client:
        for attempt in range(TRIES):
            try:
                _try(client, source, name, stream, validator, limit)
                return
            except (httpx.TransportError, _BrokeOff) as error:
                if attempt == TRIES - 1:
                    raise Unavailable(
                        f"{plain(source)} cannot be fetched: {plain(error) or type(error).__name__}",
                        mend="Build again: what has come already is kept.",
                    ) from error


def _try(client: httpx.Client, source: str, name: str, stream: BinaryIO, validator: Path, limit: int) -> None:
    have = stream.seek(0, os.SEEK_END)
    known = validator.read_text() if have and validator.exists() else ""
    headers = {"Accept-Encoding": "identity"}
    if known:
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    with _answer(client, source, headers) as response:
        start = _start(response, have if known else 0)
        if start is None:  # the end was reached, or the source is another one: from the beginning
            validator.unlink(missing_ok=True)
            raise _BrokeOff("the source has changed while it was fetched")
        _check(response, source, name)
        stream.truncate(start)
        if start == 0:
            _remember(response, validator)
        _copy(response, source, stream, start, limit)


@contextmanager
def _answer(client: httpx.Client, source: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Ask, and follow where it leads, but never from https to http."""
    url = httpx.URL(source)
    for _ in range(REDIRECTS + 1):
        with client.stream("GET", url, headers=headers) as response:
            if not response.has_redirect_location:
                yield response
                return
            following = url.join(response.headers["location"])
        if following.scheme not in ("https", url.scheme) or following.scheme not in ("http", "https"):
            raise InvalidInput(f"{plain(source)} leads to {plain(following)}, which is not safe to fetch from")
        url = following
    raise InvalidInput(f"{plain(source)} leads from one address to another, more than {REDIRECTS} times")


def _start(response: httpx.Response, asked: int) -> int | None:
    """Return at which byte the answer begins, or None when it does not go on from the one that was asked for."""
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return None
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    match = _RANGE.fullmatch(response.headers.get("content-range", ""))
    return asked if match and int(match[1]) == asked else None


def _check(response: httpx.Response, source: str, name: str) -> None:
    if response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise Vanished(
            f"{name} has vanished from its source {plain(source)} ({response.status_code})",
            mend="Put the file into the release folder as artifact, or give another source.",
        )
    if not response.is_success:
        raise Unavailable(f"{plain(source)} answered {response.status_code} {plain(response.reason_phrase)}")


def _remember(response: httpx.Response, validator: Path) -> None:
    """Keep what tells whether the source is still the same; a weak ETag does not."""
    said = response.headers.get("etag") or response.headers.get("last-modified") or ""
    if _VALIDATOR.fullmatch(said):
        validator.write_text(said)
    else:
        validator.unlink(missing_ok=True)


def _copy(response: httpx.Response, source: str, stream: BinaryIO, start: int, limit: int) -> None:
    size = start
    for chunk in response.iter_raw():  # as it comes: what is gathered first is lost when the connection ends
        size += len(chunk)
        if size > limit:
            stream.truncate(0)
            raise _too_large(source, limit)
        stream.write(chunk)
    stream.flush()


def _too_large(source: str, limit: int) -> TooLarge:
    return TooLarge(f"{plain(source)}: larger than {limit} bytes")
