"""Artifacts over HTTP: streamed in and out, never held whole in memory."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import anyio.from_thread
import structlog
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from ..access.http import Reads, Records
from ..foundation.errors import InvalidInput
from ..foundation.schema import Moment
from .rules import Origin
from .service import LibraryService
from .store import CHUNK, ContentDamaged, StoreUnavailable, VerifyingReader
from .tables import Artifact, LibraryTask
from .tasks import Tasks
from .uploading import Standing, UploadService

router = APIRouter(prefix="/api/v1", tags=["library"])

log = structlog.get_logger()

_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")


def _service(request: Request) -> LibraryService:
    service: LibraryService = request.app.state.services.library
    return service


def _uploading(request: Request) -> UploadService:
    service: UploadService = request.app.state.services.uploads
    return service


def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.services.library_tasks
    return tasks


Library = Annotated[LibraryService, Depends(_service)]
Uploading = Annotated[UploadService, Depends(_uploading)]
TheTasks = Annotated[Tasks, Depends(_tasks)]
Digest = Annotated[str, Query(pattern="^[0-9a-f]{64}$")]


class RangeNotThere(InvalidInput):
    """The content has no such bytes."""

    http_status = 416


class ArtifactView(BaseModel):
    """A file in the library."""

    sha256: str = Field(examples=["9f2c…e1"])
    size: int = Field(examples=[10240], description="bytes")
    file_name: str = Field(examples=["labapp_1.1_all.deb"])
    added_at: Moment
    added_by: str = Field(examples=["ci"])
    archived_at: Moment | None = Field(default=None, description="since when only sites have the content")


class Description(ArtifactView):
    """A file in the library, and whether its content is on the controller's disk."""

    is_here: bool = Field(examples=[True])


class UploadOrder(BaseModel):
    """Content that will come in parts."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"file_name": "labapp.img", "size": 5368709120, "sha256": "9f" * 32, "supplier": "ACME"}]
        },
    )

    file_name: str = Field(max_length=500)
    size: int = Field(ge=1, le=1 << 50, description="bytes")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str = Field(default="", max_length=1000, description="where it comes from: a URL, a file, a medium")
    supplier: str = Field(default="", max_length=200)


class UploadView(BaseModel):
    """An upload, and how far it is."""

    id: str = Field(examples=["4be1…"])
    file_name: str = Field(examples=["labapp.img"])
    sha256: str = Field(examples=["9f2c…e1"])
    size: int = Field(examples=[5368709120], description="bytes")
    offset: int = Field(examples=[67108864], description="bytes that are there: the next part begins here")


class TaskView(BaseModel):
    """Long work in the controller: ask again until it is not running."""

    id: str = Field(examples=["4be1…"])
    kind: str = Field(examples=["verify"])
    subject: str = Field(examples=["library"])
    state: str = Field(examples=["running"], description="running, done, failed or interrupted")
    done: int = Field(examples=[1048576], description="bytes")
    total: int = Field(examples=[5368709120], description="bytes; 0 while it is not known")
    at: str = Field(examples=["labapp.img"], description="what is being worked on")
    result: dict[str, Any] = Field(examples=[{"intact": 12}], description="of what is done, or the error")
    begun_at: Moment
    begun_by: str = Field(examples=["ci"])
    ended_at: Moment | None


class Body:
    """A request's body as a file that a worker thread reads while the event loop receives."""

    def __init__(self, request: Request) -> None:
        self._chunks = request.stream()
        self._left = b""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
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
    actor: Records,
    library: Library,
    sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
    source: Annotated[str, Query(max_length=1000)] = "",
    supplier: Annotated[str, Query(max_length=200)] = "",
) -> ArtifactView:
    """Take a small file into the library in one go; with `sha256`, only if that is what it has."""
    origin = Origin(file_name, actor.name, source, supplier)
    return view(await run_in_threadpool(library.bring_in, Body(request), sha256, origin))


