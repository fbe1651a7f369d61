"""A deadline holds whatever the work waits for, and leaves the process as it was."""

import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from verdelta_agent import deadline
from verdelta_agent.deadline import DeadlineExceeded, NotInMainThread, within

SOON = 0.15
PATIENCE = 10.0  # a busy machine may take so long; without a deadline, each of these would take for ever


def forever() -> None:
    while True:
        pass


def asleep() -> None:
    time.sleep(3600)


def reading_a_pipe() -> None:
    reader, _ = os.pipe()
    os.read(reader, 1)


def waiting_for_a_child() -> None:
    subprocess.run(["sleep", "3600"], check=False)


def in_a_long_query() -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    connection = sqlite3.connect(":memory:")
    try:
        connection.set_progress_handler(lambda: 0, 10000)
        connection.execute(numbers)
    except sqlite3.OperationalError:  # an exception in the handler interrupts the query, and is lost
        asleep()
    finally:
        connection.close()


def swallowing_the_first() -> None:
    try:
        asleep()
    except BaseException:  # noqa: BLE001 - that is the point
        asleep()


class Destroyed:
    def __del__(self) -> None:
        asleep()


def in_a_destructor() -> None:
    Destroyed()
    gc.collect()
    asleep()


@pytest.mark.parametrize("work", [forever, asleep, reading_a_pipe, waiting_for_a_child], ids=lambda work: work.__name__)
def test_the_deadline_holds(work: Callable[[], None]) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        within(SOON, work)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize(
    "work", [in_a_long_query, swallowing_the_first, in_a_destructor], ids=lambda work: work.__name__
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_deadline_rings_again_where_the_exception_was_lost(work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "AGAIN", 0.2)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        within(SOON, work)
    assert time.monotonic() - began < PATIENCE


def test_no_handler_for_ordinary_errors_swallows_it() -> None:
    def work() -> None:
        try:
            asleep()
        except Exception:  # noqa: BLE001 - that is the point
            pytest.fail("swallowed")

    with pytest.raises(DeadlineExceeded):
        within(SOON, work)


def test_what_is_done_in_time_is_returned_and_nothing_rings_later() -> None:
    assert within(SOON, lambda: "done") == "done"
    time.sleep(2 * SOON)


def test_an_error_of_the_work_comes_through_and_nothing_rings_later() -> None:
    with pytest.raises(ZeroDivisionError):
        within(SOON, lambda: 1 // 0)
    time.sleep(2 * SOON)


def test_the_handler_that_was_there_is_there_again() -> None:
    rang: list[int] = []

    def ring(number: int, frame: object) -> None:
        rang.append(number)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for seconds, work in ((5.0, lambda: None), (SOON, asleep)):
            with contextlib.suppress(DeadlineExceeded):
                within(seconds, work)
            assert signal.getsignal(signal.SIGALRM) is ring
        assert rang == []
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_deadline_within_a_deadline_holds_and_so_does_the_outer_one() -> None:
    reached: list[str] = []

    def outer() -> None:
        with pytest.raises(DeadlineExceeded):
            within(SOON, asleep)
        reached.append("the inner one is over")
        asleep()

    with pytest.raises(DeadlineExceeded):
        within(6 * SOON, outer)
    assert reached == ["the inner one is over"]


def test_an_outer_deadline_that_passed_meanwhile_rings_at_once() -> None:
    def outer() -> None:
        within(5, lambda: time.sleep(3 * SOON))  # cannot be interrupted by the outer one
        asleep()

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        within(SOON, outer)
    assert time.monotonic() - began < PATIENCE


def test_a_thread_that_gets_no_signals_is_told_that_there_is_no_deadline() -> None:
    raised: list[BaseException] = []

    def thread() -> None:
        try:
            within(SOON, lambda: None)
        except NotInMainThread as error:
            raised.append(error)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert len(raised) == 1


HAMMER = """
import signal, sys, time
sys.path.insert(0, {sources!r})
from verdelta_agent.deadline import DeadlineExceeded, within
done = rung = 0
until = time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        within(0.00005, lambda: sum(range(900)))
        done += 1
    except DeadlineExceeded:
        rung += 1
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
time.sleep(0.05)
assert done and rung, (done, rung)
"""


def test_a_deadline_that_passes_as_the_work_ends_neither_kills_nor_rings_later() -> None:
    program = HAMMER.format(sources=str(Path(__file__).parents[3] / "agent/src"))
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
