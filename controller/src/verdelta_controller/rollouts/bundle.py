"""A roll-out's evidence as one file: its format, and how it is written and read.  Pure.  docs/reference/evidence.md

The file is canonical JSON and a line break, so that what it says has one form, to the byte.  Messages of agents and
the rows of sections stand under their digests; everything else that is said stands in entries of the evidence log.
The seal is over the whole of it: nothing can be left out by whoever passes the file on.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from verdelta_agent import model, wire
from verdelta_agent.model import canonical

from ..foundation import merkle, notes
from ..foundation.errors import InvalidInput, TooLarge
from ..foundation.notes import NoteVerifier
from ..foundation.signing import BadSignature, SigningKey
from ..inventory.comparing import compared
from ..inventory.content import EMPTY
from ..inventory.messages import Body, Digest, Row, digests_in, open_envelope, read_message

FORMAT = "verdelta-evidence"
VERSION = 1
LIMIT = 128 << 20  # bytes of a file

Rows = dict[str, Row]
Number = Annotated[int, Meta(ge=0)]


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the evidence log, with the proof that it is in the log that the checkpoint signs."""

    index: Number
    kind: str
    subject: str
    recorded_at: str
    content: dict[str, Any]
    proof: Annotated[list[Digest], Meta(max_length=64)]

    def leaf(self) -> bytes:
        """Return the hash of what was recorded."""
        said = {name: getattr(self, name) for name in ("content", "kind", "recorded_at", "subject")}
        return merkle.leaf_hash(canonical(said))

    @property
    def day(self) -> str:
        """Return the date on which it was recorded."""
        return self.recorded_at[:10]


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """A public key that a host's agent signs with, and the entry of the log that says so."""

    epoch: Number
    scheme: str
    public_key: str
    key_id: str
    entry: Number


class HostEvidence(Struct, frozen=True, forbid_unknown_fields=True):
    """A host that the roll-out went to, with every key that it ever had."""

    host_id: str
    name: str
    keys: list[Key]


class ReleaseEvidence(Struct, frozen=True, forbid_unknown_fields=True):
    """What was rolled out: the manifest, normalised and as written, and what it was authorised to change."""

    manifest: dict[str, Any]
    source: str
    files: dict[str, Digest]
    digest: Digest
    authorised_change: list[dict[str, Any]]
    authorised_change_digest: Digest


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """All that proves a roll-out."""

    rollout: Number
    release: ReleaseEvidence
    hosts: list[HostEvidence]
    messages: dict[Digest, str]  # envelopes exactly as received, by the SHA-256 of their payload
    rows: dict[Digest, Rows]  # of sections, by their digest
    entries: list[Entry]
    checkpoint: str


class Bundle(Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    format: Literal["verdelta-evidence"]
    version: Literal[1]
    evidence: Evidence
    seal: str


def write(evidence: Evidence, origin: str, key: SigningKey) -> bytes:
    """Return the file, sealed in the name of the log's origin.  Raises TooLarge."""
    document = msgspec.to_builtins(evidence)
    seal = notes.sign_note(_to_be_sealed(canonical(document)), origin, key)
    data = canonical({"format": FORMAT, "version": VERSION, "evidence": document, "seal": seal}) + b"\n"
    if len(data) > LIMIT:
        raise TooLarge(f"the evidence of roll-out {evidence.rollout} has {len(data)} bytes; a file has at most {LIMIT}")
    return data


def read(data: bytes) -> Bundle:
    """Return what is in a file; nothing of it is believed yet.  Raises InvalidInput, TooLarge."""
    if len(data) > LIMIT:
        raise TooLarge(f"a file of {len(data)} bytes; evidence has at most {LIMIT}")
    try:
        document = json.loads(data.decode("ascii"))
        in_its_form = canonical(document) + b"\n" == data
        bundle = msgspec.convert(document, Bundle)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidInput(f"not evidence of a roll-out: {str(error)[:200]}") from error
    if not in_its_form:
        raise InvalidInput("not in the one form that evidence has: it was cut short, written anew, or changed")
    return bundle


def check_seal(bundle: Bundle, verifier: NoteVerifier) -> None:
    """Hold the seal against the evidence and the key of a controller.  Raises BadSignature."""
    sealed = notes.open_note(bundle.seal, verifier)
    check_one_form(bundle.seal)
    if sealed != _to_be_sealed(canonical(msgspec.to_builtins(bundle.evidence))):
        raise BadSignature("the seal is that of other evidence: this was changed after it was exported")


def check_one_form(note: str) -> None:
    """Refuse a note with more than one signature, or with one that could be written in another way.

    Raises BadSignature.
    """
    last = note.removesuffix("\n").rpartition("\n\n")[2]
    encoded = last.rpartition(" ")[2]
    if "\n" in last or base64.b64encode(base64.b64decode(encoded)).decode() != encoded:
        raise BadSignature("this note has more to it than one signature")


def _to_be_sealed(evidence: bytes) -> str:
    return f"{FORMAT}/{VERSION}\n{hashlib.sha256(evidence).hexdigest()}\n"


# -- what is found by its digest


class Audited(NamedTuple):
    """A message with an audit in it, as an agent signed it."""

    envelope: wire.Envelope
    message: wire.Message
    body: Body
    sections: Mapping[str, model.Digested]


def read_audit(envelope: str) -> Audited:
    """Return the audit in a message; its signature is not looked at here.  Raises InvalidInput."""
    opened = open_envelope(envelope.encode("utf-8", "backslashreplace"))
    message = read_message(opened.payload)
    return Audited(opened, message.head(), message.body, digests_in(message.body))


def rows_needed(known: Audited | None, before: Audited, after: Audited, asked_for: Collection[str]) -> set[str]:
    """Return the digests of all rows that a verdict follows from: what changed, and what the rules ask for."""
    pairs = [(before, after, {*compared(before.sections, after.sections), *asked_for})]
    if known is not None:
        pairs.append((known, before, set(compared(known.sections, before.sections))))
    needed = {
        audited.sections[name].digest
        for one, other, names in pairs
        for audited in (one, other)
        for name in names
        if name in audited.sections
    }
    return needed - {EMPTY}
