"""The agents' door: a plain route, for it is the busiest.  Who may speak here, the signature of each message tells."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ..access.http import open_to_all
from ..foundation.errors import TooLarge
from . import enrolment
from .service import FleetService


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request of at most `limit` bytes.  Raises TooLarge as soon as it is known to be larger."""
    chunks, total = [], 0
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise TooLarge(f"a message of {announced} bytes; at most {limit}")
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise TooLarge(f"a message of more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


@open_to_all("the token in the enrolment lets it in")
async def enrol(request: Request) -> JSONResponse:
    """Take in an enrolment; the answer names the message accepted."""
    fleet: FleetService = request.app.state.services.fleet
    data = await read_body(request, enrolment.LIMIT)
    key = await run_in_threadpool(fleet.enrol, data)
    return JSONResponse({"accepted": key.last_digest, "host_id": key.host_id, "epoch": key.epoch})


routes = [Route("/agent/v1/enrol", enrol, methods=["POST"])]
