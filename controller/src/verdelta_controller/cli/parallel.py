"""The same for several hosts at once: one line for each as it ends, and one exit code for all."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..foundation.errors import VerdeltaError
from . import output, render, signs
from .session import Session

AT_ONCE = 10

Work = Callable[[str], Any]
Say = Callable[[Any], Text]


def each(
    session: Session, doing: str, names: Sequence[str], work: Work, say: Say
) -> tuple[list[Any], list[VerdeltaError]]:
    """Do the work for every host, and print a line for each (to people).

    Returns the documents in the order of the names, and the errors: a host that fails keeps none of the others back.
    """
    done: dict[str, Any] = {}
    errors: list[VerdeltaError] = []
    with _progress(doing, len(names)) as (advance, print_line):
        for name, result in _results(names, work):
            if isinstance(result, VerdeltaError):
                errors.append(result)
                print_line(_failure(name, result), True)
            else:
                done[name] = result
                if session.for_people:
                    print_line(say(result), False)
            advance()
    return [done[name] for name in names if name in done], errors


def _results(names: Sequence[str], work: Work) -> Iterator[tuple[str, Any]]:
    """Yield the result or the VerdeltaError of each as it ends.  The threads are nobody's to wait for: Ctrl-C ends."""
    todo: SimpleQueue[str] = SimpleQueue()
    results: SimpleQueue[tuple[str, Any]] = SimpleQueue()
    for name in names:
        todo.put(name)

    def run() -> None:
        while True:
            try:
                name = todo.get_nowait()
            except Empty:
                return
            try:
                results.put((name, work(name)))
            except Exception as error:  # noqa: BLE001 - raised again where the results are read
                results.put((name, error))

    for _ in range(min(AT_ONCE, len(names))):
        Thread(target=run, daemon=True).start()
    for _ in names:
        name, result = results.get()
        if isinstance(result, Exception) and not isinstance(result, VerdeltaError):
            raise result
        yield name, result


def exit_code(errors: Sequence[VerdeltaError], otherwise: int = 0) -> int:
    """Return the exit code of a command that did something for several hosts."""
    codes = {error.exit_code for error in errors}
    return otherwise if not codes else codes.pop() if len(codes) == 1 else 1


def _failure(name: str, error: VerdeltaError) -> Text:
    message = error.message.removeprefix(f"{name}: ")
    mend = f"\n    {error.mend}" if error.mend else ""
    return render.host_line(name, signs.FAILED, f"failed: {message}{mend}")


@contextmanager
def _progress(doing: str, total: int) -> Iterator[tuple[Callable[[], None], Callable[[Text, bool], None]]]:
    """Show a bar on a terminal while something goes on; lines go above it."""
    if not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield (lambda: None), lambda line, error: output.show(line, error=error)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console(), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield (lambda: bar.advance(task)), lambda line, error: bar.console.print(line)
