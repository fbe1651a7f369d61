"""The agent as one file: the same bytes from the same sources, and the same words from every Python."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents_door import said
from tests.support.interpreters import ARM64, VERSIONS, interpreters, why_not

from verdelta_agent import model
from verdelta_controller.fleet import agent_archive

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "agent/src/verdelta_agent"
RUNNER = ROOT / "tests/support/recorded_inventory.py"
BUILD = [sys.executable, "-m", "verdelta_controller.fleet.agent_archive"]
EVERY_PYTHON = ("system", *VERSIONS, ARM64)
SETTLED = ("hardware.block", "hardware.pci", "software.dpkg", "system.groups", "system.users")  # while tests run


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / "verdelta-agent.pyz"
    agent_archive.write(path)
    return path


@pytest.fixture
def python(request: pytest.FixtureRequest) -> str:
    if request.param not in interpreters():
        pytest.skip(why_not(request.param))
    return interpreters()[request.param]


every_python = pytest.mark.parametrize("python", EVERY_PYTHON, indirect=True)


def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)


# -- the bytes


def before_all_others(folder: Path) -> dict[str, str]:
    """Return an environment in which modules are looked for in a folder first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def build_elsewhere(folder: Path, number: int, **environment: str) -> bytes:
    """Return the archive of a copy of the sources, made at another time by somebody with other habits."""
    copy = folder / f"copy-{number}" / "verdelta_agent"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(copy.rglob("*"), reverse=bool(number)):
        os.utime(path, (10**9 * number, 10**9 * number))
        path.chmod(0o700 if path.is_dir() or number else 0o644)
    target = folder / f"{number}.pyz"
    variables = {**before_all_others(copy.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = run([*BUILD, str(target)], cwd=folder, env=variables, umask=0o077 if number else 0o022)
    assert (done.returncode, done.stderr) == (0, b"")
    return target.read_bytes()


def test_the_same_sources_make_the_same_bytes_wherever_and_whenever_they_are_built(tmp_path: Path) -> None:
    one = build_elsewhere(tmp_path, 0, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="0")
    other = build_elsewhere(tmp_path, 1, LC_ALL="C.UTF-8", TZ="Asia/Kolkata", PYTHONHASHSEED="1")
    assert one == other == agent_archive.build()


def test_other_sources_make_other_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "verdelta_agent"
    shutil.copytree(PACKAGE, copy)
    with (copy / "model.py").open("a") as source:
        source.write("# one line more\n")
    done = run([*BUILD, str(tmp_path / "other.pyz")], env=before_all_others(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / "other.pyz").read_bytes() != agent_archive.build()


def test_every_module_is_in_it_and_nothing_else(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    modules = [f"verdelta_agent/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")]
    assert sorted(names) == sorted(["__main__.py", *modules])


def test_a_build_is_told_where_to_write_and_says_when_it_cannot(tmp_path: Path) -> None:
    assert run(BUILD).returncode == 2
    assert b"usage: " in run(BUILD).stderr
    (tmp_path / "file").touch()
    done = run([*BUILD, str(tmp_path / "file/below.pyz")])
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)


# -- what runs


@every_python
def test_it_inventories_this_machine_on_every_python(python: str, pyz: Path) -> None:
    done = run([python, "-ISE", str(pyz), "inventory", "-o", "json"])
    assert (done.returncode, done.stderr) == (0, b"")
    assert set(json.loads(done.stdout)["sections"]) == set(model.SECTION_NAMES)


@pytest.mark.parametrize("python", [ARM64], indirect=True)
def test_another_processor_sees_the_same_machine(python: str, pyz: Path) -> None:
    """Not compared: what the emulator does not hand on, the driver's ioctl and the rules of iptables-legacy."""
    here, there = (
        json.loads(run([each, "-ISE", str(pyz), "inventory", *SETTLED, "-o", "json"]).stdout)["sections"]
        for each in (sys.executable, python)
    )
    assert set(here) == set(SETTLED)
    assert there == here


def recordings() -> dict[str, Any]:
    """Return the recorded machines of tests/hosts, each with all of its sections."""
    machines: dict[str, Any] = {}
    for path in sorted((ROOT / "tests/hosts").glob("*/*.json")):
        variant = path.stem.partition("@")[2]
        recorded = json.loads(path.read_text())["host"]
        machine = machines.setdefault(f"{path.parent.name}@{variant}", {})
        for part, content in recorded.items():
            if isinstance(content, dict):
                machine.setdefault(part, {}).update(content)
            else:
                machine[part] = sorted({*machine.get(part, []), *content})
    return machines


@pytest.fixture(scope="module")
def expected(pyz: Path) -> bytes:
    done = run([sys.executable, str(RUNNER), str(pyz)], input=json.dumps(recordings()).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_the_recorded_machines_are_inventoried_at_all(expected: bytes) -> None:
    documents = [json.loads(json.loads(line)) for line in expected.splitlines()]
    read = {name for one in documents for name, section in one["sections"].items() if section["rows"]}
    assert len(documents) >= 10
    assert read >= {"software.dpkg", "software.rpm", "system.units", "system.users", "hardware.cpu"}


@every_python
def test_every_python_prints_the_same_document_of_a_recorded_machine(python: str, pyz: Path, expected: bytes) -> None:
    done = run([python, "-ISE", str(RUNNER), str(pyz)], input=json.dumps(recordings()).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines() == expected.splitlines()


@every_python
def test_it_needs_neither_environment_nor_home_nor_a_directory_to_write_to(python: str, pyz: Path) -> None:
    command = [python, "-ISE", str(pyz), "inventory", "system.host", "-o", "json"]
    done = run(command, env={}, cwd="/sys", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["sections"]["system.host"]["status"] == "ok"


def test_it_leaves_nothing_behind(pyz: Path) -> None:
    before = sorted(pyz.parent.rglob("*"))
    run([sys.executable, "-ISE", str(pyz), "inventory"], env={"TMPDIR": str(pyz.parent), "HOME": str(pyz.parent)})
    assert sorted(pyz.parent.rglob("*")) == before


def test_it_runs_by_its_own_name(pyz: Path) -> None:
    assert run([str(pyz), "--version"]).stdout.startswith(b"verdelta-agent ")


# -- byte code for one Python, which `compile` puts beside the sources


def another_zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("accounts.csv", "worth keeping")
    return buffer.getvalue()


AGENT = agent_archive.build()
DAMAGED = AGENT[:5000] + b"\0" * 2000 + AGENT[7000:]


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", another_zip(), AGENT[:-100], AGENT[: len(AGENT) // 2], DAMAGED],
    ids=["empty", "text", "another zip", "cut short", "halved", "damaged"],
)
def test_what_is_no_whole_agent_is_refused_in_one_line_and_left_alone(
    content: bytes, pyz: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    done = run([sys.executable, "-ISE", str(pyz), "compile", f"{tmp_path}/file"])
    assert done.returncode == 1
    assert "not the one-file agent: " in said(done)
    assert f"{tmp_path}/file" in said(done)
    assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_byte_code_has_no_influence_on_what_is_seen(pyz: Path, expected: bytes, tmp_path: Path) -> None:
    for version in ("3.6", "3.7", "3.12"):
        python = interpreters().get(version, sys.executable)
        compiled = tmp_path / f"{version}.pyz"
        shutil.copy(pyz, compiled)
        assert run([python, "-ISE", str(compiled), "compile", str(compiled)]).returncode == 0
        for other in {python, sys.executable}:
            done = run([other, "-ISE", str(RUNNER), str(compiled)], input=json.dumps(recordings()).encode())
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout == expected
