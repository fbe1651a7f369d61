"""Reads rpm's databases directly, in all three of their formats: sqlite, ndb and Berkeley DB hash.

Directly, because librpm in a foreign process has damaged databases, and because `rpm -qa` opens the database for
writing where it can.  Nothing here writes beside a database, locks it, or trusts a length that it did not check.
"""

import errno
import os
from typing import IO, Callable, Iterator, List, Tuple

from .header import Package, parse

Headers = Callable[[IO[bytes]], Iterator[bytes]]


def read_packages(path: str, headers: Headers) -> List[Package]:
    """Return the packages of the database at `path` (of this machine), which `headers` knows how to walk.

    A database that is written to meanwhile is read once more.  Raises Corrupt, Unsupported or OSError.
    """
    for _ in range(2):
        with open(path, "rb", buffering=0) as file:
            before = _stamp(file)
            try:
                packages = [parse(header) for header in headers(file)]
            except ValueError:
                if _stamp(file) == before:
                    raise
                continue
            if _stamp(file) == before:
                return packages
    raise OSError(errno.EBUSY, "written to while it was read, twice", path)


def _stamp(file: IO[bytes]) -> Tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_size
