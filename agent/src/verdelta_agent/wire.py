"""The language of the wire: every message of an agent is one signed DSSE envelope.

Source of the format: DSSE v1.0 (https://github.com/secure-systems-lab/dsse), protocol.md and envelope.md.  The payload
is a JSON message that says for whom it is (audience), from whom (host id, key epoch), and where it stands in the
sender's history (a strictly rising sequence number, and the digest of the last message known to have been accepted).
Unknown fields are kept: an old side ignores what a new side adds.

Whatever comes from the other side is decoded here, and is a value of these types or a WireError.
"""

import base64
import hashlib
import json
import posixpath
from typing import Any, Dict, List, NamedTuple, Optional

PAYLOAD_TYPE = "application/vnd.verdelta.message+json"
NAMESPACE = "verdelta"  # of an SSH signature: what is signed for Verdelta is good for nothing else
SCHEMA = 1

ENROL = "enrol"  # body: scheme, public_key, token, host_name
CHECK_IN = "check-in"  # body: taken_at, agent, root, sections {name: {status, digest, error?}}
AUDIT = "audit"  # body: as check-in, and contents {name: full or patch}, challenge

GENESIS = ""  # the digest of the message before the first one

LINE = 1024  # characters of an identity, a digest, a path
NUMBER = (1 << 63) - 1  # the largest epoch or sequence number: what any database can hold
DAY = 86400  # seconds until the next report, where the controller does not say


class WireError(ValueError):
    """The bytes are not what they should be.  The text names the field, and repeats no value."""


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


def to_be_signed(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return DSSE's pre-authentication encoding of a payload: the bytes that the signature is over."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode_message(message: Message) -> bytes:
    """Return the payload bytes of a message."""
    return _encode(dict(message._asdict(), schema=SCHEMA))


def decode_message(payload: bytes) -> Message:
    """Return the message in a payload.  Raises WireError."""
    fields = _decode(payload, "the payload")
    body = fields.get("body")
    if not isinstance(body, dict):
        raise WireError("the payload's body is not an object")
    audience, host_id, previous, kind = (_text(fields, name) for name in ("audience", "host_id", "previous", "kind"))
    return Message(audience, host_id, _number(fields, "epoch"), _number(fields, "sequence"), previous, kind, body)


def encode_envelope(envelope: Envelope) -> bytes:
    """Return an envelope as DSSE's JSON, ready to be sent and to be kept as evidence."""
    payload, signature = (base64.b64encode(data).decode("ascii") for data in (envelope.payload, envelope.signature))
    signatures = [{"keyid": envelope.key_id, "sig": signature}]
    return _encode({"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": signatures})


def decode_envelope(data: bytes) -> Envelope:
    """Return the envelope in `data`, which has one signature.  It is not checked here.  Raises WireError."""
    fields = _decode(data, "the envelope")
    if fields.get("payloadType") != PAYLOAD_TYPE:
        raise WireError("the envelope's payload type is not %s" % PAYLOAD_TYPE)
    signatures = fields.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise WireError("the envelope has not exactly one signature")
    (signature,) = signatures
    return Envelope(_bytes(fields, "payload"), _text(signature, "keyid", ""), _bytes(signature, "sig"))


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
    plain = len(text) <= LINE and all("!" <= character <= "~" for character in text.strip())
    if not plain or len(parts) != 4 or not all(parts) or not parts[2].isdigit():
        raise WireError("not an enrolment token: expected four parts separated by dots")
    if len(parts[2]) > len(str(NUMBER)) or int(parts[2]) > NUMBER:
        raise WireError("not an enrolment token: no key has so large a number")
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
    return _encode(request._asdict())


def decode_request(data: bytes) -> Request:
    """Return the request in `data`; fields that this version does not know are ignored.  Raises WireError."""
    fields = _decode(data, "the request")
    lock = fields.get("install_lock")
    if lock is not None and not (isinstance(lock, str) and _is_plain_path(lock)):
        raise WireError("field 'install_lock' is not an absolute path without detours")
    audience, host_id, challenge, last = (_text(fields, name) for name in ("audience", "host_id", "challenge", "last"))
    numbers = _number(fields, "epoch", 0), _number(fields, "sequence", 0)
    return Request(audience, host_id, challenge, _texts(fields, "known"), last, lock, *numbers)


class Answer(NamedTuple):
    """What a controller answers to a message.

    `accepted` is the digest of the last message that it accepted.  `unknown` are the sections whose rows it lacks,
    `known` the digest of the state that it has of such a section.  `next_poll` is in seconds.
    """

    accepted: str
    unknown: List[str]
    known: Dict[str, str]
    next_poll: int


def decode_answer(data: bytes) -> Answer:
    """Return a controller's answer; fields that this version does not know are ignored.  Raises WireError."""
    fields = _decode(data, "the answer")
    unknown = fields.get("unknown", [])
    if not isinstance(unknown, list) or not all(isinstance(name, str) for name in unknown):
        raise WireError("field 'unknown' is not a list of texts")
    known = _texts(fields, "known") if "known" in fields else {}
    return Answer(_text(fields, "accepted"), unknown, known, _number(fields, "next_poll", DAY))


# -- JSON, and its fields by type


def _encode(fields: Dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def _decode(data: bytes, what: str) -> Dict[str, Any]:
    try:
        fields = json.loads(data.decode("utf-8"), parse_constant=_refuse)
        if b"\\ud" in data or b"\\uD" in data:  # half a surrogate pair is no text, and nothing can keep it
            json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise WireError("%s is not JSON: %s" % (what, error)) from error
    if not isinstance(fields, dict):
        raise WireError("%s is not a JSON object" % what)
    return fields


def _refuse(constant: str) -> None:
    raise ValueError("%s is no number" % constant)  # Python reads NaN and Infinity; JSON has neither


def _text(fields: Dict[str, Any], name: str, default: Optional[str] = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str) or len(value) > LINE or not value.isprintable():
        raise WireError("field %r is not one line of at most %d characters" % (name, LINE))
    return value


def _number(fields: Dict[str, Any], name: str, default: Optional[int] = None) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER:
        raise WireError("field %r is not a number from 0 to %d" % (name, NUMBER))
    return value


def _texts(fields: Dict[str, Any], name: str) -> Dict[str, str]:
    value = fields.get(name)
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise WireError("field %r is not an object of texts" % name)
    return value


def _bytes(fields: Dict[str, Any], name: str) -> bytes:
    """Return a field in base64.  DSSE allows a signer either alphabet, and demands both of whoever verifies."""
    try:
        return base64.b64decode(fields[name].replace("-", "+").replace("_", "/"), validate=True)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise WireError("field %r is not base64" % name) from error


def _is_plain_path(path: str) -> bool:
    """Return whether a path is absolute, says without detours where it leads, and is one line."""
    shortest = posixpath.normpath("/" + path.lstrip("/"))
    return path == shortest and path.isprintable() and len(path) <= LINE
