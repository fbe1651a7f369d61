"""Idle hosts of the lab show the same root: audit after audit, after a restart, and on their disk from outside."""

import json
import os
from typing import Any

import pytest
from tests.lab import Lab, LabHost
from tests.support.quiet import differing, noise

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.gather import gather
from verdelta_agent.rooted_host import RootedHost
from verdelta_controller.fleet import agent_archive

PROGRAM = "/root/agent.pyz"


def prepare(host: LabHost) -> None:
    host.write_file(PROGRAM, agent_archive.build())
    host.ssh("systemctl is-system-running --wait >/dev/null; sleep 1", check=False)


def inventory(host: LabHost) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.ssh(f"python3 -ISE {PROGRAM} inventory -o json").stdout)
    return found


def quiet(host: LabHost, pairs: int) -> list[list[str]]:
    prepare(host)
    seen = [inventory(host) for _ in range(pairs + 1)]
    return noise(seen)


@pytest.mark.parametrize("name", ["h1", "h2", "h3", "r1"])
def test_audits_of_an_idle_host_one_after_the_other_have_the_same_root(lab: Lab, name: str) -> None:
    assert quiet(lab.hosts[name], 5) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", ["h1", "h2", "h3", "r1"])
def test_fifty_pairs_of_audits_of_an_idle_host_have_the_same_root(lab: Lab, name: str) -> None:
    assert quiet(lab.hosts[name], 50) == []


@pytest.mark.parametrize("kind", ["fresh_host", "fresh_rpm_host"])
def test_a_host_that_was_only_restarted_shows_the_same_root(kind: str, request: pytest.FixtureRequest) -> None:
    host: LabHost = request.getfixturevalue(kind)
    prepare(host)
    before = inventory(host)
    host.reboot()
    prepare(host)
    after = inventory(host)
    assert differing(before, after) == []
    assert after["root"] == before["root"]
    assert after["sections"]["system.host"]["volatile"] != before["sections"]["system.host"]["volatile"]


def test_the_disk_of_a_host_shows_from_outside_what_the_host_shows(fresh_host: LabHost) -> None:
    prepare(fresh_host)
    inside = inventory(fresh_host)["sections"]
    outside = gather(RootedHost(os.fspath(fresh_host.root)), SECTIONS).sections
    same = {name for name, section in outside.items() if section.status == "ok" and section.rows}
    assert same > {"software.dpkg", "system.files", "system.users", "system.units"}
    for name in same - {"system.host", "system.files"}:
        assert outside[name].rows == inside[name]["rows"], name
    for key, row in inside["system.files"]["rows"].items():
        if row["kind"] != "mount":  # what is mounted there while it runs is not on its disk
            assert outside["system.files"].rows[key] == row
