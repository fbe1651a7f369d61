"""Running a command on a host: over SSH with a pinned host key, or on the controller's own machine.

One port (`Channel`), two implementations.  A host's key is pinned before anything is sent; a changed key ends the
connection before the credential is used.
"""

import io
import shlex
import subprocess
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import paramiko

from ..foundation.errors import InvalidInput, Unavailable, VerdeltaError

CONNECT_TIMEOUT = 10.0
OUTPUT_LIMIT = 96 << 20
ERROR_LIMIT = 64 << 10


class Unreachable(Unavailable):
    """The host cannot be reached."""


class HostKeyChanged(VerdeltaError):
    """The host's key is not the pinned one."""


class Completed(NamedTuple):
    """What a command on a host ended with."""

    status: int
    output: bytes
    error: str


class Channel(Protocol):
    """A way to run commands on one host."""

    def run(self, command: Sequence[str], data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a command with `data` as its standard input.  Raises Unreachable."""

    def close(self) -> None:
        """Let go of the connection."""


class Address(NamedTuple):
    """Where and as whom a host is reached over SSH."""

    name: str  # for messages
    host: str
    port: int
    user: str
    host_key: str  # pinned: type and base64


def fingerprint(host_key: str) -> str:
    """Return the fingerprint of a public key as ssh-keygen shows it.  Raises InvalidInput when it is not a key."""
    try:
        kind, encoded = host_key.split()[:2]
        digest = sha256(b64decode(encoded, validate=True)).digest()
    except ValueError as error:
        raise InvalidInput(f"{host_key[:40]!r} is not a public host key: expected its type and base64") from error
    return f"SHA256:{b64encode(digest).decode().rstrip('=')} ({kind})"


def scan(host: str, port: int) -> str:
    """Return the host key that an address shows.  Nothing is sent to it, and nothing is trusted yet."""
    transport = None
    try:
        transport = paramiko.Transport((host, port))
        transport.start_client(timeout=CONNECT_TIMEOUT)
        key = transport.get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(f"{host}:{port}: no SSH server answers: {error or type(error).__name__}") from error
    finally:
        if transport is not None:
            transport.close()


def from_known_hosts(text: str, host: str, port: int) -> str:
    """Return the key that a known_hosts file has for an address.  Raises InvalidInput when it has none."""
    known = paramiko.HostKeys()
    for line in text.splitlines():
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        except (paramiko.SSHException, ValueError):
            continue  # a line of another kind (a marker, a comment, a key type we cannot use) pins nothing
        if entry is not None and entry.hostnames and entry.key is not None:
            for name in entry.hostnames:
                known.add(name, entry.key.get_name(), entry.key)
    wanted = host if port == 22 else f"[{host}]:{port}"
    found = known.lookup(wanted)
    if not found:
        raise InvalidInput(f"known_hosts has no key for {wanted}", mend="Give the fingerprint instead: --fingerprint")
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256"):
        if kind in found:
            return f"{kind} {found[kind].get_base64()}"
    kind = next(iter(found))
    return f"{kind} {found[kind].get_base64()}"


def load_private_key(text: str) -> paramiko.PKey:
    """Return the private key in `text`.  Raises InvalidInput, without a byte of the key, when it is none."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise InvalidInput(
        "not an SSH private key without a passphrase (Ed25519, ECDSA or RSA)",
        mend="Make one for the controller: ssh-keygen -t ed25519 -N '' -f verdelta-key",
    )


class SshChannel:
    """One SSH connection to one host, used for several commands."""

    def __init__(self, address: Address, private_key: paramiko.PKey) -> None:
        self._name = address.name
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pinned = _public_key(address.host_key)
        known_as = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
        self._client.get_host_keys().add(known_as, pinned.get_name(), pinned)
        try:
            self._client.connect(
                address.host,
                address.port,
                address.user,
                pkey=private_key,
                allow_agent=False,
                look_for_keys=False,
                timeout=CONNECT_TIMEOUT,
                banner_timeout=CONNECT_TIMEOUT,
                auth_timeout=CONNECT_TIMEOUT,
            )
        except paramiko.BadHostKeyException as error:
            shown = fingerprint(f"{error.key.get_name()} {error.key.get_base64()}")
            raise HostKeyChanged(
                f"{address.name}: host key changed since it was pinned"
                f" (was {fingerprint(address.host_key)}, now {shown})",
                mend=f"Nothing was sent to it. If the host was reinstalled: verdelta host repin {address.name}",
            ) from error
        except paramiko.AuthenticationException as error:
            raise Unreachable(f"{address.name}: {address.user} was not let in: {error}") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{address.name}: not reached at {address.host}:{address.port}: {error}") from error

    def run(self, command: Sequence[str], data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a command, quoted for the host's shell.  Raises Unreachable when the connection or the time ends."""
        return self.run_line(shlex.join(command), data, timeout)

    def run_line(self, line: str, data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a line of the host's shell; nothing in it may come from outside."""
        try:
            return self._exchange(line, data, timeout)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{self._name}: the connection ended: {error or type(error).__name__}") from error

    def _exchange(self, line: str, data: bytes, timeout: float) -> Completed:
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("not connected")
        channel = transport.open_session(timeout=CONNECT_TIMEOUT)
        with channel:
            channel.settimeout(timeout)
            channel.exec_command(line)
            sender = threading.Thread(target=_send, args=(channel, data), daemon=True)
            sender.start()
            output = _receive(channel, time.monotonic() + timeout)
            sender.join(CONNECT_TIMEOUT)
            error = channel.makefile_stderr("rb").read(ERROR_LIMIT)
            return Completed(channel.recv_exit_status(), output, error.decode("utf-8", "replace"))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _public_key(host_key: str) -> paramiko.PKey:
    kind, encoded = host_key.split()[:2]
    try:
        return paramiko.PKey.from_type_string(kind, b64decode(encoded, validate=True))
    except (paramiko.SSHException, ValueError) as error:
        raise InvalidInput(f"the pinned host key is not usable: {error}") from error


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        return  # the other side closed first; what it said and its exit status tell why


def _receive(channel: paramiko.Channel, ends_at: float) -> bytes:
    chunks, total = [], 0
    while chunk := channel.recv(1 << 16):
        total += len(chunk)
        if total > OUTPUT_LIMIT:
            raise EOFError(f"the command printed more than {OUTPUT_LIMIT} bytes")
        if time.monotonic() > ends_at:
            raise TimeoutError("the command did not end in time")
        chunks.append(chunk)
    return b"".join(chunks)


class LocalChannel:
    """The controller's own machine."""

    def run(self, command: Sequence[str], data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a command.  Raises Unreachable when it cannot be started or takes too long."""
        try:
            done = subprocess.run(list(command), input=data, capture_output=True, timeout=timeout, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"this machine: {error}") from error
        return Completed(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def close(self) -> None:
        """Nothing to let go of."""
