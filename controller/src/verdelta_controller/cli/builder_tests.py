"""Run the builder's own tests in the release folder, before anybody else tests the package."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..foundation.errors import InvalidInput
from ..releases.manifest import BuilderTest
from ..releases.test_results import LIMIT as REPORT_LIMIT
from ..releases.test_results import MESSAGE, CaseOutcome, CaseResult, printable, read_junit

CHUNK = 1 << 16
GRACE = 5.0  # seconds between asking a test to end and ending it


def run(test: BuilderTest, folder: Path) -> CaseResult:
    """Run one test and return how it ended.  A command that cannot be started has failed; so has one without an end.

    Its words are an argument list, and no token of ours is in its environment.
    """
    began = time.monotonic()
    try:
        with _running(test, folder) as process:
            said, in_time = _listen(process, began + test.timeout)
            code = process.wait(GRACE) if in_time else None
    except (OSError, ValueError) as error:
        return _failed(test, began, f"{test.run[0]}: cannot be run: {getattr(error, 'strerror', None) or error}")
    except subprocess.TimeoutExpired:
        said, code = b"it closed its output, and did not end", None
    text = said.decode("utf-8", "replace").strip()
    if code == 0:
        return CaseResult(name=test.name, outcome=CaseOutcome.PASSED, seconds=_since(began))
    why = f"not ended after {test.timeout} s" if code is None else f"exit code {code}"
    return _failed(test, began, f"{why}\n{text[-(MESSAGE - 100) :]}".strip())


def from_junit(path: Path) -> list[CaseResult]:
    """Return the tests of a JUnit report.  Raises InvalidInput, TooLarge."""
    try:
        with path.open("rb") as file:
            return read_junit(file.read(REPORT_LIMIT + 1), str(path))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _running(test: BuilderTest, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a test in a process group of its own, which is gone afterwards with all that it started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VERDELTA_")}
    process = subprocess.Popen(
        test.run,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(GRACE if number == signal.SIGTERM else None)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _listen(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytes, bool]:
    """Return the end of what a process says, and whether it ended in time.  However much it says, little is kept."""
    if process.stdout is None:
        raise ValueError("the output of a test is always read")
    tail = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(left, 1.0)):
                if process.poll() is not None:
                    return tail, True  # a child of it holds the output open
                continue
            piece = os.read(process.stdout.fileno(), CHUNK)
            if not piece:
                return tail, True
            tail = (tail + piece)[-4 * MESSAGE :]
    return tail, False


def _failed(test: BuilderTest, began: float, message: str) -> CaseResult:
    return CaseResult(
        name=test.name, outcome=CaseOutcome.FAILED, seconds=_since(began), message=printable(message)[:MESSAGE]
    )


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
