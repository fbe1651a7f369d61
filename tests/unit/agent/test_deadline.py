"""A deadline holds whatever the work waits for, and leaves the process as it was."""

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

from verdelta_agent.deadline import DeadlineExceeded, within

SOON = 0.15
SOURCES = str(Path(__file__).parents[3] / "agent/src")
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
    subprocess.run(["sleep", "20"], check=False)


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


@pytest.mark.parametrize(
    "work",
    [
        forever,
        asleep,
        reading_a_pipe,
        waiting_for_a_child,
        in_a_long_query,
        swallowing_the_first,
        in_a_destructor,
    ],
    ids=lambda work: work.__name__,
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_deadline_holds(work: Callable[[], None]) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        within(SOON, work)
    assert time.monotonic() - began < PATIENCE


def test_work_that_still_runs_when_its_time_is_up_ends_soon() -> None:
    turns = [0]

    def counting() -> None:
        while True:
            turns[0] += 1

    with pytest.raises(DeadlineExceeded):
        within(SOON, counting)
    until = time.monotonic() + PATIENCE
    before = -1
    while turns[0] != before and time.monotonic() < until:
        before = turns[0]
        time.sleep(SOON)
    assert turns[0] == before


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


def test_no_signal_is_touched() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)}
    seen: list[object] = []
    within(PATIENCE, lambda: seen.extend([signal.getitimer(signal.ITIMER_REAL)]))
    assert seen == [(0.0, 0.0)]
    assert {number: signal.getsignal(number) for number in before} == before


def test_work_that_waits_for_ever_does_not_keep_the_process_from_its_end() -> None:
    program = f"""
import os, sys
sys.path.insert(0, {SOURCES!r})
from verdelta_agent.deadline import DeadlineExceeded, within
reader, writer = os.pipe()
for _ in range(3):
    try:
        within(0.05, lambda: os.read(reader, 1))
    except DeadlineExceeded:
        print("late")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("late\n" * 3, "")


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


def test_an_outer_deadline_holds_while_an_inner_one_has_time() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        within(SOON, lambda: within(3600, asleep))
    assert time.monotonic() - began < PATIENCE


def test_deadlines_hold_in_any_thread() -> None:
    raised: list[BaseException] = []

    def thread() -> None:
        try:
            within(SOON, asleep)
        except DeadlineExceeded as error:
            raised.append(error)

    workers = [threading.Thread(target=thread) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(raised) == len(workers)


HAMMER = """
import sys, time
sys.path.insert(0, {sources!r})
from verdelta_agent.deadline import DeadlineExceeded, within
done = rung = 0
until = time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        assert within(0.00005, lambda: sum(range(900))) == 404550
        done += 1
    except DeadlineExceeded:
        rung += 1
time.sleep(0.05)
assert done and rung, (done, rung)
"""


def test_a_deadline_that_passes_as_the_work_ends_neither_kills_nor_rings_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HAMMER.format(sources=SOURCES)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
