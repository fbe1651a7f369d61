"""Who this agent is: its key, what it keeps between two runs, and how it signs with what the host has.

Two schemes of signature, so that every host has one:
- sshsig: `ssh-keygen -Y sign` (OpenSSH 8.1 and newer) with an Ed25519 key.  The public key is OpenSSH's one line, the
  signature the blob of OpenSSH's PROTOCOL.sshsig without its armour.  An SSH host key signs in the same way, so an
  agentless audit leaves nothing behind.
- ecdsa-p256-sha256: `openssl dgst -sha256 -sign` with a P-256 key, where OpenSSH is older (RHEL 8).  The public key is
  a PEM SubjectPublicKeyInfo, the signature DER.
Where neither tool can sign, `cryptography` makes the same signatures with the same keys, if it is installed.

The state directory, of mode 0700, has key, key.pub, identity.json and history.json.  A file is replaced as a whole or
not at all, whenever the machine stops.  Whoever changes one of them holds the lock.
"""

import base64
import binascii
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

from .wire import GENESIS, NAMESPACE, Envelope, Message, encode_envelope, encode_message, to_be_signed

SSHSIG = "sshsig"
ECDSA = "ecdsa-p256-sha256"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"

DEADLINE = 10.0  # seconds for a child that makes a key or signs
KEPT = 256  # unanswered messages remembered; a host is silent for that many runs before the oldest is forgotten
LIMIT = 1 << 20  # bytes of a file in the state directory
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}

_ENROL = "Enrol this host: verdelta-agent enrol"
_ARMOUR = (b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----")
_PEM = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")


class IdentityError(Exception):
    """The agent's key or state cannot be used.  The text says why and, on a line of its own, what to do about it."""


class Key(NamedTuple):
    """A key to sign with: the file with the private half, and the public half as the controller knows it."""

    scheme: str
    public_key: str
    path: str


class Identity(NamedTuple):
    """Who this host is, and to which controller.  `epoch` counts its keys; `ca_file` is None for the system's CAs."""

    host_id: str
    audience: str
    epoch: int
    controller: str
    ca_file: Optional[str] = None


class History(NamedTuple):
    """Where this host stands in its own history.

    `sequence` is the number of the last message made, `acknowledged` the digest of the last one known to have been
    accepted, `pending` the digests of those made since: any of them may have arrived without its answer coming back.
    """

    sequence: int = 0
    acknowledged: str = GENESIS
    pending: Tuple[str, ...] = ()


# -- keys and signatures


def create_key(directory: str) -> Key:
    """Make this host's key in `directory` with whatever the host can sign with, and prove that it can.

    The lock has to be held.  Raises IdentityError when there is a key already, or when nothing here can sign.
    """
    make_directory(directory)
    path = os.path.join(directory, "key")
    if os.path.lexists(path):
        raise IdentityError("%s: there is a key already\n  To enrol with another one, move it away first." % path)
    reasons = []
    ways = ((_create_ssh_key, _sign_by_tool), (_create_openssl_key, _sign_by_tool), (_create_key_here, _sign_here))
    for create, prove in ways:
        try:
            key = create(path + ".new")
            prove(key, b"can this host sign?")
            return _keep_key(key, path)
        except (IdentityError, ValueError) as error:
            reasons.append(str(error))
            _remove(path + ".new", path + ".new.pub")
    raise IdentityError(
        "this host has nothing to sign with: %s\n  Install OpenSSH 8.1 or newer, OpenSSL, or cryptography for %s."
        % ("; ".join(reasons), sys.executable)
    )


def _create_ssh_key(path: str) -> Key:
    _remove(path, path + ".pub")  # an earlier attempt may have been killed; ssh-keygen would ask about the file
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "verdelta-agent", "-f", path])
    return Key(SSHSIG, _read(path + ".pub"), path)


def _create_openssl_key(path: str) -> Key:
    private = _run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"])
    public = _run(["openssl", "ec", "-pubout"], private).decode("ascii").strip()
    return _write_key(path, private, public)


def _create_key_here(path: str) -> Key:
    from . import by_cryptography

    private, public = by_cryptography.create_key()
    return _write_key(path, private, public)


def _write_key(path: str, private: bytes, public: str) -> Key:
    replace(path, private)
    replace(path + ".pub", public.encode("ascii") + b"\n")
    return Key(ECDSA, public, path)


def _keep_key(key: Key, path: str) -> Key:
    """Give a new key its name.  The private half comes last: where it is, the public half is its own."""
    for suffix in (".pub", ""):
        flush(key.path + suffix)
        os.rename(key.path + suffix, path + suffix)
    flush(os.path.dirname(path))
    return key._replace(path=path)


