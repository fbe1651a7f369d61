"""Where agents report: digests first, then what is not known yet."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ..access.http import open_to_all
from ..fleet.agent_routes import read_body
from .service import InventoryService

NEXT_POLL = 86400  # seconds until the agent should report again


@open_to_all("the signature of the message lets it in")
async def take_in(request: Request) -> JSONResponse:
    """Take in a message; the answer names the sections that are not known here, and states to patch against."""
    inventory: InventoryService = request.app.state.services.inventory
    data = await read_body(request, inventory.limit)
    taken = await run_in_threadpool(inventory.take_in, data)
    answer = {"accepted": taken.digest, "unknown": taken.unknown, "known": taken.known, "next_poll": NEXT_POLL}
    return JSONResponse(answer)


routes = [Route("/agent/v1/messages", take_in, methods=["POST"])]
