"""The main job on real hosts: install, upgrade, a failed install, an unexpected change, and back to what was before."""

import pytest
from tests.lab import Lab
from tests.support.controller import Controller, host_of, items, package_release

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def fleet(controller: Controller, lab: Lab) -> Controller:
    """Three Debian hosts and one of the rpm family, each with an agent."""
    controller.add(*lab.hosts.values(), groups=["lab"])
    return controller


def test_an_install_is_verified_on_debian_and_rpm_hosts_item_by_item(fleet: Controller, lab: Lab) -> None:
    fleet.labapp("1.0")
    rollout = fleet.roll_out("labapp", "1.0", *lab.hosts)
    assert rollout["state"] == "finished"
    h1, r1 = host_of(rollout, "h1"), host_of(rollout, "r1")
    assert {host["state"] for wave in rollout["waves"] for host in wave["hosts"]} == {"verified"}
    assert ("software.dpkg", "labapp:all") in items(h1, "matched")
    assert ("system.units", "labapp.service") in items(h1, "matched")
    assert ("software.rpm", "labapp.noarch") in items(r1, "matched")
    assert not any(items(host, outcome) for host in (h1, r1) for outcome in ("unexpected", "missing", "drift"))
    assert lab.hosts["h2"].ssh("labapp --version").stdout == "labapp 1.0\n"
    assert fleet.json("release", "show", "labapp", "1.0")["state"] == "deployed"


def test_the_same_release_again_is_matched_without_a_change(fleet: Controller) -> None:
    rollout = fleet.roll_out("labapp", "1.0", "h1")
    h1 = host_of(rollout, "h1")
    assert h1["state"] == "verified"
    assert all(item["detail"].startswith("already so") for item in h1["items"])


def test_an_upgrade_in_waves_is_one_changed_row_and_its_back_out_restores_the_host(fleet: Controller, lab: Lab) -> None:
    fleet.labapp("1.1", back_to="1.0")
    rollout = fleet.roll_out("labapp", "1.1", "h1", "h2", "r1", wave_size=2)
    assert [wave["state"] for wave in rollout["waves"]] == ["passed", "passed"]
    changed = [item for item in host_of(rollout, "h1")["items"] if item["key"] == "labapp:all"]
    assert [item["detail"] for item in changed] == ["version 1.0 → 1.1"]

    fleet.run("rollout", "back-out", str(rollout["id"]), "--yes")
    restored = fleet.wait(rollout["id"])
    assert restored["state"] == "backed_out"
    assert {host["state"] for wave in restored["waves"] for host in wave["hosts"]} == {"backed_out"}
    assert lab.hosts["h1"].ssh("labapp --version").stdout == "labapp 1.0\n"
    assert fleet.run("audit", "h1", "h2", "r1", check=False).returncode == 0  # nothing differs from the last audit


def test_a_failed_install_pauses_the_wave_and_no_further_host_is_touched(fleet: Controller, lab: Lab) -> None:
    change = '\n  - {section: software.dpkg, key: "labbroken:*", after: {version: "1.0", state: installed}}\n'
    fleet.build(package_release("labbroken", "1.0", change))
    rollout = fleet.roll_out("labbroken", "1.0", "h2", "h3", wave_size=1, expect=1)
    assert rollout["state"] == "suspended"
    h2, h3 = host_of(rollout, "h2"), host_of(rollout, "h3")
    assert (h2["state"], h3["state"]) == ("failed", "pending")
    assert "labbroken" in h2["reason"]
    assert items(h2, "unexpected") == {("software.dpkg", "labbroken:all")}  # half-configured is not what was authorised
    assert lab.hosts["h3"].ssh("dpkg-query -W labbroken", check=False).returncode == 1

    fleet.run("rollout", "back-out", str(rollout["id"]), "--yes")
    assert host_of(fleet.wait(rollout["id"]), "h2")["state"] == "backed_out"


