"""python -m benchmarks [NAME …]: print the figures, and the machine that they were measured on."""

import os
import platform
import sys
from collections.abc import Callable
from datetime import date

from tests.lab import why_not

from benchmarks import agent, build, inbox, library, matrix, people, releases, wave


def _wave() -> None:
    """Measure the wave where there can be a lab, and say so where there cannot."""
    if reason := why_not():
        print(f"wave: not measured: {reason}")
    else:
        wave.run()


BENCHMARKS: dict[str, Callable[[], None]] = {
    "agent": agent.run,
    "build": build.run,
    "people": people.run,
    "inbox": inbox.run,
    "library": library.run,
    "matrix": matrix.run,
    "releases": releases.run,
    "wave": _wave,
}


def main() -> None:
    """Run the benchmarks named, or all of them."""
    wanted = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in wanted if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]}; there are: {', '.join(BENCHMARKS)}")
    print(f"{date.today()} · {machine()}")
    for name in wanted:
        BENCHMARKS[name]()


def machine() -> str:
    """Return what this machine is, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel, python = platform.release(), platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {kernel}, Python {python}"


if __name__ == "__main__":
    main()
