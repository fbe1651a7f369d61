"""Large artifacts between real processes: little memory on either side, and on after a kill -9 of either.

Memory is the high-water mark of resident memory (VmHWM, proc(5)): of the client as a whole above one that asks nothing
of the kind, and of the controller above what it had when it was idle.
"""

import ctypes
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine

COMMAND = [sys.executable, "-m", "verdelta_controller"]
MIB = 1 << 20
MOST = 64 * MIB  # bytes of memory that an artifact may cost, whatever its size
PATIENCE = 120.0  # seconds


class Machine:
    """A controller as a process of its own, and the command beside it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VERDELTA_")},
            "XDG_CONFIG_HOME": str(folder / "config"),
            "VERDELTA_STATE": str(folder / "state"),
            "COLUMNS": "200",
        }
        assert CommandLine(folder)("init").exit_code == 0
        self.server: subprocess.Popen[str] | None = None
        self.port = port

    def start(self) -> None:
        """Start the controller, on the port that it had before."""
        words = [*COMMAND, "serve", "--port", str(self.port)]
        log = (self.folder / "log").open("a")
        self.server = subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found is not None, line + (self.folder / "log").read_text()
        self.port = int(found[1])
        self.environment["VERDELTA_URL"] = found[0]

    def kill(self) -> None:
        """End the controller as a power cut would."""
        if self.server is not None:
            self.server.kill()
            self.server.communicate()

    def begin(self, *arguments: object) -> "subprocess.Popen[str]":
        """Run `verdelta …` beside what else goes on."""
        words = [*COMMAND, *map(str, arguments)]
        return subprocess.Popen(words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: object) -> "Ended":
        """Run `verdelta …` to its end, and see how much memory it took."""
        running, high = self.begin(*arguments), 0
        while running.poll() is None:
            with suppress(OSError, ValueError):
                high = max(high, high_water(running.pid))
            time.sleep(0.01)
        out, err = running.communicate()
        assert running.returncode == 0, f"{arguments}: {out}\n{err}\n{(self.folder / 'log').read_text()[-2000:]}"
        return Ended(out, high)


class Ended:
    """What a command printed, and its high-water mark in bytes."""

    def __init__(self, out: str, high: int) -> None:
        self.out, self.high = out, high


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    machine.start()
    yield machine
    machine.kill()


def high_water(pid: int) -> int:
    """Return the most resident memory that a process ever had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise ValueError("it has ended")
    return int(found[1]) * 1024


def forget_high_water(pid: int) -> int:
    """Let the mark begin anew at what a process has now (proc(5), clear_refs), and return that."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return high_water(pid)


def write_large(path: Path, size: int) -> str:
    """Write a file that is mostly a hole, with something else in every 64 MiB, and return its SHA-256."""
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, 64 * MIB):
            file.seek(at)
            file.write(os.urandom(1000))
    return digest_of(path)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def there_and_back(machine: Machine, size: int, tmp_path: Path) -> None:
    """Bring a file in, verify the library, fetch it; hold the memory of both sides to what it may be."""
    digest = write_large(tmp_path / "large.img", size)
    (tmp_path / "small.img").write_bytes(b"x")
    idle = machine.run("library", "add", tmp_path / "small.img").high
    machine.run("library", "fetch", "small.img", "--file", tmp_path / "back")
    assert machine.server is not None
    before = forget_high_water(machine.server.pid)

    client = [
        machine.run("library", "add", tmp_path / "large.img").high,
        machine.run("library", "verify").high,
        machine.run("library", "fetch", digest, "--file", tmp_path / "back").high,
    ]

    controller = high_water(machine.server.pid) - before
    print(f"{size // MIB} MiB: controller {controller / MIB:.1f} MiB above idle", end=", ")
    print(f"client {max(client) / MIB:.1f} MiB, with a file of one byte {idle / MIB:.1f} MiB")
    assert digest_of(tmp_path / "back") == digest
    assert controller < MOST
    assert max(client) - idle < MOST


def test_256_mib_there_and_back_take_little_memory_on_either_side(machine: Machine, tmp_path: Path):
    there_and_back(machine, 256 * MIB, tmp_path)


@pytest.mark.soak
def test_5_gib_there_and_back_take_little_memory_on_either_side(machine: Machine, tmp_path: Path):
    there_and_back(machine, 5 * 1024 * MIB, tmp_path)


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def arrived(machine: Machine) -> int:
    """Return how many bytes of an upload are on the controller's disk."""
    sizes = []
    with suppress(FileNotFoundError):
        sizes = [path.stat().st_size for path in (machine.folder / "state/library/uploads").iterdir()]
    return max(sizes, default=0)


