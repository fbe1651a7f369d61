"""Pages and fragments from their templates.  Whatever is put into one is escaped; what is not given is an error."""

from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from .. import __version__
from ..foundation.clock import now
from . import markup, signs, static_files, text

environment = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= {
    "plain": text.plain,
    "moment": text.moment,
    "absolute": text.absolute,
    "amount": text.amount,
    "segment": lambda name: quote(name, safe=""),
}
environment.globals |= {
    "static": static_files.address,
    "element_id": text.element_id,
    **{
        one.__name__: one
        for one in (markup.said, markup.value, markup.brief, markup.glyph, markup.sign, markup.counted)
    },
    "ago": text.ago,
    "signs": signs,
    "sign_of": signs.sign_of,
    "query": lambda **parts: urlencode({name: part for name, part in parts.items() if part not in ("", 0, None)}),
    "version": __version__,
}


def fragment(name: str, **context: Any) -> str:
    """Return part of a page."""
    return environment.get_template(name).render(now=context.pop("now", None) or now(), **context)


def render(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a whole page as the answer to a request."""
    moment: datetime = now()
    actor = getattr(request.state, "actor", None)
    return HTMLResponse(fragment(name, now=moment, actor=actor, path=request.url.path, **context), status)
