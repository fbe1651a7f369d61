"""Snaps: what snapd's state says of them, and what the revision that is mounted says itself."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import snap
from verdelta_agent.gather import collect
from verdelta_agent.model import Section
from verdelta_agent.recorded_host import RecordedHost

STATE = "/var/lib/snapd/state.json"
ROOT = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
YAML = "/snap/lxd/7/meta/snap.yaml"


def section(mounts: str = ROOT, current: str = "7", yaml: Any = "name: lxd\nversion: 5.21\n", **more: Any) -> Section:
    lxd = {"current": current, "sequence": [{"revision": "7", "channel": "latest/stable"}], **more}
    state = json.dumps({"data": {"snaps": {"lxd": lxd}}})
    files = {STATE: state, YAML: yaml, "/proc/self/mountinfo": mounts}
    return collect(RecordedHost({"files": files}), snap.COLLECTOR)


def test_a_snap_that_is_switched_to_another_channel_is_a_changed_row_though_its_revision_stays():
    before, after = section(channel="latest/stable"), section(channel="latest/edge")
    assert (before.rows["lxd"]["channel"], after.rows["lxd"]["channel"]) == ("latest/stable", "latest/edge")


def test_a_revision_says_its_version_and_one_that_is_not_mounted_says_none():
    assert section().rows["lxd"]["version"] == "5.21"
    assert "version" not in section(current="8").rows["lxd"]


def test_a_revision_that_a_program_serves_is_not_touched_and_the_section_says_so():
    served = ROOT + "90 22 0:40 / /snap/lxd/7 ro - fuse.squashfuse squashfuse ro\n"
    read = section(served, yaml={"error": "ETIMEDOUT"})  # what touching it would come to
    assert "version" not in read.rows["lxd"]
    assert read.error == "versions: not read: /snap/lxd/7 (fuse.squashfuse)"


def test_a_revision_that_cannot_be_read_harms_no_other_field():
    read = section(yaml={"error": "EIO"})
    assert read.rows["lxd"]["revision"] == "7"
    assert read.error == "versions: not read: /snap/lxd/7 (Input/output error)"


@pytest.mark.parametrize(
    ("yaml", "version"),
    [
        ("version: 1.0\n", "1.0"),
        ("name: a\nversion: '1.0'  # said twice\n", "1.0"),
        ('version: "1.0"', "1.0"),
        ("apps:\n  a:\n    version: 2\n", None),
        ("", None),
    ],
)
def test_a_version_is_told_from_whatever_else_a_snap_states(yaml, version):
    assert snap.version_in(yaml) == version


@given(st.text(alphabet="version: '\"#\n1", max_size=60))
def test_no_text_at_all_crashes_anything(yaml):
    snap.version_in(yaml)
