"""Printing: pictures for people on the terminal, documents for programs."""

import json
import os
import sys
from typing import Any

from rich.console import Console, RenderableType

UNBOUNDED = 10_000  # columns of what is no terminal: nothing is folded or cut for whoever reads it by program


def console(*, error: bool = False, wide: bool = False) -> Console:
    """Return the console for standard output or standard error.  Nothing in a text is read as markup."""
    stream = sys.stderr if error else sys.stdout
    bounded = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        file=stream,
        width=None if bounded and not wide else UNBOUNDED,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


def show(picture: RenderableType, *, wide: bool = False, error: bool = False) -> None:
    """Print a picture, without the spaces that fill its lines up."""
    printer = console(error=error, wide=wide)
    with printer.capture() as captured:
        printer.print(picture, crop=False)
    text = captured.get()
    if not printer.is_terminal or wide:
        text = "".join(f"{line.rstrip(' ')}\n" for line in text.removesuffix("\n").split("\n"))
    printer.file.write(text)
    printer.file.flush()


def show_document(document: Any, output: str) -> None:
    """Print a document as JSON or YAML, in ASCII: nothing in it acts on a terminal."""
    if output == "json":
        text = json.dumps(document, indent=1) + "\n"
    else:
        import yaml

        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=False)
    sys.stdout.write(text)
    sys.stdout.flush()
