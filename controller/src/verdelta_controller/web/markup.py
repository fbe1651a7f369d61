"""The small pieces of HTML that every page has by the hundred; made here because a template is slow at it."""

from functools import cache, lru_cache
from typing import Any

from markupsafe import Markup, escape

from . import text
from .signs import Sign

_SPELT = Markup('<span class="spelt" title="a character that cannot be seen">{}</span>')
_SAID, _END = Markup('<bdi class="said">'), Markup("</bdi>")
_MORE = Markup('<details class="more"><summary>… {}</summary>{}{}</details>')
_LEFT = Markup('<p class="quiet">… and {} that are not shown here; the API has all of it.</p>')
_GLYPH = Markup('<svg class="glyph" aria-hidden="true"><use href="#sign-{}"></use></svg>')
_SIGN = Markup('<span class="sign tone-{}">{}<span>{}</span></span>')
_NAME = Markup(' <span class="quiet">{}</span>')
_DIGEST = Markup('<abbr class="digest" title="{}">{}…</abbr>')


def said(what: str, lines: bool = False) -> Markup:
    """Return a text that a host said: escaped, cut where it is long, and what cannot be seen spelt out.

    `lines` keeps its line breaks, as prose has them.
    """
    part = text.cut(what)
    head = _SAID + _pieces(part.head, lines) + _END
    if not part.tail:
        return head
    left = _LEFT.format(text.amount(part.left, "character")) if part.left else ""
    rest = text.amount(len(part.tail) + part.left, "more character")
    return head + _MORE.format(rest, _SAID + _pieces(part.tail, lines) + _END, left)


def value(what: Any, name: str = "") -> Markup:
    """Return the value of a field, and the name of what it is the id of."""
    return said(text.value(what)) + (_NAME.format(said(name)) if name else "")


def brief(what: Any, name: str = "") -> Markup:
    """Return a value beside others: of a digest the beginning, which is enough to tell two apart."""
    return _DIGEST.format(what, what[:12]) if text.is_digest(what) else value(what, name)


@cache
def glyph(name: str) -> Markup:
    """Return one of the symbols of signs.svg.html, as large as the text around it."""
    return _GLYPH.format(name)


@cache
def sign(of: Sign) -> Markup:
    """Return a state: its sign, its word and its colour."""
    return _SIGN.format(of.tone, glyph(of.sign), of.word)


@lru_cache(maxsize=2_000)
def counted(of: Sign, count: int) -> Markup:
    """Return how many there are in a state."""
    return _SIGN.format(of.tone, glyph(of.sign), f"{count:,} {of.word}")


def _pieces(what: str, lines: bool) -> Markup:
    if what.isprintable():
        return escape(what)
    spelt = (_SPELT.format(piece.text) if piece.spelt else piece.text for piece in text.pieces(what, lines))
    return Markup("").join(spelt)
