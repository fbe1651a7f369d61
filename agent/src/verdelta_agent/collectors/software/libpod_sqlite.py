"""Podman's database of containers where it is one of sqlite, db.sql.

Source of the format: Podman's libpod/sqlite_state_internal.go: tables ContainerConfig, ContainerState and PodConfig,
each with an ID and a document in JSON.

Opening the file as sqlite does would create others beside it; `immutable` does not, but sees neither what a transaction
under way has half written nor a write-ahead log.  So the file has to be the same afterwards, and no log beside it.
"""

import errno
from typing import Any, Dict, Iterable, Tuple

from ...host import Host

LOGS = ("-journal", "-wal")
TABLES = ("ContainerConfig", "ContainerState", "PodConfig")
QUERY = "SELECT ID, CAST(JSON AS BLOB) FROM %s"
DOCUMENT = 4 << 20  # bytes
TRIES = 4
STEPS = 100000  # of sqlite's machine between two looks at the deadline

Documents = Dict[str, bytes]


def read_tables(host: Host, path: str) -> Tuple[Documents, Documents, Documents]:
    """Return id -> document of the configurations and states of containers, and of the configurations of pods.

    Raises OSError where it is written to all the time, ValueError where it is no such database.
    """
    before = host.read_bytes(path)
    for _ in range(TRIES):
        busy = any(host.exists(path + log) and host.lstat(path + log).size for log in LOGS)
        found = None if busy else _query(host.local_path(path))
        after = host.read_bytes(path)
        if found is not None and after == before:
            return found
        before = after
    raise OSError(errno.EBUSY, "written to while it was read, or not finished", path)


def _query(path: str) -> Tuple[Documents, Documents, Documents]:
    try:
        import sqlite3
    except ImportError as error:
        raise ValueError("this Python has no sqlite: %s" % error) from error
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect("file:%s?mode=ro&immutable=1" % quoted, uri=True)
    try:
        connection.set_progress_handler(lambda: 0, STEPS)
        tables = [_table(connection.execute(QUERY % name)) for name in TABLES]
        return tables[0], tables[1], tables[2]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise ValueError("sqlite: %s" % error) from error
    finally:
        connection.close()


def _table(rows: Iterable[Tuple[Any, Any]]) -> Documents:
    documents = {}
    for identity, document in rows:
        if not isinstance(identity, str) or not isinstance(document, bytes) or len(document) > DOCUMENT:
            raise ValueError("a row that is none of Podman's")
        documents[identity] = document
    return documents
