"""Signed notes, and the checkpoints of the evidence log: short texts that an auditor checks with a public key alone.

Sources of the formats: C2SP signed-note (https://c2sp.org/signed-note) and tlog-checkpoint
(https://c2sp.org/tlog-checkpoint).  A note is text and, after an empty line, signatures; a checkpoint is a note whose
text is the log's origin, its size and the base64 of its root.
"""

import base64
import hashlib
from typing import NamedTuple, Self

from .errors import InvalidInput
from .signing import BadSignature, SigningKey, verify_ed25519

LIMIT = 64 << 10  # bytes of a note
_ED25519 = b"\x01"  # signature type of the specification
_MARK = "\N{EM DASH} "


class NoteVerifier(NamedTuple):
    """Whose note it has to be: a name and an Ed25519 public key.  As text: name+hash+key."""

    name: str
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the verifier in a text.  Raises InvalidInput."""
        try:
            name, key_hash, encoded = text.strip().split("+", 2)
            kind_and_key = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise InvalidInput(f"not a key for signed notes: {text[:80]!r}") from error
        verifier = cls(name, kind_and_key[1:])
        if not _is_name(name) or kind_and_key[:1] != _ED25519 or len(verifier.public_key) != 32:
            raise InvalidInput(f"not an Ed25519 key for signed notes: {text[:80]!r}")
        if verifier.key_hash.hex() != key_hash:
            raise InvalidInput(f"a key for signed notes whose hash does not fit it: {text[:80]!r}")
        return verifier

    @property
    def key_hash(self) -> bytes:
        """Return the four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public_key).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"


class Checkpoint(NamedTuple):
    """The state of a log at one moment: `root` (32 bytes) over its first `size` entries."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """Return a text, whose last line has to end, with its signature.  Raises InvalidInput."""
    if not text.endswith("\n") or not _is_text(text):
        raise InvalidInput("a note is lines of text without control characters")
    if not _is_name(name):
        raise InvalidInput(f"{name!r} cannot sign a note: a name without spaces and plus signs is needed")
    signature = NoteVerifier(name, key.public_key).key_hash + key.sign(text.encode())
    return f"{text}\n{_MARK}{name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, verifier: NoteVerifier) -> str:
    """Return the text of a note that `verifier` has signed; other signatures are passed over.

    Raises BadSignature.
    """
    if len(note) > LIMIT or not _is_text(note) or not note.endswith("\n"):
        raise BadSignature("not a signed note")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise BadSignature("not a signed note: there is no empty line before its signatures")
    text += "\n"
    known = [_signature(line, verifier) for line in signatures.splitlines()]
    values = [value for value in known if value is not None]
    if not values:
        raise BadSignature(f"this note is not signed by {verifier.name} with the key that is trusted")
    for value in values:
        verify_ed25519(verifier.public_key, text.encode(), value)
    return text


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> str:
    """Return a checkpoint as a note, signed in the name of its origin.  Raises InvalidInput."""
    return sign_note(str(checkpoint), checkpoint.origin, key)


def open_checkpoint(note: str, verifier: NoteVerifier) -> Checkpoint:
    """Return the checkpoint in a note that `verifier` has signed, whose name has to be the log's origin.

    Raises BadSignature.
    """
    text = open_note(note, verifier)
    try:
        origin, size, root = text.splitlines()[:3]
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except ValueError as error:
        raise BadSignature(f"not a checkpoint: {error}") from error
    if not text.startswith(str(checkpoint)) or len(checkpoint.root) != 32 or checkpoint.size < 0:
        raise BadSignature("not a checkpoint: it needs an origin, a size and a root of 32 bytes")
    if origin != verifier.name:
        raise BadSignature(f"this checkpoint is of another log: {origin[:80]!r}")
    return checkpoint


def _signature(line: str, verifier: NoteVerifier) -> bytes | None:
    """Return the signature in a line when it says that it was made with this key."""
    mark, name, encoded = line[: len(_MARK)], *line[len(_MARK) :].partition(" ")[::2]
    try:
        value = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise BadSignature("not a signed note: a signature is not base64") from error
    if mark != _MARK or not _is_name(name) or len(value) < 5:
        raise BadSignature("not a signed note: a line after the empty line is no signature")
    return value[4:] if (name, value[:4]) == (verifier.name, verifier.key_hash) else None


def _is_text(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and "+" not in name and not any(c.isspace() for c in name)
