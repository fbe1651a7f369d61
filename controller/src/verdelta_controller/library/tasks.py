"""Long work in the controller: begun by one request, asked after by others, none of which takes long.

So it survives every proxy, and a client that goes away: whoever asks for the same again joins what is under way.  How
far it is, and how it ended, is in the database.  Work whose controller was killed is interrupted: nobody is told that
it is done, and it may be begun again.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlmodel import Session, col, delete, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import NotFound, VerdeltaError
from ..foundation.ids import new_id
from .tables import LibraryTask

BEAT = 1.0  # seconds between two notes of how far it is
SILENCE = timedelta(seconds=30)  # without a note, after which whoever worked on it is gone
KEPT = timedelta(days=30)

log = structlog.get_logger()


class TaskState(StrEnum):
    """How far long work is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Stopped(VerdeltaError):
    """The controller was told to end."""


class Progress:
    """How far work is, in bytes; the one who works writes, another thread notes it down."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.at = ""
        self.stopping = threading.Event()

    def step(self, count: int) -> None:
        """Count bytes.  Raises Stopped when the controller ends."""
        self.done += count
        if self.stopping.is_set():
            raise Stopped


Work = Callable[[Progress], dict[str, Any]]


class Tasks:
    """The long work of this controller, and what the database knows of that of others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[str, tuple[Progress, threading.Thread]] = {}

    def begin(self, kind: str, subject: str, actor: str, work: Work) -> LibraryTask:
        """Begin work, or return what is under way of the same kind on the same subject.  Raises Conflict."""
        with self._database.transaction() as session:
            name = f"{kind} {subject}"
            other = session.exec(select(LibraryTask).where(LibraryTask.running_as == name)).first()
            if other is not None and not _is_gone(other):
                return other
            if other is not None:
                _end(session, other, TaskState.INTERRUPTED, {})
                session.flush()
            task = LibraryTask(
                id=new_id(),
                kind=kind,
                subject=subject,
                running_as=name,
                state=TaskState.RUNNING.value,
                begun_at=now(),
                begun_by=actor,
                seen_at=now(),
            )
            session.add(task)
            session.exec(delete(LibraryTask).where(col(LibraryTask.ended_at) < now() - KEPT))
        self._run(task.id, work)
        return task

    def task(self, task_id: str) -> LibraryTask:
        """Return how far it is.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(LibraryTask, task_id)
        if found is None:
            raise NotFound("there is no such task", mend="Begin it again.")
        if _is_gone(found):
            found.state = TaskState.INTERRUPTED.value
        return found

    def close(self) -> None:
        """Let what is under way end at its next step."""
        for progress, _ in list(self._running.values()):
            progress.stopping.set()
        for _, thread in list(self._running.values()):
            thread.join(SILENCE.total_seconds())

    def _run(self, task_id: str, work: Work) -> None:
        """Work in one thread, and note down in another how far it is: work may wait long for one answer."""
        progress, ended = Progress(), threading.Event()
        outcome: list[tuple[TaskState, dict[str, Any]]] = []

        def worked() -> None:
            outcome.append(_outcome(work, progress, task_id))
            ended.set()

        def noted() -> None:
            worker = threading.Thread(target=worked, name=f"library-{task_id}", daemon=True)
            worker.start()
            while not ended.wait(BEAT):
                self._note(task_id, progress)
            self._note(task_id, progress, *outcome)
            del self._running[task_id]

        thread = threading.Thread(target=noted, name=f"library-notes-{task_id}", daemon=True)
        self._running[task_id] = (progress, thread)
        thread.start()

    def _note(self, task_id: str, progress: Progress, outcome: tuple[TaskState, dict[str, Any]] | None = None) -> None:
        try:
            with self._database.transaction() as session:
                task = session.get_one(LibraryTask, task_id)
                if task.state != TaskState.RUNNING:  # taken for gone; what it did is safe to do again
                    return
                task.done, task.total, task.at, task.seen_at = progress.done, progress.total, progress.at, now()
                if outcome is not None:
                    _end(session, task, *outcome)
                session.add(task)
        except VerdeltaError as error:
            log.warning("how far a task is could not be noted", task=task_id, error=error.message)


def _outcome(work: Work, progress: Progress, task_id: str) -> tuple[TaskState, dict[str, Any]]:
    try:
        return TaskState.DONE, work(progress)
    except Stopped:
        return TaskState.INTERRUPTED, {}
    except VerdeltaError as error:
        return TaskState.FAILED, {"error": error.message, "mend": error.mend, "exit_code": error.exit_code}
    except Exception:  # it is a defect: for the log, and not for whoever asked
        log.exception("a task failed", task=task_id)
        return TaskState.FAILED, {"error": "Something failed inside the controller; its log says what.", "exit_code": 1}


def _is_gone(task: LibraryTask) -> bool:
    return task.state == TaskState.RUNNING and now() - task.seen_at > SILENCE


def _end(session: Session, task: LibraryTask, state: TaskState, result: dict[str, Any]) -> None:
    task.state, task.result, task.running_as, task.ended_at = state.value, result, None, now()
    session.add(task)
