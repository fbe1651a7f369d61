"""The language of the wire: every message of an agent is one signed DSSE envelope.

Source of the format: DSSE v1.0 (https://github.com/secure-systems-lab/dsse), protocol.md and envelope.md.  The payload
is a JSON message that says for whom it is (audience), from whom (host id, key epoch), and where it stands in the
sender's history (a strictly rising sequence number, and the digest of the last message known to have been accepted).
Unknown fields are kept: an old side ignores what a new side adds.
"""

import base64
import binascii
import hashlib
import json
from typing import Any, Dict, NamedTuple, Optional

PAYLOAD_TYPE = "application/vnd.verdelta.message+json"
NAMESPACE = "verdelta"  # of an SSH signature: what is signed for Verdelta is good for nothing else
SCHEMA = 1

ENROL = "enrol"  # body: scheme, public_key, token, host_name
CHECK_IN = "check-in"  # body: taken_at, agent, root, sections {name: {status, digest, error?}}
AUDIT = "audit"  # body: as check-in, and contents {name: full or patch}, challenge

GENESIS = ""  # the digest of the message before the first one


class WireError(ValueError):
    """The bytes are not an envelope with a message in it."""


class Message(NamedTuple):
    """One message of an agent, as it stands in the payload of an envelope."""

    audience: str
    host_id: str
    epoch: int
    sequence: int
    previous: str
    kind: str
    body: Dict[str, Any]


class Envelope(NamedTuple):
    """A signed payload.  `digest` names the message in the sender's history: SHA-256 of the payload's bytes."""

    payload: bytes
    key_id: str
    signature: bytes

    @property
    def digest(self) -> str:
        """Return the hex digest of the payload."""
        return hashlib.sha256(self.payload).hexdigest()


def to_be_signed(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a payload: the bytes that the signature is over."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode_message(message: Message) -> bytes:
    """Return the payload bytes of a message."""
    fields = dict(message._asdict(), schema=SCHEMA)
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_message(payload: bytes) -> Message:
    """Return the message in a payload.  Raises WireError, which names the field, when it is not one."""
    try:
        fields = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("the payload is not JSON: %s" % error) from error
    if not isinstance(fields, dict):
        raise WireError("the payload is not a JSON object")
    kinds = (("audience", str), ("host_id", str), ("epoch", int), ("sequence", int), ("previous", str))
    for name, kind in kinds + (("kind", str), ("body", dict)):
        if not isinstance(fields.get(name), kind) or isinstance(fields[name], bool):
            raise WireError("the payload's field %r is missing or not a %s" % (name, kind.__name__))
    return Message(*[fields[name] for name in Message._fields])


def encode_envelope(envelope: Envelope) -> bytes:
    """Return an envelope as DSSE's JSON, ready to be sent and to be kept as evidence."""
    signature = {"keyid": envelope.key_id, "sig": _encode(envelope.signature)}
    fields = {"payloadType": PAYLOAD_TYPE, "payload": _encode(envelope.payload), "signatures": [signature]}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_envelope(data: bytes) -> Envelope:
    """Return the envelope in `data`.  Its signature is not checked here.  Raises WireError."""
    try:
        fields = json.loads(data.decode("utf-8"))
        if fields["payloadType"] != PAYLOAD_TYPE:
            raise WireError("the envelope's payload type is not %s" % PAYLOAD_TYPE)
        (signature,) = fields["signatures"]
        return Envelope(_decode(fields["payload"]), str(signature.get("keyid", "")), _decode(signature["sig"]))
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError("not a DSSE envelope with one signature: %s" % error) from error


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as error:
        raise WireError("not base64: %s" % error) from error


class Token(NamedTuple):
    """A one-time enrolment token: which controller, which host, the number of its key, and the invitation's secret."""

    audience: str
    host_id: str
    epoch: int
    secret: str

    def __str__(self) -> str:
        return ".".join(str(part) for part in self)


def parse_token(text: str) -> Token:
    """Return the token in `text`.  Raises WireError, without repeating the secret, when it is not one."""
    parts = text.strip().split(".")
    if len(parts) != 4 or not all(parts) or not parts[2].isdigit():
        raise WireError("not an enrolment token: expected four parts separated by dots")
    return Token(parts[0], parts[1], int(parts[2]), parts[3])


class Request(NamedTuple):
    """What a controller asks of an agent over standard input: a fresh audit, signed, of what it does not know yet.

    `challenge` comes back in the signed body and proves that the audit was taken after it was asked for.
    `known` has the digests of the sections whose rows the controller holds.  `last` is the digest of the last
    message it accepted.  `install_lock` names something on the host (a directory will do) that every step of an install
    holds locked, shared: the agent reports whether it could have it alone, that is, whether no step is still running.
    `sequence`, `host_id` and `epoch` are given where the host keeps no state of its own (agentless).
    """

    audience: str
    host_id: str
    challenge: str
    known: Dict[str, str]
    last: str
    install_lock: Optional[str] = None
    epoch: int = 0
    sequence: int = 0


def encode_request(request: Request) -> bytes:
    """Return a request as the JSON that the agent reads from standard input."""
    return json.dumps(request._asdict(), sort_keys=True).encode("ascii")


def decode_request(data: bytes) -> Request:
    """Return the request in `data`; fields that this version does not know are ignored.  Raises WireError."""
    try:
        fields = json.loads(data.decode("utf-8"))
        return Request(**{name: fields[name] for name in Request._fields if name in fields})
    except (ValueError, TypeError) as error:
        raise WireError("the request is not understood: %s" % error) from error