def test_what_nobody_declared_is_named_and_suspends_the_rollout(fleet: Controller, lab: Lab) -> None:
    changes = (
        '\n  - {section: software.dpkg, key: "labsneaky:*", after: {version: "1.0"}, on: {family: debian}}'
        '\n  - {section: software.rpm, key: "labsneaky.*", after: {version: "1.0-1"}, on: {family: rhel}}\n'
    )
    fleet.build(package_release("labsneaky", "1.0", changes))
    rollout = fleet.roll_out("labsneaky", "1.0", "h3", "r1", expect=3)
    assert rollout["state"] == "suspended"
    for name in ("h3", "r1"):
        host = host_of(rollout, name)
        assert host["state"] == "at_variance"
        assert {("system.users", "eve"), ("system.files", "/etc/cron.d/sneaky")} <= items(host, "unexpected")
        assert len(items(host, "matched")) == 1
    said = fleet.run("diff", "h3", "--rollout", str(rollout["id"]), check=False)
    assert said.returncode == 3
    assert "eve" in said.stdout and "unexpected" in said.stdout

    fleet.run("rollout", "resume", str(rollout["id"]))  # eve is still there: trying again does not make her authorised
    assert host_of(fleet.wait(rollout["id"]), "h3")["state"] == "at_variance"
    for name in ("h3", "r1"):
        lab.hosts[name].ssh("userdel -r eve; rm /etc/cron.d/sneaky", check=False)


def test_a_change_from_before_the_release_is_drift_and_not_taken_for_its_own(fleet: Controller, lab: Lab) -> None:
    fleet.run("audit", "h1", check=False)
    lab.hosts["h1"].ssh("echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/99-night.conf")
    rollout = fleet.roll_out("labapp", "1.0", "h1", expect=3)
    h1 = host_of(rollout, "h1")
    assert h1["state"] == "at_variance"
    assert items(h1, "drift") == {("system.files", "/etc/sysctl.d/99-night.conf")}


def test_a_release_for_another_family_is_refused_on_a_host_before_anything_is_installed(fleet: Controller) -> None:
    change = '\n  - {section: software.dpkg, key: "labapp:*", after: {version: "1.1"}}\n'
    fleet.build(package_release("debsonly", "1.1", change))
    found = host_of(fleet.roll_out("debsonly", "1.1", "r1", expect=1), "r1")
    assert found["state"] == "indeterminate"
    assert "a change is declared in software.dpkg, which this host does not have" in found["reason"]


def test_a_silent_host_is_indeterminate_and_nothing_is_installed_on_it(fleet: Controller, lab: Lab) -> None:
    lab.hosts["h2"].partition()
    try:
        rollout = fleet.roll_out("labapp", "1.1", "h2", expect=1)
    finally:
        lab.hosts["h2"].heal()
    assert rollout["state"] == "suspended"
    h2 = host_of(rollout, "h2")
    assert h2["state"] == "indeterminate"
    assert "not reached" in h2["reason"]

    fleet.run("rollout", "resume", str(rollout["id"]))
    assert host_of(fleet.wait(rollout["id"]), "h2")["state"] == "verified"


def test_a_section_that_cannot_be_read_makes_the_host_indeterminate_before_anything_is_installed(
    fleet: Controller, lab: Lab
) -> None:
    h3 = lab.hosts["h3"]
    status = h3.read_file("/var/lib/dpkg/status")
    h3.write_file("/var/lib/dpkg/status", status[: len(status) // 2])
    try:
        rollout = fleet.roll_out("labapp", "1.1", "h3", expect=1)
    finally:
        h3.write_file("/var/lib/dpkg/status", status)
    found = host_of(rollout, "h3")
    assert found["state"] == "indeterminate"
    assert "software.dpkg cannot be read completely" in found["reason"]
    assert h3.ssh("labapp --version", check=False).stdout == "labapp 1.0\n"


def test_hands_on_the_host_during_the_install_are_unexpected(fleet: Controller, lab: Lab) -> None:
    """Whoever changes something meanwhile is caught, too: only the authorised change is authorised."""
    h1 = lab.hosts["h1"]
    fleet.run("audit", "h1", check=False)
    playbook = "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: sleep 4\n"
    text = package_release("quiet", "1.0", "\n  - {section: software.dpkg, key: 'labapp:*', after: {version: '1.0'}}\n")
    fleet.build(text.replace("install_packages.yml}\nback_out", "wait.yml}\nback_out"), wait__yml=playbook)
    fleet.run("rollout", "start", "quiet", "1.0", "--host", "h1")
    number = fleet.newest()["id"]
    while host_of(fleet.rollout(number), "h1")["state"] != "installing":
        pass
    h1.ssh("touch /etc/left-by-hand")
    found = host_of(fleet.wait(number), "h1")
    assert items(found, "unexpected") == {("system.files", "/etc/left-by-hand")}
