"""A throw-away PostgreSQL for the tests, and a database of either kind for those that promise the same on both.

The server runs as an unprivileged user on a socket in a temporary directory, and ends with the test run however that
ends.  Where PostgreSQL is not installed, the tests that need it are skipped with the reason.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

USER = "verdelta"
PATIENCE = 30.0  # seconds until the server answers
FASTER = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=50", "shared_buffers=32MB")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a running server's first database; make others with `new_database`."""
    binaries = _binaries()
    if binaries is None or shutil.which("setpriv") is None:
        pytest.skip("needs PostgreSQL's server (Debian: apt-get install postgresql) and setpriv (util-linux)")
    directory = Path(tempfile.mkdtemp(prefix="verdelta-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, _unprivileged(), None)
        _run(binaries / "initdb", directory)
        options = [option for setting in FASTER for option in ("-c", setting)]
        sockets = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}"]
        with (directory / "log").open("wb") as log:
            command = [
                *_as_unprivileged(),
                str(binaries / "postgres"),
                "-D",
                str(directory / "data"),
                *options,
                *sockets,
            ]
            server = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_for(server, directory)
            yield f"postgresql+psycopg://{USER}@/postgres?host={directory}"
        finally:
            server.send_signal(3)  # SIGQUIT: at once, nothing here is worth a clean shutdown
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database: of each kind in turn.

    On PostgreSQL it is an empty schema, which costs a hundredth of a database of its own.
    """
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    schema = _execute(url, "CREATE SCHEMA {name}")
    return f"{url}&options=-csearch_path%3D{schema}"


def new_database(postgres_url: str) -> str:
    """Make one more database on the server, for what does not keep to a schema, and return its URL."""
    return postgres_url.replace("/postgres?", f"/{_execute(postgres_url, 'CREATE DATABASE {name}')}?")


def _execute(url: str, statement: LiteralString) -> str:
    """Execute a statement with a name that is not in use, and return that."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(SQL(statement).format(name=Identifier(name)))
    return name


def _binaries() -> Path | None:
    """Return the directory of the newest server installed: Debian keeps it off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


def _unprivileged() -> str:
    """Return the user that runs the server when the tests run as root, whom PostgreSQL refuses."""
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_unprivileged() -> list[str]:
    """Return what goes before a command: it has no privileges, and is killed when the test run is."""
    command = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        user = pwd.getpwnam(_unprivileged())
        command += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*command, "--"]


def _run(initdb: Path, directory: Path) -> None:
    options = ["--auth=trust", f"--username={USER}", "--no-sync", "--locale=C", "--encoding=UTF8"]
    command = [*_as_unprivileged(), str(initdb), "-D", str(directory / "data"), *options]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _wait_for(server: subprocess.Popen[bytes], directory: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(f"postgresql://{USER}@/postgres?host={directory}").close()
            return
        except psycopg.OperationalError:
            said = (directory / "log").read_text()
            assert server.poll() is None and time.monotonic() < give_up, f"PostgreSQL did not start: {said}"
            time.sleep(0.05)
