"""What --help promises: it is there at once, it is complete, and its examples work."""

import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from verdelta_controller.cli.command import Command, Group, summary_of
from verdelta_controller.cli.main import root


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


EVERY = dict(_commands(root))
LEAVES = {path: command for path, command in EVERY.items() if not isinstance(command, click.Group)}


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_has_a_help_that_fits_a_terminal_of_80_columns(path: tuple[str, ...]):
    result = CliRunner().invoke(root, [*path, "--help"], prog_name="verdelta", env={"COLUMNS": "80"})

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Usage: verdelta " + " ".join(path))
    lines = result.stdout.partition("Examples:")[0].splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_teaches_by_an_example(path: tuple[str, ...]):
    command = LEAVES[path]

    assert isinstance(command, Command)
    assert any(line.startswith("verdelta " + " ".join(path)) for line in command.examples)


EXAMPLES = [
    (path, words)
    for path, command in LEAVES.items()
    if isinstance(command, Command)
    for line in command.examples
    for part in line.split(" | ")
    if (words := shlex.split(part.partition(" > ")[0]))[0] == "verdelta"
]


@pytest.mark.parametrize(("path", "words"), EXAMPLES, ids=lambda value: " ".join(value))
def test_every_example_is_a_command_line_that_is_understood(path: tuple[str, ...], words: list[str]):
    context = click.Context(root)
    command: click.Command = root
    rest = words[1:]
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None, name
        command = found

    command.make_context("example", rest).close()


def test_the_first_steps_in_the_help_are_command_lines_that_are_understood():
    steps = [line for line in root.notes["First steps"].splitlines() if line.startswith("verdelta")]

    assert len(steps) > 5
    for step in steps:
        words = shlex.split(step.split("   ")[0])[1:]
        command: click.Command = root
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(click.Context(root), words)
            assert found is not None
            command = found
        command.make_context("step", words).close()


GROUPS = {(): root, **{path: command for path, command in EVERY.items() if isinstance(command, Group)}}
LINES = {(*path, name): lazy.summary for path, group in GROUPS.items() for name, lazy in group.lazy.items()}


@pytest.mark.parametrize("path", LINES, ids=" ".join)
def test_the_line_of_a_command_in_the_help_is_the_first_sentence_of_its_own_help(path: tuple[str, ...]):
    assert LINES[path] == summary_of(EVERY[path])


def test_the_help_names_every_exit_code():
    text = CliRunner().invoke(root, ["--help"], prog_name="verdelta").stdout

    for code, meaning in ((0, "ok"), (1, "failed"), (2, "usage"), (3, "differences"), (4, "not allowed")):
        assert f"{code}  " in text and meaning in text
    assert "gate closed" in text and "timed out" in text


def test_the_help_is_there_without_loading_what_only_commands_need():
    program = (
        "import sys; from verdelta_controller.cli.main import root; root(['--help'], standalone_mode=False);"
        "sys.exit(','.join({'rich', 'httpx', 'pydantic', 'sqlalchemy', 'fastapi', 'yaml'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""


def test_a_command_that_is_nearly_right_gets_the_right_one_and_the_way_to_the_help():
    result = CliRunner().invoke(root, ["hosts"], prog_name="verdelta")

    assert result.exit_code == 2
    assert result.stderr == "verdelta: there is no command 'hosts'; did you mean 'host'?\n  verdelta --help\n"


def test_a_wrong_option_is_one_line_with_the_way_to_the_help():
    result = CliRunner().invoke(root, ["host", "list", "--gruop", "web"], prog_name="verdelta")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--gruop" in result.stderr
    assert result.stderr.endswith("  verdelta host list --help\n")


def test_groups_name_their_commands():
    group = EVERY["host",]

    assert isinstance(group, Group)
    assert group.list_commands(click.Context(group))[:3] == ["add", "list", "show"]
