"""One full audit of this machine by the one-file agent: CPU seconds and memory of the whole process.

The floor beside it is the interpreter alone, started in the same way.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from verdelta_controller.fleet import agent_archive

RUNS = 15
PYTHON = "/usr/bin/python3"


class Cost(NamedTuple):
    """What a process took: user and system CPU together, and the largest resident set."""

    seconds: float
    mebibytes: float


def run() -> None:
    """Measure and print."""
    python = PYTHON if Path(PYTHON).exists() else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "verdelta-agent.pyz"
        archive.write_bytes(agent_archive.build())
        agent = [python, "-ISE", str(archive), "--state", str(Path(folder) / "state")]
        enrol = [*agent, "enrol", "--print"]
        subprocess.run(enrol, input=b"controller.host.1.secret", stdout=subprocess.DEVNULL, check=True)
        print(f"\nOne audit of this machine ({python}), {RUNS} runs, median of user + system CPU:")
        _measure("floor: the interpreter alone", [python, "-ISE", "-c", "pass"])
        _measure("full audit, signed, as pushed", [*agent, "audit"])
        subprocess.run([*agent, "compile", str(archive)], check=True)
        _measure("full audit, signed, as installed", [*agent, "audit"])
        _measure("full inventory, as installed", [*agent, "inventory", "-o", "json"])


def _measure(name: str, command: Sequence[str]) -> None:
    costs = [cost(command) for _ in range(RUNS)]
    seconds = statistics.median(one.seconds for one in costs)
    memory = statistics.median(one.mebibytes for one in costs)
    print(f"  {name:34} {seconds:7.3f} CPU s   {memory:6.1f} MiB")


def cost(command: Sequence[str]) -> Cost:
    """Return what one run of a command took, children included."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    memory = 0.0
    while True:
        memory = max(memory, peak(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.002)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, memory)


def peak(pid: int) -> float:
    """Return the largest resident set of a running process so far, in MiB.  rusage would count the parent's too."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
