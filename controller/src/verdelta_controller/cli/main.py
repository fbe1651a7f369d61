"""The `verdelta` command: every subcommand is loaded when it is called, so that the help is there at once."""

import sys
from typing import Any

import click

from .. import __version__
from ..foundation.errors import VerdeltaError
from .command import Group, Lazy
from .text import plain_lines

COMMANDS = {
    "init": Lazy("local:init", "Make the controller's state, and a client profile for its administrator", "Set up"),
    "serve": Lazy("serve:serve", "Run the controller: the API, the agents' door and the pages", "Set up"),
    "doctor": Lazy("doctor:doctor", "Look for what keeps the controller from working, with the mend of each", "Set up"),
    "demo": Lazy("local:demo", "Run the main job on this very machine, from enrolment to verdict", "Set up"),
    "host": Lazy("host:host", "The hosts that are audited and deployed to", "Hosts"),
    "credential": Lazy("credential:credential", "The SSH keys that hosts are reached with", "Hosts"),
    "environment": Lazy("environment:environment", "What releases pass: its order, bookings, what runs there", "Hosts"),
    "audit": Lazy("audit:audit", "Ask hosts for a fresh, signed audit, and say what changed", "Hosts"),
    "diff": Lazy("diff:diff", "Show what is different on a host: between two states, or after a roll-out", "Hosts"),
    "inventory": Lazy("audit:inventory", "Show what a host looks like, section by section", "Hosts"),
    "release": Lazy("release:release", "Releases, from draft to closed", "Releases"),
    "policy": Lazy("policy:policy", "What releases must have before they may go on", "Releases"),
    "library": Lazy("library:library", "The definitive media library, which installs draw from", "Releases"),
    "rollout": Lazy("rollout:rollout", "Roll a release out to hosts, and see each of them proved", "Releases"),
    "export": Lazy("evidence:exports", "Files for others: the evidence of a release, checked anywhere", "Evidence"),
    "verify": Lazy("verify:verify", "Check evidence with nothing but its file and a public key", "Evidence"),
    "evidence": Lazy("evidence:evidence", "The log of evidence: its key, checkpoints, whether it holds", "Evidence"),
    "login": Lazy("login:login", "Log in as a person, with a password and a code of your app", "Access"),
    "logout": Lazy("login:logout", "End your session; what you had before it is used again", "Access"),
    "whoami": Lazy("login:whoami", "Show who the controller takes you for, and in which roles", "Access"),
    "inbox": Lazy("inbox:inbox", "Show all that waits for you, with the command for each", "Access"),
    "person": Lazy("person:person", "The people who take part: accounts, roles, who stands in for whom", "Access"),
    "team": Lazy("team:team", "Teams: people who do something together", "Access"),
    "token": Lazy("token:token", "The API tokens of people and programs", "Access"),
    "web": Lazy("web:web", "The pages in a browser", "Access"),
}  # fmt: skip

NOTES = {
    "First steps": """
  verdelta init                                    once, where the controller is to run
  verdelta serve                                   leave it running
  verdelta host add web-07 --address 192.0.2.7 --user deploy --credential deploy-key
  verdelta audit web-07
  verdelta release build                           in the folder of release.yaml
  verdelta release authorise labapp 1.1
  verdelta rollout start labapp 1.1 --group web --wave-size 2 --watch
""".replace("\n  ", "\n"),
    "Exit codes": """
0  ok                          4  not allowed
1  failed, or not proved       5  gate closed: a condition of this step is not met
2  wrong usage or bad input    6  timed out
3  differences found         130  interrupted
""",
}

HELP = """
Release, deploy, and prove that what changed on every host is exactly what was released.

Every command has a --help with examples.
"""


class Root(Group):
    """The command itself: turns every error into one line, its mend, and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, and end the process with the exit code (or return it, where `standalone_mode` is off)."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a sign gets its number
        standalone = extra.pop("standalone_mode", True)
        code = self._run(*args, **extra)
        if standalone:
            sys.exit(code)
        return code

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            return int(super().main(*args, **extra, standalone_mode=False) or 0)  # type: ignore[call-overload]
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "verdelta"
            return _complain(f"{path}: {error.format_message()}", f"{path} --help", 2)
        except click.ClickException as error:
            return _complain(error.format_message(), None, error.exit_code)
        except click.Abort as error:
            interrupted = isinstance(error.__cause__, KeyboardInterrupt)
            return _complain("interrupted" if interrupted else "Nothing was done.", None, 130 if interrupted else 1)
        except VerdeltaError as error:
            return _complain(error.message, error.mend, error.exit_code)


def _complain(message: str, mend: str | None, code: int) -> int:
    click.echo(plain_lines(f"{message}\n  {mend}" if mend else message), err=True)
    return code


@click.group("verdelta", cls=Root, lazy=COMMANDS, notes=NOTES, help=HELP, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="verdelta")
def root() -> None:
    """Hold every command."""


def main() -> None:
    """Run the command line, and end the process."""
    root(prog_name="verdelta")
