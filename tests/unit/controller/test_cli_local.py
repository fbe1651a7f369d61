"""What works on the controller's own machine: init, the refusals of serve, and the doctor."""

import asyncio
import logging
import socket
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from fastapi import FastAPI
from tests.support.command_line import ByHand, CommandLine

from verdelta_controller.cli import doctor, profile, serve
from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.foundation.settings import Settings


@pytest.fixture
def verdelta(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path, ByHand({"GET whoami": (200, {"name": "administrator", "role": "administrator"})}))
    line.environment |= {"VERDELTA_URL": "", "VERDELTA_TOKEN": ""}
    return line


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """`serve` sets logging up for its own process, which here is the tests'."""
    root, configuration = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


# -- init


def test_init_makes_a_state_of_its_own_and_a_profile_that_only_its_owner_reads(verdelta: CommandLine, tmp_path: Path):
    result = verdelta("init")

    path = tmp_path / "config" / "verdelta" / "client.json"
    known = profile.read_profile(path)
    assert result.exit_code == 0, result.output
    assert known is not None and known.url == "http://127.0.0.1:8470" and known.ca == f"{tmp_path}/state/ca.pem"
    assert known.token not in result.output
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_init_again_says_what_was_there_and_changes_nothing(verdelta: CommandLine, tmp_path: Path):
    verdelta("init")
    before = everything_in(tmp_path)

    again = verdelta("init")

    assert again.exit_code == 0
    assert again.stdout.startswith("Found the controller's state") and "its token stays" in again.stdout
    assert {name: data for name, data in everything_in(tmp_path).items() if "sqlite" not in name} == {
        name: data for name, data in before.items() if "sqlite" not in name
    }


def test_a_new_token_is_made_only_when_it_is_asked_for(verdelta: CommandLine, tmp_path: Path):
    path = tmp_path / "config" / "verdelta" / "client.json"
    verdelta("init")
    first = profile.read_profile(path)
    path.unlink()

    without = verdelta("init")
    assert not path.exists() and "verdelta init --new-token" in without.stdout
    verdelta("init", "--new-token")

    second = profile.read_profile(path)
    assert first is not None and second is not None and first.token != second.token


def test_init_does_not_take_a_directory_that_is_somebody_elses(verdelta: CommandLine, tmp_path: Path):
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o755)
    (foreign / "letter").write_text("dear")

    result = verdelta("init", "--state", foreign)

    assert result.exit_code == 2
    assert "is not empty, and no controller's" in result.stderr
    assert everything_in(tmp_path) == {"foreign/letter": b"dear"}
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o755


def test_init_does_not_replace_the_profile_of_another_controller(verdelta: CommandLine, tmp_path: Path):
    path = tmp_path / "config" / "verdelta" / "client.json"
    profile.write_profile(path, profile.Access("https://deploy.example.org:8470", "vdt_1", ""))

    result = verdelta("init")

    assert result.exit_code == 2
    assert not (tmp_path / "state").exists()
    assert profile.read_profile(path) == ("https://deploy.example.org:8470", "vdt_1", "")


def test_a_setting_that_is_wrong_is_named(verdelta: CommandLine, tmp_path: Path):
    verdelta.environment["VERDELTA_PORT"] = "many"

    result = verdelta("init")

    assert result.exit_code == 2
    assert result.stderr.startswith("setting port: ")
    assert everything_in(tmp_path) == {}


# -- serve


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_serve_without_a_state_says_how_to_make_one(verdelta: CommandLine, tmp_path: Path):
    result = verdelta("serve")

    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}/state has no controller in it\n  verdelta init --state {tmp_path}/state\n"
    assert everything_in(tmp_path) == {}


def test_a_port_in_use_is_one_line_with_the_mend_and_nothing_is_changed(verdelta: CommandLine, tmp_path: Path):
    verdelta("init")
    before = everything_in(tmp_path)

    with taken_port() as port:
        result = verdelta("serve", "--port", port)

    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == f"port {port} on 127.0.0.1 is in use"
    assert f"--port {port + 1}" in result.stderr.splitlines()[1]
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    ("address", "said"), [("203.0.113.9", "has no address 203.0.113.9"), ("no address", "is no address to listen on")]
)
def test_an_address_that_cannot_be_listened_on_is_named(address: str, said: str):
    with pytest.raises(InvalidInput, match=said):
        serve.bind(address, 0)