def load_key(directory: str) -> Key:
    """Return this host's key.  Raises IdentityError when there is none, or when others may read it."""
    path = os.path.join(directory, "key")
    try:
        mode = os.stat(path).st_mode
        public_key = _read(path + ".pub")
    except FileNotFoundError as error:
        raise IdentityError("%s: there is no key here\n  %s" % (error.filename, _ENROL)) from error
    if mode & 0o077:
        raise IdentityError("%s: others may read this key\n  chmod 600 it, or better enrol with a new one." % path)
    return Key(ECDSA if public_key.startswith(_PEM[0]) else SSHSIG, public_key, path)


def host_key(path: str = HOST_KEY) -> Key:
    """Return an SSH host key of this machine to sign with (Ed25519, or ECDSA P-256).

    Raises IdentityError when there is none or it may not be read (only root may).
    """
    try:
        if os.path.exists(path + ".pub"):
            return Key(SSHSIG, _read(path + ".pub"), path)
        return Key(SSHSIG, _run(["ssh-keygen", "-y", "-f", path]).decode("ascii").strip(), path)
    except OSError as error:
        raise IdentityError("the SSH host key cannot be read: %s" % error) from error


def key_id(public_key: str) -> str:
    """Return "SHA256:…" as `ssh-keygen -l` prints it; of a PEM key, the same over its DER.

    Raises IdentityError when the text is no public key.
    """
    text = public_key.strip()
    try:
        encoded = "".join(text.splitlines()[1:-1]) if text.startswith(_PEM[0]) else text.split()[1]
        digest = hashlib.sha256(base64.b64decode(encoded, validate=True)).digest()
    except (IndexError, binascii.Error) as error:
        raise IdentityError("not a public key: %r" % text[:60]) from error
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def sign(key: Key, data: bytes, deadline: float = DEADLINE) -> bytes:
    """Return the signature over `data`.  Raises IdentityError when the host's tool fails or takes too long.

    A child is the cheaper way (by_cryptography.py has the figures), so this process signs only where no child can.
    """
    try:
        return _sign_by_tool(key, data, deadline)
    except IdentityError:
        with suppress(IdentityError, OSError, ValueError):
            return _sign_here(key, data)
        raise


def _sign_by_tool(key: Key, data: bytes, deadline: float = DEADLINE) -> bytes:
    if key.scheme == ECDSA:
        return _run(["openssl", "dgst", "-sha256", "-sign", key.path], data, deadline)
    try:
        armoured = _run(["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", key.path], data, deadline)
    except IdentityError as error:
        if "option -- " not in str(error):  # "unknown option -- Y", or as the C library says it, "invalid …"
            raise
        return _sign_for_old_openssh(key, data, deadline)
    lines = armoured.strip().splitlines()
    if len(lines) < 3 or (lines[0], lines[-1]) != _ARMOUR:
        raise IdentityError("ssh-keygen -Y sign printed no signature: %r" % armoured[:60])
    return base64.b64decode(b"".join(lines[1:-1]))


def _sign_for_old_openssh(key: Key, data: bytes, deadline: float) -> bytes:
    """Sign with a host key that ssh-keygen is too old to sign with.  The private half reaches OpenSSL by a pipe."""
    from . import old_openssh

    if not key.public_key.startswith(old_openssh.KIND.decode("ascii")):
        raise IdentityError(
            "this host's OpenSSH cannot sign (8.1 and newer can)\n"
            "  Pin its ecdsa-sha2-nistp256 host key, with which OpenSSL signs; or install the agent."
        )
    try:
        private = old_openssh.private_key_for_openssl(_read(key.path))
        reader, writer = os.pipe()
        try:
            os.write(writer, private)
            os.close(writer)
            command = ["openssl", "dgst", "-sha256", "-sign", "/dev/fd/%d" % reader]
            signature = _run(command, old_openssh.to_be_signed(data), deadline, (reader,))
        finally:
            os.close(reader)
        return old_openssh.signature(key.public_key, signature)
    except (OSError, ValueError) as error:
        raise IdentityError("%s: %s" % (key.path, error)) from error


def _sign_here(key: Key, data: bytes) -> bytes:
    from . import by_cryptography

    return by_cryptography.sign(_read(key.path), key.public_key, data)


def seal(payload: bytes, key: Key) -> bytes:
    """Return an encoded message as a signed envelope, ready to leave.  Raises IdentityError."""
    return encode_envelope(Envelope(payload, key_id(key.public_key), sign(key, to_be_signed(payload))))


def _run(
    command: Sequence[str], data: bytes = b"", deadline: float = DEADLINE, descriptors: Sequence[int] = ()
) -> bytes:
    """Return what a command prints.  It has no terminal to ask for a passphrase on."""
    try:
        done = subprocess.run(
            list(command),
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            timeout=deadline,
            start_new_session=True,
            pass_fds=tuple(descriptors),
        )
    except subprocess.TimeoutExpired:
        raise IdentityError("%s did not end within %g s" % (command[0], deadline)) from None
    except OSError as error:
        raise IdentityError("%s: %s" % (command[0], error.strerror)) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "backslashreplace").strip().replace("\n", ", ")
        raise IdentityError("%s failed with %d: %s" % (" ".join(command[:3]), done.returncode, said[:200]))
    return done.stdout


