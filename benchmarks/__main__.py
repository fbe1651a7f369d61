"""python -m benchmarks [agent] [matrix] [releases] [wave]: print the figures, and the machine they are of."""

import os
import platform
import sys
from datetime import date

from tests.lab import why_not

from benchmarks import agent, matrix, releases, wave


def main() -> None:
    """Run the benchmarks named, or all of them."""
    wanted = sys.argv[1:] or ["agent", "matrix", "releases", "wave"]
    print(f"{date.today()} · {machine()}")
    if "agent" in wanted:
        agent.run()
    if "matrix" in wanted:
        matrix.run()
    if "releases" in wanted:
        releases.run()
    if "wave" in wanted:
        if reason := why_not():
            print(f"wave: not measured: {reason}")
        else:
            wave.run()


def machine() -> str:
    """Return what this machine is, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel, python = platform.release(), platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {kernel}, Python {python}"


if __name__ == "__main__":
    main()
