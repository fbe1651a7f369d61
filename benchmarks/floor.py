"""The floor of an audit: an interpreter that starts and reads the same bytes, and does nothing with them.

Run by itself, with a file that lists what is read: a letter (r, l, d or t: read, lstat, list a directory, read a
link) and a path a line.
"""

import os
import sys


def main() -> None:
    """Read everything that is listed."""
    with open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as listed:
        lines = listed.read().split("\n")
    for line in lines:
        try:
            _read(line[:1], line[1:])
        except OSError:
            pass  # as it was when the agent asked


def _read(kind: str, path: str) -> None:
    if kind == "r":
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while os.read(descriptor, 65536):
                pass
        finally:
            os.close(descriptor)
    elif kind == "l":
        os.lstat(path)
    elif kind == "d":
        os.listdir(path)
    elif kind == "t":
        os.readlink(path)


main()
