"""verdelta-agent: inventory this host, sign what was seen, report it."""

import argparse
import os
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from . import __version__

EPILOG = """\
examples:
  verdelta-agent inventory                      everything this host shows, as tables
  verdelta-agent inventory software.dpkg -o json
  verdelta-agent inventory -o json > before.json; …; verdelta-agent inventory -o json > after.json
  verdelta-agent diff before.json after.json
  verdelta-agent sections software.dpkg         what a row of it is, and what its fields mean
  verdelta-agent enrol --url https://controller:8470 --ca ca.pem < token
  verdelta-agent report                         what the timer runs each night

exit codes: 0 ok, 1 failed, 2 wrong usage
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal.  argparse would ask for the width by importing a library, whenever it starts."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
    except (OSError, ValueError):
        return 80


def parse(words: Sequence[str], state: str) -> Any:
    """Return the options that a command line means, or end the process with help or a complaint."""
    command = words[2:3] if words[:1] == ["--state"] else words[:1]
    return parser(state, command[0] if command and command[0] in COMMANDS else None).parse_args(words)


def parser(state: str, only: Optional[str] = None) -> argparse.ArgumentParser:
    """Return the parser of the command line; `state` is the default directory.

    With `only`, for a line that begins with this command: the others would be made in vain, and take longer.
    """
    whole = argparse.ArgumentParser("verdelta-agent", description=__doc__, epilog=EPILOG, formatter_class=_Help)
    whole.add_argument("--version", action="version", version="verdelta-agent %s" % __version__)
    whole.add_argument("--state", default=state, help="state directory (default: %(default)s)")
    # With the name given, argparse need not format a usage line to find it, for which it imports half a library.
    commands = whole.add_subparsers(dest="command", metavar="command", prog="verdelta-agent")
    commands.required = True
    for name, (purpose, add_arguments) in COMMANDS.items():
        if only in (None, name):
            description = purpose[:1].upper() + purpose[1:]
            add_arguments(commands.add_parser(name, help=purpose, description=description, formatter_class=_Help))
    return whole


# -- what a person at a host asks


def _inventory(command: argparse.ArgumentParser) -> None:
    command.add_argument("section", nargs="*", help="only these sections, such as software.dpkg or hardware")
    command.add_argument("-o", "--output", choices=("table", "json"), default="table")
    _root(command)


def _sections(command: argparse.ArgumentParser) -> None:
    command.add_argument("section", nargs="*", help="tell all about these: key, fields, what is never compared and why")
    _root(command)


def _root(command: argparse.ArgumentParser) -> None:
    command.add_argument("--root", metavar="DIR", help="a system that does not run: an image, a chroot, a mounted disk")


def _diff(command: argparse.ArgumentParser) -> None:
    command.add_argument("before", metavar="A", help="the snapshot before; - is standard input")
    command.add_argument("after", metavar="B", help="the snapshot after; - is standard input")
    command.add_argument("-o", "--output", choices=("table", "json"), default="table")
    command.add_argument("--exit-code", action="store_true", help="exit with 1 where anything differs or is unknown")


# -- what a controller, a timer or an installation runs


def _audit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--request", metavar="FILE", help="what the controller asks for, as JSON; - is standard input")
    command.add_argument("--sign-with", metavar="KEY", help="an SSH host key, where no agent is installed")


def _enrol(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--token-file", dest="source", default="-", metavar="FILE", help="file with the token (default: standard input)"
    )
    command.add_argument("--url", default="", help="the controller, as in https://controller:8470")
    command.add_argument("--ca", metavar="FILE", help="the controller's CA certificate, which is pinned")
    command.add_argument("--watch", metavar="PATH", action="append", help="also watch the files below it (beside /etc)")
    command.add_argument("--replace", action="store_true", help="drop the identity of an earlier enrolment first")
    command.add_argument("--print", action="store_true", help="print the enrolment instead of sending it")


def _report(_: argparse.ArgumentParser) -> None:
    """It takes no arguments."""


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--splay", type=_seconds, default=300.0, help="seconds at most before the first report (%(default)g)"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError("expected seconds from 0 to 86400, not %s" % text)
    return value


def _status(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _compile(command: argparse.ArgumentParser) -> None:
    command.add_argument("archive", metavar="FILE", help="the verdelta-agent.pyz")


COMMANDS: Dict[str, Tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "inventory": ("print what this host shows; nothing is kept or sent", _inventory),
    "sections": ("list the sections, and say why one is absent here", _sections),
    "diff": ("print what differs between two snapshots, saved by inventory -o json", _diff),
    "audit": ("print a signed audit of this host, one DSSE envelope", _audit),
    "enrol": ("make a key and enrol it with a one-time token", _enrol),
    "report": ("audit this host and report to the controller, digests first", _report),
    "run": ("stay, and report at the pace that the controller sets, instead of by the timer", _run),
    "status": ("show how this host stands with its controller, and what waits in the spool", _status),
    "compile": ("put byte code for this Python into the one-file agent: audits cost less", _compile),
}
