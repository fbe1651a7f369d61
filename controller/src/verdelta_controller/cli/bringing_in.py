"""Bring the files of a package into the library: those that it lacks, several at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ..foundation.errors import NotFound
from . import output
from .folder import File, chunks_of
from .session import Session, path_of

AT_ONCE = 4


def bring_in(session: Session, files: Sequence[File]) -> set[str]:
    """Send what the library lacks, and return the digests of that.  Raises VerdeltaError; what is in, stays in."""
    wanted = {file.sha256: file for file in files}
    brought: set[str] = set()
    with _progress() as bar:
        task = bar.add_task(f"{len(wanted)} files", total=sum(file.size for file in wanted.values()))

        def one(file: File) -> bool:
            if _is_there(session, file):
                bar.advance(task, file.size)
                return False
            sent = _counted(file, bar, task)
            session.api.upload(path_of("artifacts", file.path.name), sent, file.size, sha256=file.sha256)
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


def _is_there(session: Session, file: File) -> bool:
    try:
        session.api.get(path_of("artifacts", file.sha256, "description"))
    except NotFound:
        return False
    return True


def _counted(file: File, bar: Progress, task: object) -> Iterator[bytes]:
    for chunk in chunks_of(file):
        yield chunk
        bar.advance(task, len(chunk))  # type: ignore[arg-type]


def _progress() -> Progress:
    columns = (TextColumn("bringing in {task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    console = output.console(error=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
