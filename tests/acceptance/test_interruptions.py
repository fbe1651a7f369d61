"""Power cuts: of the controller and of hosts, at the worst moments.  Nothing is lost, nothing is installed twice."""

import random
import time
from hashlib import sha256

import pytest
from tests.lab import Lab
from tests.support.controller import Controller, host_of, items

pytestmark = pytest.mark.lab

SLOW = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Prepare
      ansible.builtin.command: "true"
    - name: Count every time that this is run
      ansible.builtin.shell: sleep 3; echo installed >> /etc/installed-{name}
    - name: Finish
      ansible.builtin.command: "true"
"""
ONCE = sha256(b"installed\n").hexdigest()


@pytest.fixture(scope="module")
def fleet(controller: Controller, lab: Lab) -> Controller:
    """Two Debian hosts with agents, and a third without one."""
    controller.add(lab.hosts["h1"], lab.hosts["h2"])
    controller.add(lab.hosts["h3"], agent=False)
    return controller


def counting(fleet: Controller, name: str) -> None:
    """Build a release that leaves one line on a host for every time that it is installed there."""
    manifest = f"""\
release: {name}
version: "1"
type: minor
service: lab
install: {{playbook: count.yml}}
changes:
  - {{section: system.files, key: /etc/installed-{name}, after: {{kind: file, digest: {ONCE}}}}}
"""
    fleet.build(manifest, count__yml=SLOW.format(name=name))


def start(fleet: Controller, name: str, *hosts: str) -> int:
    """Begin a roll-out and return its number."""
    fleet.run("rollout", "start", name, "1", *(word for host in hosts for word in ("--host", host)))
    number: int = fleet.newest()["id"]
    return number


def wait_for(fleet: Controller, number: int, host: str, state: str) -> None:
    """Wait until a host of a roll-out is in a state."""
    deadline = time.monotonic() + 60
    while (seen := host_of(fleet.rollout(number), host)["state"]) != state:
        assert time.monotonic() < deadline, f"{host} is {seen}, not {state}"
        time.sleep(0.1)


def test_an_install_interrupted_half_way_is_audited_before_anything_runs_again(fleet: Controller, lab: Lab) -> None:
    counting(fleet, "halfway")
    number = start(fleet, "halfway", "h1", "h2", "h3")
    wait_for(fleet, number, "h1", "installing")
    time.sleep(3)  # the slow task runs on the hosts
    fleet.kill()
    fleet.start()
    rollout = fleet.wait(number)
    assert rollout["state"] == "finished"
    for name in ("h1", "h2", "h3"):
        assert host_of(rollout, name)["state"] == "verified"
        assert lab.hosts[name].read_file("/etc/installed-halfway") in ("installed\n", b"installed\n")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_controller_killed_at_any_moment_carries_on_and_installs_once(fleet: Controller, lab: Lab, seed: int) -> None:
    name = f"moment{seed}"
    counting(fleet, name)
    number = start(fleet, name, "h1", "h2")
    moments = random.Random(seed)  # noqa: S311 - to be repeatable
    time.sleep(moments.uniform(0, 9))
    fleet.kill()
    fleet.start()
    time.sleep(moments.uniform(0, 4))
    fleet.kill()
    fleet.start()
    rollout = fleet.wait(number)
    assert rollout["state"] == "finished", rollout
    for host in ("h1", "h2"):
        assert host_of(rollout, host)["state"] == "verified"
        assert lab.hosts[host].read_file(f"/etc/installed-{name}") in ("installed\n", b"installed\n")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_controller_killed_at_many_moments_carries_on(fleet: Controller, lab: Lab, seed: int) -> None:
    test_a_controller_killed_at_any_moment_carries_on_and_installs_once(fleet, lab, seed)


def test_a_host_that_loses_power_during_its_install_is_never_verified_unseen(fleet: Controller, lab: Lab) -> None:
    counting(fleet, "powercut")
    number = start(fleet, "powercut", "h1", "h2")
    wait_for(fleet, number, "h1", "installing")
    time.sleep(2)
    lab.hosts["h1"].power_cut()
    rollout = fleet.wait(number)
    h1, h2 = host_of(rollout, "h1"), host_of(rollout, "h2")
    assert rollout["state"] == "suspended"
    assert (h1["state"], h2["state"]) == ("indeterminate", "verified")

    lab.hosts["h1"].start()
    fleet.run("rollout", "resume", str(number))  # the host is audited, not installed on again
    rollout = fleet.wait(number)
    h1 = host_of(rollout, "h1")
    assert h1["state"] in ("failed", "at_variance")
    assert items(h1, "missing") == {("system.files", "/etc/installed-powercut")}


def test_a_cancelled_rollout_stops_the_installer_and_audits_what_it_left(fleet: Controller, lab: Lab) -> None:
    counting(fleet, "cancelled")
    number = start(fleet, "cancelled", "h2")
    wait_for(fleet, number, "h2", "installing")
    fleet.run("rollout", "cancel", str(number), "--yes")
    rollout = fleet.wait(number)
    assert (rollout["state"], rollout["waves"][0]["state"]) == ("cancelled", "stopped")
    assert host_of(rollout, "h2")["state"] == "failed"
    assert host_of(rollout, "h2")["concluded_at"] is not None
