"""The agent's packages on real hosts: installed, at work under its unit, and gone again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from agent.packaging import build
from tests.lab import LabHost

PACKAGE = "/root/verdelta-agent"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    for tool in ("dpkg-deb", "rpmbuild"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("packages")
    return {"deb": build.deb(folder), "rpm": build.rpm(folder)}


def test_the_same_sources_make_the_same_packages(packages: dict[str, Path], tmp_path: Path) -> None:
    assert build.deb(tmp_path).read_bytes() == packages["deb"].read_bytes()
    assert build.rpm(tmp_path).read_bytes() == packages["rpm"].read_bytes()


def copy(host: LabHost, package: Path) -> str:
    name = f"{PACKAGE}{package.suffix}"
    host.write_file(name, package.read_bytes())
    return name


def digests(host: LabHost) -> dict[str, str]:
    """Return the digest of every section that the agent sees from a shell."""
    found: dict[str, Any] = json.loads(host.ssh("verdelta-agent inventory -o json").stdout)["sections"]
    assert {name for name, section in found.items() if section["status"] == "failed"} == set()
    return {name: section["digest"] for name, section in found.items()}


def enrolled(host: LabHost) -> None:
    token = "audience.host-1.1.secret"
    host.ssh(f"echo {token} | verdelta-agent enrol --url https://127.0.0.1:9 --print >/dev/null")


def test_the_debian_package_is_installed_works_as_a_unit_and_is_purged(fresh_host: LabHost, packages) -> None:
    before = set(fresh_host.ssh("find / -xdev -name '*verdelta*' | sort").stdout.splitlines())
    package = copy(fresh_host, packages["deb"])
    fresh_host.ssh(f"dpkg --install {package}")
    assert fresh_host.ssh("systemctl is-enabled verdelta-agent.timer").stdout == "enabled\n"
    assert fresh_host.ssh("systemctl is-active verdelta-agent.timer").stdout == "active\n"
    assert fresh_host.ssh("ls /usr/lib/verdelta-agent/verdelta_agent/__pycache__").stdout
    differing = fresh_host.ssh("dpkg --verify verdelta-agent").stdout.splitlines()
    assert [line for line in differing if " /usr/share/" not in line] == []  # the lab's dpkg installs no documentation
    fresh_host.ssh("systemctl start verdelta-agent.service")  # nobody enrolled: it is passed over, and nothing fails
    assert fresh_host.ssh("systemctl is-failed verdelta-agent.service", check=False).stdout != "failed\n"

    enrolled(fresh_host)
    assert fresh_host.ssh("systemctl start verdelta-agent.service", check=False).returncode != 0
    assert json.loads(fresh_host.ssh("verdelta-agent status -o json").stdout)["spooled"] == 1

    fresh_host.ssh(f"dpkg --install {package}")  # the same again is safe
    fresh_host.ssh(f"dpkg --purge verdelta-agent && rm {package}")
    assert set(fresh_host.ssh("find / -xdev -name '*verdelta*' | sort").stdout.splitlines()) <= before


def test_what_hardens_the_unit_hides_nothing_from_the_agent(fresh_host: LabHost, packages) -> None:
    fresh_host.ssh(f"dpkg --install {copy(fresh_host, packages['deb'])}")
    enrolled(fresh_host)
    fresh_host.ssh("systemctl start verdelta-agent.service", check=False)
    told = json.loads(fresh_host.read_file("/var/lib/verdelta-agent/told.json"))
    seen = digests(fresh_host)
    assert {name for name in seen if told[name] != seen[name]} == set()


def test_a_resident_agent_takes_the_place_of_the_timer(fresh_host: LabHost, packages) -> None:
    fresh_host.ssh(f"dpkg --install {copy(fresh_host, packages['deb'])}")
    enrolled(fresh_host)
    fresh_host.ssh("systemctl enable --now --quiet verdelta-agent-resident.service")
    assert fresh_host.ssh("systemctl is-active verdelta-agent-resident.service").stdout == "active\n"
    assert fresh_host.ssh("systemctl is-active verdelta-agent.timer", check=False).stdout == "inactive\n"
    memory = fresh_host.ssh("systemctl show --property MemoryMax verdelta-agent-resident.service").stdout
    assert memory == f"MemoryMax={256 << 20}\n"


def test_the_rpm_package_is_installed_works_and_is_erased(fresh_rpm_host: LabHost, packages) -> None:
    package = copy(fresh_rpm_host, packages["rpm"])
    fresh_rpm_host.ssh(f"rpm --install --nodeps {package}")  # the userland of this host is no rpm package
    assert "software.rpm" in digests(fresh_rpm_host)
    rows = json.loads(fresh_rpm_host.ssh("verdelta-agent inventory software.rpm -o json").stdout)
    assert "verdelta-agent.noarch" in rows["sections"]["software.rpm"]["rows"]
    assert fresh_rpm_host.ssh("systemctl is-enabled verdelta-agent.timer").stdout == "enabled\n"
    assert fresh_rpm_host.ssh("rpm --verify --nodeps verdelta-agent").stdout == ""
    fresh_rpm_host.ssh("rpm --erase verdelta-agent")
    assert fresh_rpm_host.ssh("ls -d /usr/lib/verdelta-agent /usr/bin/verdelta-agent", check=False).stdout == ""
