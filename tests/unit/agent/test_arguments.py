"""The command line means the same, whichever way it is understood."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from verdelta_agent import arguments, cli

SOURCES = Path(__file__).parents[3] / "agent/src"
STATES = ([], ["--state", "/srv/state"], ["--state", ""])


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


@pytest.mark.parametrize("state", STATES, ids=" ".join)
@pytest.mark.parametrize("words", cli.BY_MACHINES, ids=" ".join)
def test_what_machines_run_means_what_the_parser_says(words: tuple[str, ...], state: list[str]) -> None:
    parsed = arguments.parser(cli.default_state()).parse_args([*state, *words])
    assert vars(cli._understand([*state, *words])) == vars(parsed)


@pytest.mark.parametrize("words", [["--state"], ["--state", "-x", "report"], ["report", "report"], ["audit", "-x"]])
def test_what_is_no_command_of_theirs_is_complained_about(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli._understand(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: verdelta-agent ")


def test_every_command_can_be_run() -> None:
    assert list(arguments.COMMANDS) == list(cli.COMMANDS)


@pytest.mark.parametrize("name", arguments.COMMANDS)
def test_a_command_by_itself_is_what_it_is_among_the_others(name: str) -> None:
    alone, whole = commands_of(arguments.parser("/state", name)), commands_of(arguments.parser("/state"))
    assert list(alone) == [name]
    assert alone[name].format_help() == whole[name].format_help()


@pytest.mark.parametrize("words", [["--help"], ["-h", "audit"], ["--state", "/state", "--help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse(words, "/state")
    printed = capsys.readouterr().out
    assert [name for name in arguments.COMMANDS if f"    {name} " not in printed] == []


def test_what_machines_run_needs_no_parser(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCES)!r}); from verdelta_agent import cli; "
        f"cli.main(['--state', {str(tmp_path / 'none')!r}, 'audit']); print('argparse' in sys.modules)"
    )
    command = [sys.executable, "-ISE", "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    assert done.stdout == b"False\n"
