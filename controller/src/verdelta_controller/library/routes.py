"""Artifacts over HTTP: streamed in, never held whole in memory."""

from typing import Annotated

import anyio.from_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ..access.http import BuildsReleases, Reads
from ..foundation.schema import Moment
from .service import LibraryService
from .tables import Artifact

router = APIRouter(prefix="/api/v1", tags=["library"])


def _service(request: Request) -> LibraryService:
    service: LibraryService = request.app.state.services.library
    return service


Library = Annotated[LibraryService, Depends(_service)]


class ArtifactView(BaseModel):
    """A file in the library."""

    sha256: str = Field(examples=["9f2c…e1"])
    size: int = Field(examples=[10240], description="bytes")
    file_name: str = Field(examples=["labapp_1.1_all.deb"])
    added_at: Moment
    added_by: str = Field(examples=["ci"])


class _Body:
    """A request's body as a file that a worker thread reads while the event loop receives."""

    def __init__(self, request: Request) -> None:
        self._chunks = request.stream()
        self._left = b""

    def read(self, size: int, /) -> bytes:
        while not self._left:
            try:
                self._left = anyio.from_thread.run(anext, self._chunks)
            except StopAsyncIteration:
                return b""
        piece, self._left = self._left[:size], self._left[size:]
        return piece


@router.put("/artifacts/{file_name}", status_code=201)
async def bring_in(
    file_name: str,
    request: Request,
    actor: BuildsReleases,
    library: Library,
    sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
) -> ArtifactView:
    """Take a file into the library; with `sha256`, only if that is what it has."""
    stored = await run_in_threadpool(library.bring_in, _Body(request), file_name, sha256, actor.name)
    return _view(stored)


@router.get("/artifacts")
def list_artifacts(actor: Reads, library: Library) -> list[ArtifactView]:
    """Return everything in the library, the newest first."""
    return [_view(artifact) for artifact in library.artifacts()]


@router.get("/artifacts/{digest}/description")
def describe(digest: str, actor: Reads, library: Library) -> ArtifactView:
    """Return what is known of one artifact."""
    return _view(library.artifact(digest))


def _view(artifact: Artifact) -> ArtifactView:
    return ArtifactView(
        sha256=artifact.digest,
        size=artifact.size,
        file_name=artifact.file_name,
        added_at=artifact.added_at,
        added_by=artifact.added_by,
    )
