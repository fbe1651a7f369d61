"""Build a package of 500 components and 10,000 files, beside the floor: hashing the same files with hashlib.

What the builder's machine does (resolve, hash, check, lock), what the controller does with the order, and the whole
command against a controller that has nothing yet and one that has everything.
"""

import gc
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verdelta_controller.cli import package

COMPONENTS = 500
FILES = 20  # of each component
SIZE = 4096  # bytes of each file
RUNS = 5
TARGET = 10.0  # seconds beyond the floor


def run() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "release"
        _make(folder)
        print(f"\nA package of {COMPONENTS} components and {COMPONENTS * FILES} files of {SIZE} bytes, wall clock:")
        floor = _median("floor: hashlib over the same files", lambda: _floor(folder))
        read = _median("resolve, hash, check and lock", lambda: package.read(folder))
        print(f"    beyond the floor: {read - floor:.2f} s; ratio {read / floor:.1f}")
        _against_a_controller(folder, Path(name), floor)


def _make(folder: Path) -> None:
    lines = ["release: big", 'version: "1"', "type: major", "service: lab", "install: {playbook: install_packages.yml}"]
    lines += ["changes: [{section: software.dpkg, key: x, after: any}]", "components:"]
    for number in range(COMPONENTS):
        needs = f", requires: [part-{number - 1}]" if number else ""
        lines.append(
            f"  - {{kind: in-house-application, name: part-{number}, version: '1.{number}', licence: MIT,"
            f" owner: lab, files: [parts/{number}]{needs}}}"
        )
        part = folder / "parts" / str(number)
        part.mkdir(parents=True)
        for file in range(FILES):
            (part / f"file-{file}").write_bytes(f"{number}/{file}\n".encode().ljust(SIZE, b"x"))
    (folder / "release.yaml").write_text("\n".join(lines) + "\n")


def _floor(folder: Path) -> None:
    for path in sorted(folder.rglob("file-*")):
        hashlib.sha256(path.read_bytes()).hexdigest()


def _median(what: str, work: Callable[[], Any], runs: int = RUNS) -> float:
    taken = []
    for _ in range(runs):
        gc.collect()
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    print(f"    {what:<50} {median:8.2f} s")
    return median


def _against_a_controller(folder: Path, state: Path, floor: float) -> None:
    """Print what the whole command takes: `verdelta release build` as a process, against `verdelta serve`."""
    with _controller(state) as environment:
        command = [sys.executable, "-m", "verdelta_controller", "release", "build", str(folder), "-o", "json"]

        def build() -> None:
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

        first = _median("release build, everything brought in", build, 1)
        print(f"    beyond the floor: {first - floor:.2f} s, target {TARGET:.0f} s")
        again = _median("release build, everything in the library", build, 3)
        print(f"    beyond the floor: {again - floor:.2f} s")


@contextmanager
def _controller(folder: Path) -> Iterator[dict[str, str]]:
    settings = {
        "VERDELTA_STATE": f"{folder}/state",
        "VERDELTA_PROFILE": f"{folder}/client.json",
        "VERDELTA_PORT": "8479",
    }
    environment = os.environ | settings
    command = [sys.executable, "-m", "verdelta_controller"]
    subprocess.run([*command, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*command, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            asking = [*command, "token", "list"]
            while subprocess.run(asking, env=environment, capture_output=True, check=False).returncode:
                if process.poll() is not None:
                    raise RuntimeError("the controller did not start")
                time.sleep(0.2)
            yield environment
        finally:
            process.terminate()


if __name__ == "__main__":
    run()
