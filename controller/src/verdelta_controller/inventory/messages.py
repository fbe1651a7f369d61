"""Messages of agents, from bytes to values: shape, size and depth are checked while they are read.  Pure.

In two steps, because nothing is parsed that nobody signed: `open_envelope` takes a few fields apart, and when the
signature holds, `read_message` reads the payload.  The format is that of `verdelta_agent.wire`; only what a message
may hold is built, and whatever else is in it is passed over.
"""

import base64
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from verdelta_agent import model, wire

from ..foundation.errors import InvalidInput
from ..foundation.text import one_line

SECTIONS = 200  # of one snapshot
ROWS = 500_000  # of one section
VOLATILE_LIMIT = 1 << 20  # bytes of what is shown and never compared

Line = Annotated[str, Meta(max_length=wire.LINE)]
Text = Annotated[str, Meta(max_length=1 << 20)]
Number = Annotated[int, Meta(ge=0, le=wire.NUMBER)]
Scalar = Text | Annotated[int, Meta(ge=-wire.NUMBER, le=wire.NUMBER)] | bool | None
Row = dict[str, Scalar | list[Scalar]]
Rows = Annotated[dict[str, Row], Meta(max_length=ROWS)]
SectionName = Annotated[str, Meta(pattern=r"^(hardware|software|system)\.[a-z0-9_]{1,40}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]

Shape = TypeVar("Shape")


class SectionSummary(Struct):
    """What a message says of one section."""

    status: Literal["ok", "absent", "failed"]
    digest: Digest
    error: Annotated[str, Meta(max_length=2000)] | None = None


class Content(Struct, rename={"replaced": "set"}):
    """The rows of one section: all of them, or what turns those of `base` into them."""

    rows: Rows | None = None
    base: Digest | None = None
    replaced: Rows = {}
    removed: Annotated[list[Text], Meta(max_length=ROWS)] = []


class Body(Struct):
    """The body of a check-in (no contents) or of an audit.  Fields of newer agents are ignored."""

    taken_at: Annotated[str, Meta(max_length=40)]
    agent: Annotated[str, Meta(max_length=40)]
    root: Digest
    sections: Annotated[dict[SectionName, SectionSummary], Meta(max_length=SECTIONS)]
    contents: dict[SectionName, Content] = {}
    volatile: dict[SectionName, dict[str, Row]] = {}
    challenge: Annotated[str, Meta(max_length=100)] = ""
    install_idle: bool | None = None
    unanswered: Annotated[list[Line], Meta(max_length=10_000)] = []


class Message(Struct):
    """A message as it stands in a payload."""

    audience: Line
    host_id: Line
    epoch: Number
    sequence: Number
    previous: Line
    kind: Literal["check-in", "audit"]
    body: Body

    def head(self) -> wire.Message:
        """Return what decides whether the message counts: who says it, and where it stands among what they said."""
        unanswered = {"unanswered": self.body.unanswered}
        return wire.Message(
            self.audience, self.host_id, self.epoch, self.sequence, self.previous, self.kind, unanswered
        )


class _Signature(Struct):
    sig: Line
    keyid: Line


class _Envelope(Struct, rename={"payload_type": "payloadType"}):
    payload_type: Literal["application/vnd.verdelta.message+json"]
    payload: str
    signatures: Annotated[list[_Signature], Meta(min_length=1, max_length=1)]


def open_envelope(data: bytes) -> wire.Envelope:
    """Return the envelope in `data`; neither its signature nor what is in it is looked at.  Raises InvalidInput."""
    envelope = _read(data, _Envelope, "envelope")
    (signature,) = envelope.signatures
    return wire.Envelope(_base64(envelope.payload), signature.keyid, _base64(signature.sig))


def read_message(payload: bytes) -> Message:
    """Return the message in a payload, held against its own digests.  Raises InvalidInput, which names the field."""
    message = _read(payload, Message, "message")
    body = message.body
    if model.root_digest(digests_in(body)) != body.root:
        raise InvalidInput("message: the root is not the digest of its sections")
    unexpected = sorted(set(body.contents) - set(body.sections))
    if unexpected:
        raise InvalidInput(f"message: rows of {unexpected[0]}, which the snapshot does not have")
    if len(msgspec.json.encode(body.volatile)) > VOLATILE_LIMIT:
        raise InvalidInput(f"message: volatile values of more than {VOLATILE_LIMIT} bytes")
    if b"\\u0000" in payload:
        _show_nul(body)
    return message


def _show_nul(body: Body) -> None:
    """Let a sign stand for NUL in what is shown and never compared: not every database can hold it in JSON."""
    body.volatile = _shown(body.volatile)
    for section in body.sections.values():
        section.error = _shown(section.error)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{SYMBOL FOR NULL}")
    if isinstance(value, dict):
        return {_shown(name): _shown(inner) for name, inner in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def digests_in(body: Body) -> dict[str, model.Digested]:
    """Return status and digest of every section that a message speaks of."""
    return {name: model.Digested(s.status, s.digest, s.error) for name, s in body.sections.items()}


def _read(data: bytes, shape: type[Shape], what: str) -> Shape:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{what}: {one_line(str(error))}") from error


def _base64(text: str) -> bytes:
    """Return what a text stands for.  DSSE allows a signer either alphabet, and demands both of whoever verifies."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:
        raise InvalidInput("envelope: not base64") from error
