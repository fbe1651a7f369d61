"""Many artifacts at once over HTTP: which of them are missing, and the missing ones together."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from ..access.http import Reads, Records
from ..foundation.errors import TooLarge
from .bundles import LIMIT, Bundles

router = APIRouter(prefix="/api/v1", tags=["library"])

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


def _service(request: Request) -> Bundles:
    service: Bundles = request.app.state.services.bundles
    return service


Service = Annotated[Bundles, Depends(_service)]


class Asked(BaseModel):
    """Artifacts that somebody has."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"digests": ["9f2c" * 16]}]})

    digests: list[Digest] = Field(max_length=20_001, description="SHA-256 of each")


@router.post("/artifacts/missing")
def missing(asked: Asked, actor: Reads, bundles: Service) -> list[str]:
    """Return the digests of which the library has no content, in order."""
    return bundles.missing(asked.digests)


@router.post("/artifacts/bundles", status_code=201)
async def bring_in(request: Request, actor: Records, bundles: Service) -> list[str]:
    """Take many small files in at once, and return the digests of the new ones."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise TooLarge(f"a bundle of more than {LIMIT} bytes", mend="Send several, or large files by themselves.")
    return await run_in_threadpool(bundles.bring_in, bytes(body), actor.name)
