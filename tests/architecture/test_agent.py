"""The agent runs on any Python from 3.6 on, with nothing but what comes with it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.interpreters import interpreters

PACKAGE = Path(__file__).parents[2] / "agent/src/verdelta_agent"
SOURCES = sorted(PACKAGE.rglob("*.py"))
NEWER_THAN_3_6 = {"contextvars", "dataclasses", "graphlib", "importlib.resources", "tomllib", "zoneinfo"}
GONE_IN_3_13 = {"asyncore", "cgi", "crypt", "distutils", "imp", "nis", "pipes", "spwd", "telnetlib"}
OPTIONAL = {"by_cryptography.py": {"cryptography"}}  # imported where it is installed and nothing else will do
DEAR = {"asyncio", "logging", "multiprocessing", "pathlib", "unittest"}  # to import, or for what is a function call


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(source: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the top name of every import that is not relative."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").partition(".")[0]


def test_there_is_an_agent_to_look_at() -> None:
    assert len(SOURCES) > 30


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_the_agent_imports_the_standard_library_and_itself(source: Path) -> None:
    known = sys.stdlib_module_names | OPTIONAL.get(named(source), set())
    foreign = [f"line {line}: {name}" for line, name in imports(source) if name not in known]
    assert foreign == []


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_the_agent_imports_nothing_that_some_python_lacks_or_that_is_dear(source: Path) -> None:
    unwanted = NEWER_THAN_3_6 | GONE_IN_3_13 | DEAR
    assert [f"line {line}: {name}" for line, name in imports(source) if name in unwanted] == []


@pytest.mark.parametrize("source", SOURCES, ids=named)
def test_the_agent_is_written_in_the_syntax_of_3_6(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 6))
    newer = [
        f"line {node.lineno}: from __future__ import annotations"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    assert newer == []


COMPILE = """
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec", dont_inherit=True)
"""


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.13"])
def test_every_file_compiles_without_a_warning(version: str) -> None:
    if version not in interpreters():
        pytest.skip(f"there is no Python {version} here")
    command = [interpreters()[version], "-ISE", "-W", "error", "-c", COMPILE, *map(str, SOURCES)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_an_audit_does_not_load_what_only_a_report_needs() -> None:
    """An audit runs on every host before and after every release, and half of what it costs is imports."""
    program = "import verdelta_agent.cli, verdelta_agent.identity, verdelta_agent.audit, sys; print(*sys.modules)"
    command = [sys.executable, "-ISE", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {program}"]
    loaded = set(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().split())
    assert not loaded & {"ssl", "http.client", "email", "socket", "urllib.parse", "inspect", "sqlite3", "difflib"}


PAST_THE_DOOR = {"_socket", "glob", "grp", "io", "platform", "pwd", "random", "shutil", "socket", "subprocess"}
PURE = {"basename", "commonprefix", "dirname", "fsdecode", "fsencode", "gmtime", "join", "normpath", "path", "split"}
PURE |= {"sleep", "splitext", "strftime"}
OPENS_LOCAL_PATHS = "collectors/software/rpmdb/"  # which the door has given


def past_the_door(source: Path) -> Iterator[str]:
    """Yield what in a collector asks the machine past the door, or whatever else is another answer each time."""
    yield from (f"line {line}: {name}" for line, name in imports(source) if name in PAST_THE_DOOR)
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield f"line {node.lineno}: open()"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("os", "os.path", "time"):
            yield from () if node.attr in PURE else (f"line {node.lineno}: {ast.unparse(node)}",)


@pytest.mark.parametrize("source", [source for source in SOURCES if "collectors" in source.parts], ids=named)
def test_a_section_follows_from_what_the_door_to_the_host_answers_and_from_nothing_else(source: Path) -> None:
    """Else an audit could take a section for unchanged that is not (docs/adr/0012-asking-again.md)."""
    if not named(source).startswith(OPENS_LOCAL_PATHS):
        assert list(past_the_door(source)) == []
