"""Where a browser comes back to from the login provider: a code for the terminal at which the login began.

It opens nothing in this browser, and needs nothing of it: neither a cookie nor a form.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ..access.http import public
from ..access.oidc_provider import CALLBACK
from ..access.oidc_routes import Logins
from ..foundation.errors import VerdeltaError
from .rendering import render

router = APIRouter()

REASON = re.compile(r"[a-z_]{1,60}")  # such as access_denied (RFC 6749, 4.1.2.1); anything else is not repeated


@router.get(CALLBACK, openapi_extra=public("the provider sends back whoever logs in"))
def come_back(
    request: Request,
    logins: Logins,
    state: Annotated[str, Query(max_length=100)] = "",
    code: Annotated[str, Query(max_length=4096)] = "",
    iss: Annotated[str, Query(max_length=1000)] = "",
    error: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Return the page with the code, or with what went wrong."""
    said = error if REASON.fullmatch(error) else ""
    try:
        back = logins.come_back(state, "" if error else code, iss)
    except VerdeltaError as refused:
        return render(request, "oidc.html", refused.http_status, back=None, refused=refused, said=said)
    return render(request, "oidc.html", back=back, refused=None, said="")
