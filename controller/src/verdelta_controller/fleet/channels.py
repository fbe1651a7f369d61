"""Running a command on a host: over SSH with a pinned host key, or on the controller's own machine.

One port (`Channel`), two implementations.  A host's key is pinned before anything is sent; a changed key ends the
connection before the credential is used.
"""

import io
import shlex
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from ..foundation.errors import HostFailed, InvalidInput, Unavailable
from ..foundation.text import one_line
from . import host_keys, rules

CONNECT_TIMEOUT = 10.0
OUTPUT_LIMIT = 96 << 20
ERROR_LIMIT = 64 << 10

_CHUNK = 64 << 10
_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
_PEM = ("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----")  # as ssh-keygen -m PEM writes them


class Unreachable(Unavailable):
    """The host cannot be reached."""


class HostKeyChanged(HostFailed):
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


def scan(host: str, port: int) -> str:
    """Return the host key that an address shows.  Nothing is sent to it, and nothing is trusted yet.

    Raises InvalidInput for what is no address, Unreachable.
    """
    rules.check_address(host, port)
    try:
        with (
            closing(socket.create_connection((host, port), CONNECT_TIMEOUT)) as connection,
            closing(paramiko.Transport(connection)) as transport,
        ):
            transport.banner_timeout = CONNECT_TIMEOUT
            transport.start_client(timeout=CONNECT_TIMEOUT)
            return _as_pinned(transport.get_remote_server_key())
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(f"{host}:{port}: no SSH server answers: {_reason(error)}") from error


def load_private_key(text: str) -> paramiko.PKey:
    """Return the private key in `text`.  Raises InvalidInput, without a byte of the key, when it is none.

    It is written anew before paramiko reads it: of OpenSSH's keys it refuses some, by the length of their comment.
    """
    begins = text.lstrip().partition("\n")[0].strip()
    try:
        if begins in _PEM:
            return _for_paramiko(load_pem_private_key(text.encode(), None))
        if begins == _OPENSSH:
            return _for_paramiko(load_ssh_private_key(text.encode(), None))
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm, paramiko.SSHException):
        pass  # what was wrong with it may repeat a piece of it
    raise InvalidInput(
        "not an SSH private key without a passphrase (Ed25519, ECDSA or RSA)",
        mend="Make one for the controller: ssh-keygen -t ed25519 -N '' -f verdelta-key",
    )


def _for_paramiko(key: object) -> paramiko.PKey:
    if isinstance(key, Ed25519PrivateKey):
        written = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        return paramiko.Ed25519Key.from_private_key(io.StringIO(written.decode()))
    if isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        written = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        kind = paramiko.RSAKey if isinstance(key, RSAPrivateKey) else paramiko.ECDSAKey
        return kind.from_private_key(io.StringIO(written.decode()))
    raise TypeError("a key of another kind")


class SshChannel:
    """One SSH connection to one host, used for several commands."""

    def __init__(self, address: Address, private_key: paramiko.PKey) -> None:
        """Connect and log in.  Raises HostKeyChanged before anything is sent, Unreachable, InvalidInput."""
        self._name = address.name
        self._client = paramiko.SSHClient()
        try:
            self._connect(address, private_key)
        except BaseException:
            self._client.close()
            raise

    def _connect(self, address: Address, private_key: paramiko.PKey) -> None:
        self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
        pinned = _public_key(address.host_key)
        known_as = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
        self._client.get_host_keys().add(known_as, pinned.get_name(), pinned)
        where = f"{address.name}: not reached at {address.host}:{address.port}"
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
            raise _changed(address, _as_pinned(error.key)) from error
        except paramiko.AuthenticationException as error:
            raise Unreachable(
                f"{address.name}: {address.user} was not let in: {_reason(error)}",
                mend=f"Is it the right login and key? verdelta host set {address.name} --user … --credential …",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{where}: {_reason(error)}") from error

    def run(self, command: Sequence[str], data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a command, quoted for the host's shell.  Raises Unreachable when the connection or the time ends."""
        return self.run_line(shlex.join(command), data, timeout)

    def run_line(self, line: str, data: bytes = b"", timeout: float = 120) -> Completed:
        """Run a line of the host's shell; nothing in it may come from outside."""
        try:
            return self._exchange(line, data, timeout)
        except TimeoutError as error:
            raise Unreachable(f"{self._name}: the command did not end within {timeout:g} s") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{self._name}: {_reason(error)}") from error

    def _exchange(self, line: str, data: bytes, timeout: float) -> Completed:
        """Send and receive at once: a command may say anything on either of its outputs before it reads its input."""
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("not connected")
        ends_at = time.monotonic() + timeout
        channel = transport.open_session(timeout=CONNECT_TIMEOUT)
        with ThreadPoolExecutor(2) as beside, closing(channel):
            channel.settimeout(timeout)
            channel.exec_command(line)
            beside.submit(_send, channel, data)
            errors = beside.submit(_receive_errors, channel)
            output = _receive(channel, ends_at)
            error = errors.result(_left(ends_at))
            if not channel.status_event.wait(_left(ends_at)):
                raise TimeoutError
        if channel.exit_status < 0:
            raise EOFError("the connection ended, or the command was killed, before the command had ended")
        return Completed(channel.exit_status, output, error.decode("utf-8", "replace"))

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
    kind, encoded = host_keys.normal(host_key).split()
    key: paramiko.PKey = paramiko.PKey.from_type_string(kind, b64decode(encoded))
    return key


def _as_pinned(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _changed(address: Address, shown: str) -> HostKeyChanged:
    was, now = host_keys.fingerprint(address.host_key), host_keys.fingerprint(shown)
    return HostKeyChanged(
        f"{address.name}: host key changed since it was pinned (was {was}, now {now})",
        mend=f"Nothing was sent to it. If the host was reinstalled: verdelta host repin {address.name}",
    )


def _reason(error: Exception) -> str:
    """Return what went wrong, on one short line: a server that nobody knows yet may have had a say in it."""
    return one_line(str(error) or type(error).__name__)


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        return  # the other side closed first; what it said and its exit status tell why


def _receive(channel: paramiko.Channel, ends_at: float) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while True:
        channel.settimeout(_left(ends_at))
        chunk = channel.recv(_CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        total += len(chunk)
        if total > OUTPUT_LIMIT:
            raise EOFError(f"the command printed more than {OUTPUT_LIMIT} bytes")


def _receive_errors(channel: paramiko.Channel) -> bytes:
    """Return the end of what is said there, and take the rest, too: a command that is not heard out does not go on."""
    kept = b""
    while chunk := channel.recv_stderr(_CHUNK):
        kept = (kept + chunk)[-ERROR_LIMIT:]
    return kept


def _left(ends_at: float) -> float:
    """Return the seconds until then.  Raises TimeoutError when there are none."""
    seconds = ends_at - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


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
