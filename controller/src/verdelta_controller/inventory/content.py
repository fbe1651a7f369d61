"""The rows of sections: put together from what a message brings, held against their digest, packed for the database.

Pure.
"""

import zlib

import msgspec

from verdelta_agent import delta, model

from ..foundation.errors import InvalidInput
from .messages import ROWS, Content

EMPTY = model.rows_digest({})  # of a section without rows: never sent, always known


def resolve(name: str, content: Content, base: model.Rows | None, digest: str) -> model.Rows:
    """Return the rows that a message brings for a section.  Raises InvalidInput when they are not what it signed."""
    if content.rows is not None:
        rows: model.Rows = content.rows
    elif base is None:
        raise InvalidInput(f"message: {name} is a patch against a state that is not known here")
    else:
        try:
            rows = delta.apply(base, {"set": content.replaced, "removed": content.removed})
        except KeyError as error:
            raise InvalidInput(f"message: the patch of {name} removes a row that is not there: {error}") from error
    if len(rows) > ROWS:
        raise InvalidInput(f"message: {name} has {len(rows)} rows; at most {ROWS}")
    if model.rows_digest(rows) != digest:
        raise InvalidInput(f"message: the rows of {name} do not have the digest that the message gives")
    return rows


def pack(rows: model.Rows) -> bytes:
    """Return rows as they are stored."""
    return zlib.compress(model.canonical(rows), 6)


def unpack(stored: bytes) -> model.Rows:
    """Return rows as they were packed."""
    rows: model.Rows = msgspec.json.decode(zlib.decompress(stored))
    return rows
