"""A release's evidence as one file: its format, and how it is written and read.  Pure.  docs/reference/evidence.md

The file is canonical JSON and a line break.  In it is an in-toto statement (https://in-toto.io/Statement/v1), signed by
the controller in a DSSE envelope: package, lock, bill of materials, policy, and every entry of the evidence log about
the release, with its proof.  Beside it stands the evidence of each roll-out, rehearsals among them, whose digest is in
the statement: each of these is the very file that `verdelta rollout export` writes.
"""

import base64
import hashlib
import json
from typing import Any, Literal

import msgspec
from msgspec import Struct

from verdelta_agent.model import canonical

from ..foundation.errors import InvalidInput, TooLarge
from ..foundation.notes import NoteVerifier
from ..foundation.signing import BadSignature, SigningKey, Statement, open_statement
from ..inventory.messages import Digest
from .bundle import Entry, Number

FORMAT = "verdelta-release-evidence"
VERSION = 1
LIMIT = 256 << 20  # bytes of a file
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:verdelta:release-evidence:v1"


class RolloutReference(Struct, frozen=True, forbid_unknown_fields=True):
    """A roll-out of the release, and the digest of its evidence."""

    number: Number
    purpose: str
    sha256: Digest


class Predicate(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is said of a release."""

    release: str
    version: str
    state: str
    manifest: dict[str, Any]
    source: str  # the manifest as its author wrote it
    files: dict[str, Digest]
    lock: str  # release.lock as it is in the package; "" in a package without one
    sbom: dict[str, Any]
    policy: dict[str, Any]
    authorised_change: list[dict[str, Any]]
    rollouts: list[RolloutReference]
    entries: list[Entry]
    checkpoint: str


class ReleaseBundle(Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    format: Literal["verdelta-release-evidence"]
    version: Literal[1]
    envelope: dict[str, Any]
    rollouts: dict[str, dict[str, Any]]  # by their numbers


class Opened(Struct, frozen=True):
    """A statement whose signature was checked: the package that it is about, and what it says."""

    subject_name: str
    package: str
    predicate: Predicate


def write(package: str, predicate: Predicate, rollouts: dict[int, bytes], key: SigningKey) -> bytes:
    """Return the file; `rollouts` are the files of evidence of its roll-outs.  Raises TooLarge."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{predicate.release} {predicate.version}", "digest": {"sha256": package}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": msgspec.to_builtins(predicate),
    }
    envelope = key.sign_statement(Statement(PAYLOAD_TYPE, canonical(statement)))
    document = {
        "format": FORMAT,
        "version": VERSION,
        "envelope": json.loads(envelope),
        "rollouts": {str(number): json.loads(data) for number, data in rollouts.items()},
    }
    data = canonical(document) + b"\n"
    if len(data) > LIMIT:
        raise TooLarge(f"the evidence of this release has {len(data)} bytes; a file has at most {LIMIT}")
    return data


def is_of_a_release(data: bytes) -> bool:
    """Return whether a file says that it is the evidence of a release, and not of one roll-out."""
    return f'"format":"{FORMAT}"'.encode() in data[: 64 << 10] or data.startswith(b'{"envelope":')


def read(data: bytes) -> ReleaseBundle:
    """Return what is in a file; nothing of it is believed yet.  Raises InvalidInput, TooLarge."""
    if len(data) > LIMIT:
        raise TooLarge(f"a file of {len(data)} bytes; evidence has at most {LIMIT}")
    try:
        document = json.loads(data.decode("ascii"))
        in_its_form = canonical(document) + b"\n" == data
        bundle = msgspec.convert(document, ReleaseBundle)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidInput(f"not evidence of a release: {str(error)[:200]}") from error
    if not in_its_form:
        raise InvalidInput("not in the one form that evidence has: it was cut short, written anew, or changed")
    return bundle


def open_bundle(bundle: ReleaseBundle, verifier: NoteVerifier) -> Opened:
    """Return what the controller with this key has signed.  Raises BadSignature, InvalidInput."""
    envelope = canonical(bundle.envelope)
    statement = open_statement(envelope, verifier.public_key)
    again = {
        "payload": base64.b64encode(statement.payload).decode(),
        "payloadType": statement.payload_type,
        "signatures": bundle.envelope["signatures"],
    }
    (signature,) = bundle.envelope["signatures"]
    encoded = str(signature.get("sig"))
    expected = {"keyid": signing_key_id(verifier), "sig": base64.b64encode(base64.b64decode(encoded)).decode()}
    if canonical(again) != envelope or signature != expected or statement.payload_type != PAYLOAD_TYPE:
        raise BadSignature("this envelope has more to it than one signature over one statement")
    return _opened(statement.payload)


def signing_key_id(verifier: NoteVerifier) -> str:
    """Return the key id that the controller's envelopes name."""
    digest = base64.b64encode(hashlib.sha256(verifier.public_key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def _opened(payload: bytes) -> Opened:
    try:
        said = json.loads(payload)
        if said["_type"] != STATEMENT_TYPE or said["predicateType"] != PREDICATE_TYPE:
            raise InvalidInput("the statement is of another kind")
        (subject,) = said["subject"]
        predicate = msgspec.convert(said["predicate"], Predicate)
        return Opened(str(subject["name"]), str(subject["digest"]["sha256"]), predicate)
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidInput(f"the statement is not understood: {str(error)[:200]}") from error
