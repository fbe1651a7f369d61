"""Every recording under tests/hosts is a test: what the machine showed, and what the agent makes of it.

tests/hosts/<system>/<section>.json holds {"about": where it comes from, "host": a recording as RecordedHost takes it,
"expect": {"status", "rows", "volatile", "error"?}}.
"""

import json
from pathlib import Path

import pytest

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, canonical
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
COLLECTORS = [entry.load() for entry in SECTIONS]
BY_NAME = {collector.name: collector for collector in COLLECTORS}
RECORDINGS = sorted(HOSTS.glob("*/*.json"))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_machine_is_read_as_it_was(recording: Path) -> None:
    recorded = json.loads(recording.read_text())
    section = collect(RecordedHost(recorded["host"]), BY_NAME[recording.stem.partition("@")[0]])
    expected = recorded["expect"]
    assert (section.status, section.error) == (expected["status"], expected.get("error"))
    assert section.rows == expected["rows"]
    assert section.volatile == expected.get("volatile", {})
    assert canonical(section.rows)  # whatever stands in it can be hashed


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_a_machine_without_anything_is_absent_or_failed_and_never_empty(collector) -> None:
    assert collect(RecordedHost({}), collector).status in (ABSENT, FAILED)


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_every_field_that_is_collected_is_described(collector) -> None:
    described = set(collector.fields) | set(collector.volatile)
    for recording in HOSTS.glob(f"*/{collector.name}*.json"):
        expected = json.loads(recording.read_text())["expect"]
        rows = [*expected["rows"].values(), *expected.get("volatile", {}).values()]
        seen = {field for row in rows for field in row}
        assert seen <= described, f"{recording}: {sorted(seen - described)} are not described"


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_every_section_was_recorded_on_two_systems_at_least(collector) -> None:
    systems = {path.parent.name for path in RECORDINGS if path.stem.partition("@")[0] == collector.name}
    assert len(systems) >= 2