def inode_of_upload(machine: Machine) -> int:
    (path,) = (machine.folder / "state/library/uploads").iterdir()
    return path.stat().st_ino


def inode_in_library(machine: Machine, digest: str) -> int:
    """Return the file that the content is: the one that arrived, when nothing was sent anew."""
    return (machine.folder / "state/library/sha256" / digest[:2] / digest).stat().st_ino


def test_an_upload_goes_on_after_a_kill_of_the_client(machine: Machine, tmp_path: Path):
    digest = write_large(tmp_path / "large.img", 400 * MIB)
    client = machine.begin("library", "add", tmp_path / "large.img")
    until(lambda: arrived(machine) > 20 * MIB)
    client.send_signal(signal.SIGKILL)
    client.communicate()
    stood = arrived(machine)
    assert 20 * MIB < stood < 400 * MIB
    inode = inode_of_upload(machine)

    machine.run("library", "add", tmp_path / "large.img")

    assert inode_in_library(machine, digest) == inode

    assert digest in machine.run("library", "list", "-o", "json").out
    machine.run("library", "verify")


def test_an_upload_goes_on_by_itself_after_a_kill_of_the_controller(machine: Machine, tmp_path: Path):
    digest = write_large(tmp_path / "large.img", 400 * MIB)
    client = machine.begin("library", "add", tmp_path / "large.img")
    until(lambda: arrived(machine) > 20 * MIB)
    machine.kill()
    stood = arrived(machine)
    assert 20 * MIB < stood < 400 * MIB
    inode = inode_of_upload(machine)
    machine.start()

    out, err = client.communicate(timeout=PATIENCE)

    assert client.returncode == 0, out + err
    assert inode_in_library(machine, digest) == inode
    machine.run("library", "verify")


def test_a_fetch_goes_on_after_a_kill_of_either_side(machine: Machine, tmp_path: Path):
    digest = write_large(tmp_path / "large.img", 400 * MIB)
    machine.run("library", "add", tmp_path / "large.img")
    target = tmp_path / "back"
    partial = tmp_path / f".back.{digest[:16]}.part"

    def come(more: int) -> Callable[[], bool]:
        return lambda: partial.exists() and partial.stat().st_size > more

    client = machine.begin("library", "fetch", digest, "--file", target)
    until(come(10 * MIB))
    client.send_signal(signal.SIGKILL)
    client.communicate()
    stood = partial.stat().st_size
    assert stood < 400 * MIB and not target.exists()
    client = machine.begin("library", "fetch", digest, "--file", target)
    until(come(stood))
    machine.kill()
    assert not target.exists()
    machine.start()

    out, err = client.communicate(timeout=PATIENCE)

    assert client.returncode == 0, out + err
    assert digest_of(target) == digest and not partial.exists()


@contextmanager
def a_small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a tmpfs of so many bytes on a folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(parents=True, exist_ok=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()) != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(str(folder).encode(), 2)


def test_a_full_disk_is_said_loses_nothing_and_is_gone_on_with_when_there_is_room(tmp_path: Path):
    machine = Machine(tmp_path)
    digest = write_large(tmp_path / "large.img", 40 * MIB)
    library = tmp_path / "state/library"
    with a_small_disk(library, 48 * MIB):
        (library / "ballast").write_bytes(os.urandom(20 * MIB))
        machine.start()
        try:
            client = machine.begin("library", "add", tmp_path / "large.img")
            out, err = client.communicate(timeout=PATIENCE)
            assert client.returncode == 1, out + err
            assert "No space left on device" in err and "Make room" in err
            stood = arrived(machine)
            assert stood > 20 * MIB

            (library / "ballast").unlink()
            machine.run("library", "add", tmp_path / "large.img")
            assert digest in machine.run("library", "list", "-o", "json").out
            machine.run("library", "verify")
        finally:
            machine.kill()
