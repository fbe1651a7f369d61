"""The one-file agent with byte code in it: the same answers from every Python, also from one that did not make it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from verdelta_controller.fleet import agent_archive

PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3")) or [Path(sys.executable)]
SECTIONS = ("system.host", "system.users")


def said(python: Path, archive: Path) -> str:
    """Return what an agent says of parts of this machine that do not change."""
    command = [str(python), "-ISE", str(archive), "inventory", *SECTIONS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "verdelta-agent.pyz"
    path.write_bytes(agent_archive.build())
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_every_python_says_the_same_with_its_own_byte_code_and_with_that_of_another(
    python: Path, archive: Path
) -> None:
    plain = said(python, archive)
    for compiler in (python, Path(sys.executable)):
        command = [str(compiler), "-ISE", str(archive), "compile", str(archive)]
        subprocess.run(command, check=True, capture_output=True)
        assert said(python, archive) == plain
    assert archive.stat().st_mode & 0o777 == 0o755


def test_byte_code_is_used_where_it_fits_and_takes_nothing_away(archive: Path) -> None:
    sources = set(zipfile.ZipFile(archive).namelist())
    for _ in range(2):  # again is safe
        subprocess.run([sys.executable, "-ISE", str(archive), "compile", str(archive)], check=True)
    names = zipfile.ZipFile(archive).namelist()
    assert set(names) == sources | {f"{name}c" for name in sources if name.endswith(".py")}
    assert len(names) == len(set(names))
    subprocess.run([str(archive), "--version"], check=True, capture_output=True)  # it still starts by itself

    without = archive.with_name("without-sources.pyz")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(without, "w") as new:
        for name in names:
            new.writestr(name, b"raise SystemExit('source')" if name.endswith(".py") else old.read(name))
    subprocess.run([sys.executable, "-ISE", str(without), "--version"], check=True, capture_output=True)


def test_what_is_no_archive_is_refused_and_left_alone(tmp_path: Path, archive: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no archive")
    done = subprocess.run(
        [sys.executable, "-ISE", str(archive), "compile", str(other)], capture_output=True, check=False
    )
    assert done.returncode != 0
    assert other.read_text() == "no archive"
