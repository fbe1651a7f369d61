"""A real OpenSSH server on loopback, as whoever runs the tests, with host keys of its own; and keys to log in with."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from verdelta_controller.fleet.channels import Address

PATIENCE = 20.0  # seconds until it answers
WHERE = f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}"

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {folder}/authorized_keys
LogLevel DEBUG
"""


def make_key(path: Path, kind: str = "ed25519") -> str:
    """Make a key pair in a file, and return its public line."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_name(f"{path.name}.pub").read_text().strip()


class Sshd:
    """One server: its port, its host keys by kind, its log."""

    def __init__(self, folder: Path, kinds: Sequence[str]) -> None:
        self.folder = folder
        self.port = _free_port()
        self.host_keys = {kind: make_key(folder / f"host_{kind}", kind) for kind in kinds}
        (folder / "authorized_keys").write_text(make_key(folder / "login") + "\n")
        self.private_key = (folder / "login").read_text()
        self._kinds = kinds
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, host_key: str = "") -> Address:
        """Return where it is, with a key pinned: its first one by default."""
        pinned = host_key or self.host_keys[self._kinds[0]]
        return Address("web-07", "127.0.0.1", self.port, getpass.getuser(), pinned)

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it refuses to start without, though it stays empty
        config = CONFIG.format(port=self.port, folder=self.folder)
        config += "".join(f"HostKey {self.folder}/host_{kind}\n" for kind in self._kinds)
        (self.folder / "config").write_text(config)
        command = [_binary(), "-D", "-f", str(self.folder / "config"), "-E", str(self.folder / "log")]
        self._process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < give_up, self.log()
                time.sleep(0.02)

    def cut(self) -> None:
        """End the server, every connection and what runs in them, as a power cut would."""
        server, self._process = self._process, None
        if server is not None:
            for process in [*_descendants(server.pid), server.pid]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            server.wait(PATIENCE)


@contextmanager
def running(folder: Path, kinds: Sequence[str] = ("ed25519",)) -> Iterator[Sshd]:
    """Yield a server that runs until the block ends; the test is skipped where there is none to run."""
    if _binary() == "":
        pytest.skip("needs OpenSSH's server (Debian: apt-get install openssh-server)")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = Sshd(folder, kinds)
    server.start()
    try:
        yield server
    finally:
        server.cut()


def _binary() -> str:
    return shutil.which("sshd", path=WHERE) or ""


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _descendants(process: int) -> list[int]:
    """Return the processes that a process has begun, and those that these have: each connection is one."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]
