"""Static files under addresses that name their content, so that a browser may keep them for as long as it likes.

They are few and small: read once, and compressed once, when the application starts.
"""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..access.http import open_to_all

MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Return every static file by its path."""
    return dict(_read(files(__package__) / "static", ""))


def address(path: str) -> str:
    """Return the address of a static file.  Raises KeyError where there is none."""
    return f"/static/{assets()[path].digest}/{path}"


@open_to_all("the page to log in at is drawn with them")
async def serve(request: Request) -> Response:
    """Answer with a static file, under the address of its present content only."""
    asset = assets().get(request.path_params["path"])
    if asset is None or asset.digest != request.path_params["digest"]:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.content, headers=headers, media_type=asset.media_type)
    return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)


route = Route("/static/{digest}/{path:path}", serve)


def _read(directory: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in directory.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif media_type := MEDIA_TYPES.get(entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found.append((prefix + entry.name, Asset(content, gzip.compress(content, mtime=0), media_type, digest)))
    return found
