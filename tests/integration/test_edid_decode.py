"""Monitors are read as edid-decode reads them: built ones, and those of the machine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.edid import Monitor, build

from verdelta_agent.collectors.hardware import display, edid
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost

MODELS = re.compile(r"Made in: (?:week (?P<week>\d+) of )?(?P<year>\d+)|Model year: (?P<model>\d+)")
LETTERS = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
TEXTS = st.text(alphabet="ABCabc019 -./", min_size=1, max_size=13).map(str.strip).filter(bool).map(str.encode)


def edid_decode(data: bytes) -> str:
    """Return what edid-decode prints, or skip the test where it is missing."""
    if shutil.which("edid-decode") is None:
        pytest.skip("edid-decode is not installed")
    return subprocess.run(["edid-decode"], input=data, stdout=subprocess.PIPE, check=False).stdout.decode()


def agree(row: dict[str, Any], printed: str) -> None:
    """Check that both have read the same from the base block."""

    def value(pattern: str) -> str | None:
        match = re.search(pattern, printed)
        return match.group(1) if match else None

    number, model = row.get("serial_number"), value(r"Model: (\d+)")
    assert row["manufacturer"] == value(r"Manufacturer: (\S+)")
    assert int(row["product"], 16) == (int(model) if model else 0)
    assert number in (None, int(value(r"\n    Serial Number: (\d+)") or 0))
    made = MODELS.search(printed)
    assert made is not None
    assert row["year"] == int(made["model"] or made["year"])
    assert (row.get("week"), row.get("model_year")) == (
        made["week"] and int(made["week"]),
        True if made["model"] else None,
    )
    for field, name in (("name", "Product Name"), ("serial", "Product Serial Number")):
        assert row.get(field, "") == " ".join(text.strip() for text in re.findall(f"Display {name}: '(.*)'", printed))
    exact = re.search(r"DTD 1: .*\((\d+) mm x (\d+) mm\)", printed)
    rounded = re.search(r"Maximum image size: (\d+) cm x (\d+) cm", printed)
    if rounded is None:
        assert "width" not in row
        return
    sizes = [(10 * int(rounded[1]), 10 * int(rounded[2]))] + ([(int(exact[1]), int(exact[2]))] if exact else [])
    assert (row["width"], row["height"]) == sizes[-1]


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        Monitor,
        maker=LETTERS,
        product=st.integers(0, 0xFFFF),
        number=st.integers(0, 0xFFFFFFFF),
        week=st.integers(0, 54) | st.just(0xFF),
        year=st.integers(2007, 2030),
        width=st.integers(100, 2500),
        height=st.integers(100, 2500),
        texts=st.lists(st.tuples(st.sampled_from([0xFF, 0xFC]), TEXTS), max_size=2, unique_by=lambda text: text[0]).map(
            tuple
        ),
    )
)
def test_a_built_monitor_is_read_as_edid_decode_reads_it(monitor: Monitor) -> None:
    row, problem = edid.parse(build(monitor))
    assert problem is None
    agree(row, edid_decode(build(monitor)))


def test_the_machines_own_monitors_are_read_as_edid_decode_reads_them() -> None:
    section = collect(LocalHost(), display.COLLECTOR)
    described = {key: row for key, row in section.rows.items() if row["edid"] == "whole"}
    if not described:
        pytest.skip(f"no monitor has described itself here: {section.status}")
    for key, row in described.items():
        data = Path("/sys/class/drm", section.volatile[key]["connector"], "edid").read_bytes()
        agree({**row, **section.volatile[key]}, edid_decode(data))
