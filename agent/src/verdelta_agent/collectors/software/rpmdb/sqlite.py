"""The headers in an sqlite database, rpmdb.sqlite (Fedora since 33, RHEL since 9).

Source of the format: rpm's lib/backend/sqlite.c: a table Packages(hnum, blob).

Opening the database read-only would create -shm and -wal files beside it; `immutable` does not, but is blind to a
write-ahead log.  Where there is one (rpm at work, or killed), both files are copied and the copy is opened.
"""

import os
import shutil
import tempfile
from typing import IO, Iterator, Optional

from .header import HEADER, Corrupt, Unsupported

QUERY = "SELECT CASE WHEN length(blob) <= ? THEN blob END FROM Packages"
STEPS = 100000  # of sqlite's machine between two looks at the deadline


def headers(file: IO[bytes], log: Optional[str] = None) -> Iterator[bytes]:
    """Yield the header of every package; `log` is the path of the write-ahead log where there is one with content.

    Raises Corrupt, or Unsupported where this Python was built without sqlite.
    """
    if log is None:
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
    except sqlite3.Error as error:
        raise Corrupt("sqlite: %s" % error) from error
    finally:
        connection.close()


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
