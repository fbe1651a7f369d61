"""The body of an audit message, checked for shape and size before anything is believed."""

import zlib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from verdelta_agent import delta, model

from ..foundation.errors import InvalidInput

Text = Annotated[str, msgspec.Meta(max_length=1 << 20)]
Scalar = str | int | bool | None
Row = dict[str, Scalar | list[Scalar]]
SectionName = Annotated[str, msgspec.Meta(pattern=r"^(hardware|software|system)\.[a-z0-9_]{1,40}$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]

SECTIONS = 200  # of one snapshot
ROWS = 500_000  # of one section

EMPTY = model.rows_digest({})  # of a section without rows: never sent, always known


class SectionSummary(msgspec.Struct):
    """What a message says of one section."""

    status: Literal["ok", "absent", "failed"]
    digest: Digest
    error: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class Content(msgspec.Struct, rename={"replaced": "set"}):
    """The rows of one section: all of them, or what turns those of `base` into them."""

    rows: dict[str, Row] | None = None
    base: Digest | None = None
    replaced: dict[str, Row] = {}
    removed: list[str] = []


class Body(msgspec.Struct):
    """The body of a check-in (no contents) or of an audit.  Fields of newer agents are ignored."""

    taken_at: Annotated[str, msgspec.Meta(max_length=40)]
    agent: Annotated[str, msgspec.Meta(max_length=40)]
    root: Digest
    sections: Annotated[dict[SectionName, SectionSummary], msgspec.Meta(max_length=SECTIONS)]
    contents: dict[SectionName, Content] = {}
    volatile: dict[SectionName, dict[str, Row]] = {}
    challenge: Annotated[str, msgspec.Meta(max_length=100)] = ""
    install_idle: bool | None = None


def parse_body(body: Mapping[str, object]) -> Body:
    """Return the body of a message, checked against its own digests.  Raises InvalidInput, which names the field."""
    try:
        parsed = msgspec.convert(body, Body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"audit: {error}") from error
    digests = {name: model.Digested(s.status, s.digest, s.error) for name, s in parsed.sections.items()}
    if model.root_digest(digests) != parsed.root:
        raise InvalidInput("audit: the root is not the digest of its sections")
    unexpected = sorted(set(parsed.contents) - set(parsed.sections))
    if unexpected:
        raise InvalidInput(f"audit: rows of {unexpected[0]}, which the snapshot does not have")
    return parsed


def resolve(name: str, content: Content, base: model.Rows | None, digest: str) -> model.Rows:
    """Return the rows that a message brings for a section.  Raises InvalidInput when they are not what it signed."""
    if content.rows is not None:
        rows: model.Rows = content.rows
    elif base is None:
        raise InvalidInput(f"audit: {name} is a patch against a state that is not known here")
    else:
        try:
            rows = delta.apply(base, {"set": content.replaced, "removed": content.removed})
        except KeyError as error:
            raise InvalidInput(f"audit: the patch of {name} removes a row that is not there: {error}") from error
    if len(rows) > ROWS:
        raise InvalidInput(f"audit: {name} has {len(rows)} rows; at most {ROWS}")
    if model.rows_digest(rows) != digest:
        raise InvalidInput(f"audit: the rows of {name} do not have the digest that the message gives")
    return rows


def pack(rows: model.Rows) -> bytes:
    """Return rows as they are stored."""
    return zlib.compress(model.canonical(rows), 6)


def unpack(stored: bytes) -> model.Rows:
    """Return rows as they were packed."""
    rows: model.Rows = msgspec.json.decode(zlib.decompress(stored))
    return rows
