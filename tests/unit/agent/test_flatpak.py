"""Flatpaks: the link says which commit is in use, the deploy file where it came from and which version it states."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import flatpak
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

COMMIT = "7" * 64
BRANCH = "/var/lib/flatpak/app/org.example.App/x86_64/stable"
DEPLOY = b"lab\0" + COMMIT.encode() + b"\0" + bytes(11) + b"\4\0appdata-version\x0048.1\0\0s"


def section(deploy):
    files = {f"{BRANCH}/{COMMIT}/deploy": deploy if isinstance(deploy, dict) else {"hex": deploy.hex()}}
    return collect(RecordedHost({"files": files, "links": {f"{BRANCH}/active": COMMIT}}), flatpak.COLLECTOR)


def test_an_update_is_one_changed_row_and_a_changed_remote_is_seen():
    key = "app/org.example.App/x86_64/stable"
    assert section(DEPLOY).rows == {key: {"commit": COMMIT, "origin": "lab", "version": "48.1"}}
    assert section(DEPLOY.replace(b"lab", b"hub")).rows[key]["origin"] == "hub"
    assert section(DEPLOY.replace(b"48.1", b"49.0")).rows[key]["version"] == "49.0"


@pytest.mark.parametrize(
    ("deploy", "reason"),
    [
        (b"", "no deploy file"),
        (DEPLOY[:20], "no deploy file"),
        (DEPLOY.replace(b"7", b"x"), "no deploy file"),
        ({"error": "EIO"}, "Input/output error"),
    ],
)
def test_a_deploy_file_that_is_none_makes_the_section_partial_and_keeps_the_commit(deploy, reason):
    read = section(deploy)
    assert list(read.rows.values()) == [{"commit": COMMIT}]
    assert read.error == f"partial: not read: {BRANCH}/active/deploy ({reason})"


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: DEPLOY[:69] + rest))
def test_no_bytes_at_all_are_more_than_a_value_error(deploy):
    with contextlib.suppress(ValueError):
        assert set(flatpak.parse(deploy)) <= {"origin", "version"}
