"""Secrets that a person types: without echo, or from a file; never from the command line, which others can read."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..foundation.errors import InvalidInput
from . import profile
from .session import is_interactive

LIMIT = 4096  # bytes of a file with a secret

password_file = click.option(
    "--password-file", default="", metavar="FILE", help="File with the password; - reads it from stdin."
)
code_file = click.option(
    "--code-file", default="", metavar="FILE", help="File with the code; - reads it from stdin, after the password."
)


def with_secrets(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options with which a script hands over a password and a code."""
    return password_file(code_file(command))


def secret(question: str, file: str, *, twice: bool = False) -> str:
    """Return a secret from the first line of a file, or of whoever is at the terminal.

    Raises InvalidInput where it is neither in a file nor anybody there, Abort when the person gives up.
    """
    if file == "-":
        return sys.stdin.readline(LIMIT).rstrip("\r\n")
    if file:
        return (profile.read_text(Path(file), LIMIT).splitlines() or [""])[0]
    if not is_interactive():
        raise InvalidInput(
            f"{question}: nobody is there to type it", mend="Give it in a file: the command's --help names the options"
        )
    typed: str = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    return typed
