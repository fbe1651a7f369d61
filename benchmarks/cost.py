"""What a whole process costs: CPU seconds and memory, its children included."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a process took: user and system CPU together, and the largest resident set of the process itself."""

    seconds: float
    mebibytes: float


def cost(command: Sequence[str], accepted: Sequence[int] = (0,), data: bytes = b"") -> Cost:
    """Return what one run of a command took, children included.  Raises SystemExit where it fails."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0
    )
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.close()
    memory = 0.0
    while True:
        memory = max(memory, peak(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.002)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in accepted:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, memory)


def peak(pid: int) -> float:
    """Return the largest resident set of a running process so far, in MiB.  rusage would count the parent's too."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