@router.get("/artifacts")
def list_artifacts(
    actor: Reads,
    library: Library,
    named: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[ArtifactView]:
    """Return what is in the library, the newest first; `named` is a part of the name, or how the digest begins."""
    return [view(artifact) for artifact in library.artifacts(named, limit)]


@router.get("/artifacts/{digest}/description")
def describe(digest: str, actor: Reads, library: Library) -> Description:
    """Return what one artifact is; at once, however many releases there are."""
    artifact = library.artifact(digest)
    return Description(**view(artifact).model_dump(), is_here=library.is_here(artifact))


@router.get(
    "/artifacts/{digest}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "the content"}},
)
def content(
    digest: str,
    actor: Reads,
    library: Library,
    wanted: Annotated[str, Header(alias="range", max_length=100)] = "",
) -> StreamingResponse:
    """Return the content, or the range of bytes that is asked for.

    The whole is read and verified in any case; of content that is damaged the end never comes.
    """
    size = library.artifact(digest).size
    start, end = _range(wanted, size)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
    if wanted and (start, end) != (0, size):
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if "Content-Range" in headers else 200
    return _Pieces(library.open(digest), start, end, status, headers)


@router.post("/artifacts/uploads", status_code=201)
def begin_upload(order: UploadOrder, actor: Records, uploads: Uploading) -> UploadView:
    """Begin to bring content in by parts, or learn how far it is when it was broken off."""
    origin = Origin(order.file_name, actor.name, order.source, order.supplier)
    return _upload(uploads.begin(order.sha256, order.size, origin))


@router.get("/artifacts/uploads/{upload}")
@router.head("/artifacts/uploads/{upload}", include_in_schema=False)
def show_upload(upload: str, actor: Records, uploads: Uploading, response: Response) -> UploadView:
    """Return how far an upload is; HEAD says it in the header Upload-Offset."""
    standing = uploads.standing(upload, actor.name)
    response.headers["Upload-Offset"] = str(standing.offset)
    return _upload(standing)


@router.put("/artifacts/uploads/{upload}")
async def add_part(
    upload: str,
    offset: Annotated[int, Query(ge=0, le=1 << 50)],
    request: Request,
    actor: Records,
    uploads: Uploading,
) -> UploadView:
    """Add a part, which begins where the upload stands."""
    return _upload(await run_in_threadpool(uploads.add, upload, offset, Body(request), actor.name))


@router.post("/artifacts/uploads/{upload}/completion", status_code=202)
def complete_upload(upload: str, actor: Records, uploads: Uploading) -> TaskView:
    """Let the whole be verified, and be taken into the library."""
    return task_view(uploads.complete(upload, actor.name))


@router.get("/library/tasks/{task}")
def show_task(task: str, actor: Reads, tasks: TheTasks) -> TaskView:
    """Return how far long work is, or how it ended."""
    return task_view(tasks.task(task))


def view(artifact: Artifact) -> ArtifactView:
    """Return what the API says of an artifact."""
    said = artifact.model_dump(include=set(ArtifactView.model_fields))
    return ArtifactView(sha256=artifact.digest, **said)


def task_view(task: LibraryTask) -> TaskView:
    """Return what the API says of long work."""
    return TaskView(**task.model_dump(include=set(TaskView.model_fields)))


def _upload(standing: Standing) -> UploadView:
    upload = standing.upload
    return UploadView(
        id=upload.id, file_name=upload.file_name, sha256=upload.digest, size=upload.size, offset=standing.offset
    )


def _range(wanted: str, size: int) -> tuple[int, int]:
    """Return where the bytes begin and end that are asked for (RFC 9110); all of them unless it is one plain range."""
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return 0, size
    start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if start >= size or end <= start:
        raise RangeNotThere(f"the content has {size} bytes")
    return start, end


class _Pieces(StreamingResponse):
    """Bytes of the content, whose file is closed however the answer ends: many go away in the middle."""

    def __init__(self, reader: VerifyingReader, start: int, end: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(reader, start, end), status, headers, "application/octet-stream")
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; of content that turns out to be damaged, break off."""
        try:
            await super().__call__(scope, receive, send)
        except (ContentDamaged, StoreUnavailable) as error:  # whoever asked sees that the end is missing
            log.error("an artifact cannot be handed out", error=error.message)
        finally:
            self._reader.close()


def _pieces(reader: VerifyingReader, start: int, end: int) -> Iterator[bytes]:
    """Yield bytes of the content.  The last of them are held back until the whole has been verified."""
    held, position = b"", 0
    while chunk := reader.read(CHUNK):
        piece = chunk[max(start - position, 0) : max(end - position, 0)]
        position += len(chunk)
        if piece:
            if held:
                yield held
            held = piece
    yield held
