"""The pace of a resident agent, and what becomes of a report that hangs."""

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.resident import FIRST_RETRY, LAST_RETRY, PACE, pause

SOURCES = str(Path(__file__).parents[3] / "agent/src")
CHANCE = st.floats(0, 1)


@given(st.integers(), CHANCE)
def test_the_controller_sets_the_pace_within_bounds_and_hosts_do_not_march_in_step(
    next_poll: int, chance: float
) -> None:
    wanted = min(max(next_poll, PACE[0]), PACE[1])
    assert 0.9 * wanted <= pause(next_poll, 0, chance) <= 1.1 * wanted + 1e-6
    assert pause(next_poll, 0, 0.0) < pause(next_poll, 0, 1.0)


@given(st.integers(1, 10**6), CHANCE)
def test_after_failures_it_waits_longer_and_longer_and_never_for_more_than_an_hour(
    failures: int, chance: float
) -> None:
    assert FIRST_RETRY / 2 <= pause(None, failures, chance) <= LAST_RETRY
    assert pause(None, failures, chance) <= pause(None, failures + 1, chance)


def test_the_first_waits_double() -> None:
    assert [pause(None, failures, 0.0) for failures in (1, 2, 3, 7, 8)] == [60, 120, 240, 3600, 3600]


HANGS = """
import os, signal, sys, time
sys.path.insert(0, {sources!r})
from verdelta_agent import resident
resident.CHILD = 0.3
resident.pause = lambda next_poll, failures, chance: print(next_poll, failures, flush=True) or 0.0
folder = {folder!r}

def report():
    number = len(os.listdir(folder))
    open(os.path.join(folder, str(number)), "w").close()
    if number == 0:
        time.sleep(3600)
    if number == 1:
        raise ValueError("a defect")
    if number == 2:
        return None
    if number == 4:
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(3600)
    return 4711

resident.stay(report, 0.0)
print("stopped")
"""


def test_a_report_that_hangs_or_breaks_is_a_failure_and_the_next_one_is_made(tmp_path: Path) -> None:
    program = HANGS.format(sources=SOURCES, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["None 1", "None 2", "None 3", "4711 0", "stopped"]
    assert len(os.listdir(tmp_path)) == 5
