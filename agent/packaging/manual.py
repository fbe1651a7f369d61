"""The agent's manual page, made of its own --help: man(7) source from the argument parser."""

import argparse
from typing import Iterator

from verdelta_agent import __version__, arguments, cli
from verdelta_agent.collectors import SECTIONS

FILES = (
    ("/var/lib/verdelta-agent", "key, identity, what was seen last, and the spool; of mode 0700"),
    ("/usr/lib/systemd/system/verdelta-agent.timer", "the nightly audit"),
    ("/usr/lib/systemd/system/verdelta-agent-resident.service", "instead of the timer: the controller sets the pace"),
)


def page() -> str:
    """Return the source of verdelta-agent(8)."""
    parser = arguments.parser(cli.default_state())
    summary = (parser.description or "").partition(": ")[2].rstrip(".")
    lines = [
        f'.TH VERDELTA-AGENT 8 "" "verdelta-agent {__version__}" "System administration"',
        ".SH NAME",
        f"verdelta-agent \\- {_plain(summary)}",
        ".SH SYNOPSIS",
        f".nf\n{_plain(parser.format_usage().replace('usage: ', '').strip())}\n.fi",
        ".SH OPTIONS",
        *_options(parser),
        ".SH COMMANDS",
        *_commands(parser),
        ".SH SECTIONS",
        "verdelta-agent sections NAME tells all about one.",
        *(f".br\n{_plain(entry.name)}" for entry in SECTIONS),
        ".SH FILES",
        *(f".TP\n.I {_plain(path)}\n{_plain(text)}" for path, text in FILES),
        *_epilog(parser.epilog or ""),
    ]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    for name, command in commands.choices.items():
        usage = " ".join(command.format_usage().replace("usage: ", "").split())
        yield f'.SS "{_plain(name)}"'
        yield f".B {_plain(usage)}"
        yield f".PP\n{_plain(helps[name])}."
        yield from _options(command)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser.formatter_class(parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        shown = formatter._format_action_invocation(action)
        text = formatter._expand_help(action) if action.help else ""
        yield f".TP\n.B {_plain(shown)}\n{_plain(text)}"


def _epilog(text: str) -> Iterator[str]:
    """Yield the paragraphs of the epilog, each headed by its first word."""
    for paragraph in text.strip().split("\n\n"):
        title, _, rest = paragraph.partition(":")
        yield f".SH {_plain(title.upper())}"
        yield f".nf\n{_plain(rest.strip(chr(10)))}\n.fi" if "\n" in rest else _plain(rest.strip())


def _plain(text: str) -> str:
    """Return text in which man(7) finds nothing to interpret."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in escaped.split("\n"))
