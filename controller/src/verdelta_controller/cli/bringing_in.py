"""Bring the files of a package into the library: those that it lacks, small ones many at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from ..library import transfer
from ..library.bundles import MOST, Bundled, pack
from . import output
from .folder import File, chunks_of
from .session import Session
from .text import plain

SMALL = 1 << 20  # bytes up to which files go together
TOGETHER = 8 << 20  # bytes of the files that go together


def bring_in(session: Session, files: Sequence[File]) -> set[str]:
    """Send what the library lacks, and return the digests of that.  Raises VerdeltaError; what is in, stays in."""
    wanted = {file.sha256: file for file in files}
    missing = session.api.post("artifacts/missing", {"digests": sorted(wanted)})
    lacking = [wanted[digest] for digest in missing]
    with _progress() as bar:
        task = bar.add_task(f"{len(lacking)} files", total=sum(file.size for file in lacking))
        for some in _together([file for file in lacking if file.size <= SMALL]):
            session.api.send("artifacts/bundles", pack((_said(file), b"".join(chunks_of(file))) for file in some))
            bar.advance(task, sum(file.size for file in some))
        for file in lacking:
            if file.size > SMALL:
                source = plain(file.path.resolve())[:1000]
                content = transfer.Content(file.sha256, file.size, file.path.name, _reader(file), source)
                transfer.send(session.api, content, _mover(bar, task))
    return set(missing)


def _together(files: Sequence[File]) -> Iterator[list[File]]:
    """Yield the files in groups that fit into one request."""
    some: list[File] = []
    total = 0
    for file in files:
        if some and (total + file.size > TOGETHER or len(some) == MOST):
            yield some
            some, total = [], 0
        some.append(file)
        total += file.size
    if some:
        yield some


def _said(file: File) -> Bundled:
    name = file.name.rsplit("/", 1)[-1]
    return Bundled(file_name=name[:200], sha256=file.sha256, size=file.size)


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
