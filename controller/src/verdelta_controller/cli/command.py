"""How commands look and behave: loaded when they are called, examples in their help, the options that all have."""

import difflib
from collections.abc import Callable, Mapping
from functools import partial, wraps
from importlib import import_module
from typing import Any, NamedTuple

import click

SESSION = "verdelta.session"
OUTPUTS = ("table", "wide", "json", "yaml")


class Lazy(NamedTuple):
    """A command that is loaded when it is called: where it is (module:name), its line in the help, its heading."""

    target: str
    summary: str
    heading: str = "Commands"


class _SharedOption(click.Option):
    """An option that every command of the API has; the help lists these last."""


class Command(click.Command):
    """A command whose help ends with examples; each of them is a line that works as it stands."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = [line.strip() for line in examples.strip().splitlines()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those that every command has."""
        for heading, shared in (("Options", False), ("Output and connection", True)):
            records = [
                record
                for parameter in self.get_params(ctx)
                if isinstance(parameter, click.Option) and isinstance(parameter, _SharedOption) is shared
                if (record := parameter.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, as they are."""
        _write_verbatim(formatter, "Examples", self.examples)


class Group(click.Group):
    """Commands under one noun, in the order in which they are given; a name that is nearly right gets the right one."""

    command_class = Command

    def __init__(
        self, *args: Any, lazy: Mapping[str, Lazy] | None = None, notes: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}
        self.notes = notes or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in order."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, loaded now if it was not."""
        if cmd_name not in self.commands and cmd_name in self.lazy:
            module, _, name = self.lazy[cmd_name].target.partition(":")
            loaded = getattr(import_module(f".{module}", __package__), name)
            if not isinstance(loaded, click.Command):
                raise TypeError(f"{self.lazy[cmd_name].target} is no command")
            return loaded
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called.  Raises UsageError, which names the nearest one."""
        if not args[0].startswith("-") and args[0] not in self.list_commands(ctx) and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            mend = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{mend}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, without loading those that are loaded when they are called."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name, lazy in self.lazy.items():
            headings.setdefault(lazy.heading, []).append((name, lazy.summary))
        for name, command in self.commands.items():
            headings.setdefault("Commands", []).append((name, summary_of(command)))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the notes, as they are."""
        for heading, text in self.notes.items():
            _write_verbatim(formatter, heading, text.strip("\n").splitlines())


def summary_of(command: click.Command) -> str:
    """Return the first sentence of a command's help, whole, without its full stop."""
    paragraph = " ".join((command.help or "").strip().split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def _write_verbatim(formatter: click.HelpFormatter, heading: str, lines: list[str]) -> None:
    if lines:
        with formatter.section(heading):
            for line in lines:
                formatter.write(f"  {line}\n")


def connected(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options with which every command of the API is told where to ask and how to answer.

    The command gets the `Session` that they describe as its first argument.
    """

    @wraps(function)
    def run(*args: Any, output: str, url: str, token_file: str, ca: str, profile: str, **kwargs: Any) -> Any:
        from .session import Session

        context = click.get_current_context()
        session = Session(output, url, token_file, ca, profile, context.obj)
        context.meta[SESSION] = session  # for whoever has something to say once the command is done
        return function(session, *args, **kwargs)

    for option in reversed(_SHARED):
        run = option(run)
    return run


_shared = partial(click.option, cls=_SharedOption)
_SHARED: tuple[Callable[..., Any], ...] = (
    _shared(
        *("-o", "--output"),
        type=click.Choice(OUTPUTS),
        default="table",
        metavar="FORM",
        help="table, wide (everything, uncut), json or yaml (the API's own document).",
    ),
    _shared("--url", envvar="VERDELTA_URL", default="", help="The controller's address.  [env VERDELTA_URL]"),
    _shared(
        "--token-file",
        default="",
        metavar="FILE",
        help="File with the API token.  [or the token itself in env VERDELTA_TOKEN]",
    ),
    _shared(
        "--ca",
        envvar="VERDELTA_CA",
        default="",
        metavar="FILE",
        help="The controller's CA certificate.  [env VERDELTA_CA]",
    ),
    _shared(
        "--profile",
        envvar="VERDELTA_PROFILE",
        default="",
        metavar="FILE",
        help="File with url, token and ca, as `verdelta init` writes it.  [env VERDELTA_PROFILE]",
    ),
)
