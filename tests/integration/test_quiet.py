"""An idle machine shows the same root digest, audit after audit: an agent that cries wolf is switched off."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.quiet import noise

AGENT = str(Path(sys.executable).with_name("verdelta-agent"))
PAIRS = 5
CHANGES = 3  # pairs in which somebody else may change this machine while the tests run


def inventory() -> dict[str, Any]:
    done = subprocess.run([AGENT, "inventory", "-o", "json"], capture_output=True, timeout=120, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pairs(count: int) -> list[list[str]]:
    """Return what differs in each of so many pairs of audits, one after the other."""
    seen = [inventory() for _ in range(count + 1)]
    return noise(seen)


def test_audits_of_this_machine_one_after_the_other_have_the_same_root() -> None:
    for _ in range(CHANGES):
        found = pairs(PAIRS)
        if not found:
            return
    assert found == []


@pytest.mark.soak
def test_fifty_pairs_of_audits_of_this_machine_have_the_same_root() -> None:
    assert pairs(50) == []
