"""Runs a piece of a test as a user who may not read everything, whoever runs the tests."""

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

NOBODY = 65534

Result = TypeVar("Result")


def as_nobody(work: Callable[[], Result]) -> Result:
    """Return what `work` returns in a child process without root's rights, or raise what it raises."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            said = pickle.dumps((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the parent
            said = pickle.dumps((None, error))
        os.write(writer, said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        done: tuple[Result, BaseException | None] = pickle.loads(pipe.read())  # noqa: S301 - from our own child
    os.waitpid(pid, 0)
    if done[1] is not None:
        raise done[1]
    return done[0]


@contextmanager
def open_directory() -> Iterator[Path]:
    """Yield a new directory into which everybody may look; pytest's own are for whoever runs the tests."""
    directory = Path(tempfile.mkdtemp(prefix="verdelta-test-", dir="/tmp"))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory)
