"""Long work in the controller: joined, not done twice at once, never taken for done when it was interrupted."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.concurrently import at_once
from tests.support.web import a_controller

from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import Conflict, GateClosed, NotFound
from verdelta_controller.library import tasks as module
from verdelta_controller.library.tables import LibraryTask
from verdelta_controller.library.tasks import Progress, Tasks, TaskState


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with a_controller(tmp_path, database_url) as services:
        yield services.database


@pytest.fixture
def tasks(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tasks]:
    monkeypatch.setattr(module, "BEAT", 0.02)
    tasks = Tasks(database)
    yield tasks
    tasks.close()


def ended(tasks: Tasks, task: LibraryTask) -> LibraryTask:
    running = tasks._running.get(task.id)
    if running is not None:
        running[1].join(20)
    return tasks.task(task.id)


class Slow:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.leave, self.times = threading.Event(), threading.Event(), 0

    def __call__(self, progress: Progress) -> dict[str, object]:
        self.times += 1
        progress.total = 10
        progress.step(4)
        self.begun.set()
        while not self.leave.wait(0.01):
            progress.step(0)
        return {"worked": True}


def test_whoever_asks_for_the_same_joins_what_is_under_way(tasks: Tasks):
    work = Slow()
    first = tasks.begin("verify", "library", "alice", work)
    assert work.begun.wait(20)
    assert tasks.begin("verify", "library", "bob", work).id == first.id
    other = tasks.begin("verify", "elsewhere", "bob", lambda progress: {})
    assert other.id != first.id
    work.leave.set()
    done = ended(tasks, first)
    assert (done.state, done.result, done.done, work.times) == (TaskState.DONE, {"worked": True}, 4, 1)
    assert tasks.begin("verify", "library", "bob", lambda progress: {}).id != first.id


def test_two_controllers_that_begin_the_same_at_once_do_it_once(database: Database, tasks: Tasks):
    work, other = Slow(), Tasks(database)
    begun = at_once([lambda one=one: one.begin("replicate", "offsite", "alice", work) for one in (tasks, other) * 3])
    assert work.begun.wait(20)
    work.leave.set()
    tasks.close()
    other.close()
    assert work.times == 1
    assert len({task.id for task in begun if isinstance(task, LibraryTask)}) == 1
    # On PostgreSQL whoever was second by a hair is told so, and asks again.
    assert all(isinstance(task, LibraryTask | Conflict) for task in begun)


def test_an_error_is_told_with_its_mend_and_a_defect_without_its_inside(tasks: Tasks):
    def refused(progress: Progress) -> dict[str, object]:
        raise GateClosed("it is in use", mend="Retire it.")

    def defect(progress: Progress) -> dict[str, object]:
        raise ZeroDivisionError("secret inside")

    found = ended(tasks, tasks.begin("archive", "a", "alice", refused))
    assert (found.state, found.result) == ("failed", {"error": "it is in use", "mend": "Retire it.", "exit_code": 5})
    found = ended(tasks, tasks.begin("archive", "b", "alice", defect))
    assert found.state == "failed" and "secret" not in str(found.result)


def test_work_whose_controller_was_killed_is_interrupted_and_may_begin_again(database: Database, tasks: Tasks):
    from verdelta_controller.foundation.clock import now

    dead = now() - module.SILENCE - timedelta(seconds=1)
    with database.transaction() as session:
        session.add(
            LibraryTask(
                id="dead",
                kind="verify",
                subject="library",
                running_as="verify library",
                state="running",
                begun_at=dead,
                begun_by="alice",
                seen_at=dead,
            )
        )
    assert tasks.task("dead").state == "interrupted"
    again = ended(tasks, tasks.begin("verify", "library", "alice", lambda progress: {"worked": True}))
    assert again.id != "dead" and again.state == "done"
    with database.reading() as session:
        left = session.get_one(LibraryTask, "dead")
    assert (left.state, left.running_as, left.result) == ("interrupted", None, {})


def test_work_that_is_told_to_end_is_interrupted(tasks: Tasks):
    work = Slow()
    task = tasks.begin("verify", "library", "alice", work)
    assert work.begun.wait(20)
    tasks.close()
    assert tasks.task(task.id).state == "interrupted"


def test_what_is_no_task_is_not_found(tasks: Tasks):
    with pytest.raises(NotFound):
        tasks.task("nothing")
