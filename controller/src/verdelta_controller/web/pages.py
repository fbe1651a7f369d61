"""Placeholder while pages are written."""

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

router = APIRouter()


def mount_static(app: FastAPI) -> None: ...
def is_page(request: Request) -> bool:
    return False


def error_page(request, error):
    return JSONResponse({})


async def add_security_headers(request, call_next):
    return await call_next(request)
