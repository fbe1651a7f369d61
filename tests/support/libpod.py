"""Writes Podman's database of containers as sqlite has it, for tests.

Source of the format: Podman's libpod/sqlite_state_internal.go; the tables that the agent does not read are left out.
"""

import json
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLES = (
    "ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL)",
    "ContainerState(ID TEXT PRIMARY KEY NOT NULL, State INTEGER NOT NULL, ExitCode INTEGER, JSON TEXT NOT NULL)",
    "PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL)",
)


def database(containers: list[Mapping[str, Any]], pods: Mapping[str, str] = {}) -> bytes:
    """Return db.sql with containers, each as its configuration, that all run, and pods: id -> name."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "db.sql")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA page_size=512")
        for table in TABLES:
            connection.execute(f"CREATE TABLE {table}")
        for container in containers:
            values = (container["id"], container["name"], container.get("pod"), json.dumps(container))
            connection.execute("INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)", values)
            state = json.dumps({"state": 3, "pid": 4711, "startedTime": "2026-05-20T06:00:00Z"})
            connection.execute("INSERT INTO ContainerState VALUES (?, 3, 0, ?)", (container["id"], state))
        for identity, name in pods.items():
            connection.execute("INSERT INTO PodConfig VALUES (?, ?, ?)", (identity, name, json.dumps({"name": name})))
        connection.commit()
        connection.close()
        return path.read_bytes()