def test_a_database_of_a_newer_schema_is_one_line_and_stays_as_it_is(verdelta: CommandLine, tmp_path: Path):
    verdelta("init")
    database = tmp_path / "state" / "verdelta.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()

    for command in (["serve", "--port", "0"], ["init"]):
        result = verdelta(*command)

        assert result.exit_code == 2, result.output
        assert "its schema 9999 is newer than this Verdelta" in result.stderr
        assert len(result.stderr.splitlines()) == 2
    assert database.read_bytes() == before
    assert "its schema 9999 is newer" in verdelta("doctor").stdout


def life(rollouts: list[dict[str, object]]) -> tuple[FastAPI, list[str]]:
    """Return an application, and what became of it as it goes."""
    told: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        told.append("begun")
        yield
        told.append("closed")

    app = FastAPI(lifespan=lifespan)
    serve._Life(app, SimpleNamespace(rollouts=SimpleNamespace(summaries=lambda: rollouts)))  # type: ignore[arg-type]
    return app, told


async def live(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        pass


@pytest.mark.parametrize(("state", "leaves"), [("running", True), ("backing_out", True), ("suspended", False)])
def test_the_controller_leaves_at_once_while_a_rollout_is_under_way_and_closes_otherwise(
    monkeypatch: pytest.MonkeyPatch, state: str, leaves: bool
):
    app, told = life([{"id": 1, "state": state}])
    monkeypatch.setattr(serve.os, "_exit", lambda code: told.append(f"left with {code}"))

    asyncio.run(live(app))

    assert ("left with 0" in told) is leaves
    assert told[:2] == (["begun", "left with 0"] if leaves else ["begun", "closed"])


# -- doctor


def found(verdelta: CommandLine) -> dict[str, str]:
    return {one["check"]: one["status"] for one in verdelta.json("doctor")}


def test_a_healthy_state_has_nothing_wrong(verdelta: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path: f"/usr/bin/{name}")
    verdelta("init")
    with taken_port() as port:
        pass
    verdelta.environment["VERDELTA_PORT"] = str(port)

    result = verdelta("doctor")

    assert result.exit_code == 0, result.output
    assert set(found(verdelta).values()) <= {"ok", "warning", "skipped"}
    assert result.stdout.endswith("Nothing is wrong.\n")


def test_everything_that_is_wrong_is_named_with_its_mend(
    verdelta: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    verdelta("init")
    (tmp_path / "state").chmod(0o755)
    (tmp_path / "state" / "signing.key").chmod(0o644)
    monkeypatch.setattr(doctor.shutil, "which", lambda name, path: None)
    monkeypatch.setattr(doctor, "SPACE_NEEDED", 1 << 60)
    monkeypatch.setattr(doctor, "ANSWERS_WITHIN", 0.2)
    verdelta.transport = ByHand({})

    with taken_port() as port:
        verdelta.environment["VERDELTA_PORT"] = str(port)
        result = verdelta("doctor")
        states = found(verdelta)

    wrong = {check for check, status in states.items() if status == "wrong"}
    assert result.exit_code == 1
    assert wrong == {"state", "keys", "disk", "port", "ansible-playbook", "ssh", "API"}
    assert f"→chmod700{tmp_path}/state" in "".join(result.stdout.split())
    assert result.stdout.endswith("7 to mend.\n")


def test_a_clock_that_is_behind_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(doctor.time, "time", lambda: 1_000_000.0)

    assert doctor._clock(tmp_path).status == doctor.WRONG


def test_on_a_machine_without_a_controller_only_the_way_to_one_is_looked_at(verdelta: CommandLine):
    verdelta.environment |= {"VERDELTA_URL": "http://127.0.0.1:8470", "VERDELTA_TOKEN": "vdt_1"}

    assert found(verdelta) == {"state": "skipped", "API": "ok"}


def test_another_programs_port_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ANSWERS_WITHIN", 0.2)
    with taken_port() as port:
        finding = doctor._port(Settings(state=tmp_path, port=port))

    assert finding.status == doctor.WRONG
