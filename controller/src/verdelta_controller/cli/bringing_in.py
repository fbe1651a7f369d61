"""Bring the files of a package into the library: those that it lacks, several at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from ..library import transfer
from . import output
from .folder import File, chunks_of
from .library import is_there
from .session import Session
from .text import plain

AT_ONCE = 4


def bring_in(session: Session, files: Sequence[File]) -> set[str]:
    """Send what the library lacks, and return the digests of that.  Raises VerdeltaError; what is in, stays in."""
    wanted = {file.sha256: file for file in files}
    brought: set[str] = set()
    with _progress() as bar:
        task = bar.add_task(f"{len(wanted)} files", total=sum(file.size for file in wanted.values()))

        def one(file: File) -> bool:
            if is_there(session, file.sha256):
                bar.advance(task, file.size)
                return False
            source = plain(file.path.resolve())[:1000]
            content = transfer.Content(file.sha256, file.size, file.path.name, _reader(file), source)
            transfer.send(session.api, content, _mover(bar, task))
            return True

        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = {pool.submit(one, file): file for file in wanted.values()}
            try:
                for done in as_completed(running):
                    if done.result():
                        brought.add(running[done].sha256)
            finally:
                pool.shutdown(cancel_futures=True)
    return brought


def _reader(file: File) -> transfer.ContentFrom:
    @contextmanager
    def read_from(offset: int) -> Iterator[Iterator[bytes]]:
        yield chunks_of(file, offset)

    return read_from


def _mover(bar: Progress, task: TaskID) -> transfer.At:
    """Return what moves the bar: it hears how much of one file is there, and the bar is of all of them."""
    before = 0

    def at(reached: int) -> None:
        nonlocal before
        bar.advance(task, reached - before)
        before = reached

    return at


def _progress() -> Progress:
    columns = (TextColumn("bringing in {task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    console = output.console(error=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
