"""The headers in an sqlite database, rpmdb.sqlite (Fedora since 33, RHEL since 9).

Sources of the format: rpm's lib/backend/sqlite.c, a table Packages(hnum, blob); sqlite's "Database File Format" 1.3.

Opening the database read-only would create -shm and -wal files beside it; `immutable` does not, but is blind to a
write-ahead log.  Where there is one (rpm at work, or killed), both files are copied and the copy is opened.
"""

import os
import shutil
import struct
import tempfile
from typing import IO, Iterator, Optional

from .header import HEADER, Corrupt, Unsupported

START = struct.Struct(">15sxH6xII60xI")  # magic, page size, changes, pages, changes when the pages were counted
QUERY = "SELECT CASE WHEN length(blob) <= ? THEN blob END FROM Packages"
STEPS = 100000  # of sqlite's machine between two looks at the deadline


def headers(file: IO[bytes], log: Optional[str] = None) -> Iterator[bytes]:
    """Yield the header of every package; `log` is the path of the write-ahead log where there is one with content.

    Raises Corrupt, or Unsupported where this Python was built without sqlite.
    """
    if log is None:
        _check_length(file)
        yield from _query("file:%s?mode=ro&immutable=1" % _quoted(str(file.name)))
        return
    directory = tempfile.mkdtemp(prefix="verdelta-rpm-")  # of mode 0700
    try:
        copy = os.path.join(directory, "rpmdb.sqlite")
        # In this order: pages that a checkpoint moves meanwhile are in the log too, which goes before.
        shutil.copyfile(str(file.name), copy)
        shutil.copyfile(log, copy + "-wal")
        yield from _query("file:%s" % _quoted(copy))
    finally:
        shutil.rmtree(directory)


def _check_length(file: IO[bytes]) -> None:
    """Raise Corrupt where the file is cut short: sqlite takes the missing part of a page for zeros, and goes on."""
    start = os.pread(file.fileno(), START.size, 0)
    if len(start) != START.size:
        raise Corrupt("cut short within its first page")
    magic, page_size, changes, pages, changes_at_count = START.unpack(start)
    if magic != b"SQLite format 3":
        raise Corrupt("not an sqlite database")
    size = pages * (65536 if page_size == 1 else page_size)
    if changes == changes_at_count and size > os.fstat(file.fileno()).st_size:
        raise Corrupt("cut short: %d bytes are missing" % (size - os.fstat(file.fileno()).st_size))


def _query(uri: str) -> Iterator[bytes]:
    try:
        import sqlite3
    except ImportError as error:
        raise Unsupported("this Python has no sqlite: %s" % error) from error
    connection = sqlite3.connect(uri, uri=True)
    try:
        connection.set_progress_handler(lambda: 0, STEPS)  # lets a signal in, however long a query runs
        for (blob,) in connection.execute(QUERY, (HEADER,)):
            if not isinstance(blob, bytes):
                raise Corrupt("a header that is no blob, or larger than %d bytes" % HEADER)
            yield blob
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from an error message of sqlite's
        raise Corrupt("sqlite: %s" % error) from error
    finally:
        connection.close()


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