# -- what is said, and what is known to have been heard


def next_message(identity: Identity, history: History, kind: str, body: Dict[str, Any]) -> Tuple[bytes, History]:
    """Return the next message, encoded, and the history with it: save that BEFORE the message leaves.

    A body gets "unanswered", the digests of the messages made since the one that `previous` names, when there are any:
    so the controller can tell a host that missed an answer from two hosts with one identity.
    """
    if history.pending:
        body = dict(body, unanswered=list(history.pending))
    sequence = history.sequence + 1
    message = Message(identity.audience, identity.host_id, identity.epoch, sequence, history.acknowledged, kind, body)
    payload = encode_message(message)
    digest = hashlib.sha256(payload).hexdigest()
    return payload, History(sequence, history.acknowledged, (history.pending + (digest,))[-KEPT:])


def acknowledge(history: History, digest: str) -> History:
    """Return the history after the controller said that `digest` is the last message that it accepted.

    A digest that this host did not make changes nothing: the controller will see from the next message that there are
    two histories.  Messages made after the one that is acknowledged stay pending: they may still arrive.
    """
    if digest not in history.pending:
        return history
    return History(history.sequence, digest, history.pending[history.pending.index(digest) + 1 :])


# -- the state directory


def make_directory(directory: str) -> None:
    """Make the state directory where it is missing, and see to it that nobody else looks into it."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.stat(directory).st_mode & 0o077:
        os.chmod(directory, 0o700)


@contextmanager
def locked(directory: str, patience: float = 600.0) -> Iterator[None]:
    """Hold the state directory, from before a message is made until its answer is noted.

    Raises IdentityError when another run of the agent holds it for longer than `patience` seconds.
    """
    make_directory(directory)
    descriptor = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, directory, patience)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, directory: str, patience: float) -> None:
    give_up = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                raise IdentityError(
                    "%s: another run of the agent has been using it for %g s\n  Wait for it, or end it."
                    % (directory, patience)
                ) from None
        time.sleep(0.05)


def save_identity(directory: str, identity: Identity) -> None:
    """Keep who this host is.  Save its history first: a host with an identity has a history."""
    replace(os.path.join(directory, "identity.json"), _encode(identity._asdict()))


def load_identity(directory: str) -> Identity:
    """Return who this host is.  Raises IdentityError when it is not enrolled, or when the file is damaged."""
    fields = _load(os.path.join(directory, "identity.json"))
    kinds = {"host_id": str, "audience": str, "epoch": int, "controller": str, "ca_file": (str, type(None))}
    return Identity(**_checked(directory, "identity.json", fields, kinds))


def save_history(directory: str, history: History) -> None:
    """Keep where this host stands."""
    replace(os.path.join(directory, "history.json"), _encode(history._asdict()))


def load_history(directory: str) -> History:
    """Return where this host stands.

    Raises IdentityError when that is lost: a host that began again at 1 would look like a copy of itself.
    """
    fields = _load(os.path.join(directory, "history.json"))
    known = _checked(directory, "history.json", fields, {"sequence": int, "acknowledged": str, "pending": list})
    return History(known["sequence"], known["acknowledged"], tuple(str(digest) for digest in known["pending"]))


def replace(path: str, content: bytes) -> None:
    """Write a file of mode 0600, as a whole or not at all: whoever reads sees the old content or the new."""
    new = path + ".writing"
    _remove(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.rename(new, path)
    flush(os.path.dirname(path))


def _encode(fields: Dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, indent=1).encode("ascii") + b"\n"


def _load(path: str) -> Dict[str, Any]:
    try:
        fields = json.loads(_read(path))
    except FileNotFoundError as error:
        raise IdentityError("%s: this host is not enrolled\n  %s" % (path, _ENROL)) from error
    except (ValueError, RecursionError) as error:
        raise IdentityError("%s is damaged: %s\n  %s again." % (path, error, _ENROL)) from error
    return fields if isinstance(fields, dict) else {}


def _checked(directory: str, name: str, fields: Dict[str, Any], kinds: Dict[str, Any]) -> Dict[str, Any]:
    """Return the fields that are known; what a newer agent wrote beside them is left out."""
    for field, kind in kinds.items():
        if not isinstance(fields.get(field), kind) or isinstance(fields[field], bool):
            raise IdentityError("%s/%s is damaged: %s is missing\n  %s again." % (directory, name, field, _ENROL))
    return {field: fields[field] for field in kinds}


def _read(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise IdentityError("%s is larger than %d bytes" % (path, LIMIT))
    return content.decode("utf-8", "backslashreplace").strip()


def flush(path: str) -> None:
    """Return when what was written to a file, or renamed in a directory, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(*paths: str) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
