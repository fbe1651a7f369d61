"""Running the system's own tools, with errors that say what was run and what it answered."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class LabError(Exception):
    """The lab could not do what was asked of it."""


def run(argv: Sequence[str | Path], *, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end and return its text output; a failure is a LabError that quotes it."""
    command = [str(word) for word in argv]
    options.setdefault("timeout", 120)
    if "stdout" not in options and "stderr" not in options:
        options.setdefault("capture_output", True)
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(command, check=False, text=True, **options)
    except FileNotFoundError as e:
        raise LabError(f"{command[0]} is not installed; run scripts/install-debian-packages") from e
    except subprocess.TimeoutExpired as e:
        raise LabError(f"no end after {e.timeout} s: {' '.join(command)}") from e
    if check and done.returncode != 0:
        raise LabError(f"exit {done.returncode}: {' '.join(command)}\n{done.stdout or ''}{done.stderr or ''}".rstrip())
    return done
