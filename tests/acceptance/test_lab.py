"""The lab itself: what its hosts promise to the tests that stand on them."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import Lab, LabError, LabHost, cgroups, network

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_machine")]

# SNMPv3: an empty request, which every engine answers with its id (RFC 3414, section 4)
ENGINE_ID = """
import socket, sys
ask = bytes.fromhex("303a 020103  300f 02024a69 020300ffe3 040104 020103"
                    "0410 300e 0400 020100 020100 0400 0400 0400  3012 0400 0400 a00c 020237f0 020100 020100 3000")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5); s.sendto(ask, (sys.argv[1], 161)); print(s.recv(4096).hex())
"""


def apt(host: LabHost, words: str) -> "subprocess.CompletedProcess[str]":
    host.ssh("apt-get -qq update")
    return host.ssh(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y {words}", check=False)


def dnf(host: LabHost, words: str) -> "subprocess.CompletedProcess[str]":
    return host.ssh(f"dnf -y {words}", check=False)


def traces(lab_id: str) -> list[str]:
    """Whatever the machine still shows of a lab."""
    name = f"verdelta-lab-{lab_id}"
    listings = (
        Path("/proc/self/mounts").read_text(),
        subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout,
        "\n".join(map(str, Path("/sys/fs/cgroup").rglob("verdelta-lab-*"))),
        "\n".join(map(str, Path("/run/netns").glob("*"))),
        "\n".join(map(str, Path("/var/tmp").glob("*"))),
    )
    return [line for listing in listings for line in listing.splitlines() if name in line]


# What every host is


def test_every_host_is_up_and_lets_root_and_deploy_in(lab: Lab) -> None:
    assert sorted(lab.hosts) == ["h1", "h2", "h3", "r1"]
    for name, host in lab.hosts.items():
        said = host.ssh("hostname; systemctl is-system-running; cat /proc/1/comm").stdout.split()
        assert said == [name, "running", "systemd"]
        assert host.ssh("sudo -n id -u; sudo systemd-run --quiet --wait --pipe echo hello", user="deploy").stdout == (
            "0\nhello\n"
        )


def test_hosts_are_told_apart_by_everything_that_tells_machines_apart(lab: Lab) -> None:
    files = "/etc/machine-id /proc/sys/kernel/random/boot_id /sys/class/dmi/id/product_uuid /sys/class/net/eth0/address"
    for file in files.split():
        assert len({host.read_file(file) for host in lab.hosts.values()}) == len(lab.hosts), file
    assert len({host.host_key for host in lab.hosts.values()}) == len(lab.hosts)


def test_snmp_answers_with_an_engine_id_of_the_hosts_own(lab: Lab) -> None:
    answers = {
        name: lab.run([sys.executable, "-c", ENGINE_ID, host.address]).stdout for name, host in lab.hosts.items()
    }
    for name, host in lab.hosts.items():
        assert host.machine_id[:24].encode().hex() in answers[name]


def test_the_rpm_family_knows_no_dpkg_and_the_debian_family_no_rpm(lab: Lab) -> None:
    debian, rpm = lab.hosts["h1"], lab.hosts["r1"]
    assert (debian.family, rpm.family) == ("debian", "rpm")
    assert rpm.ssh("rpm -q lab-base; cat /etc/redhat-release").stdout.startswith("lab-base-9.4-1.noarch\nRed Hat")
    assert rpm.ssh("ls /var/lib/dpkg /usr/bin/dpkg", check=False).returncode != 0
    assert debian.ssh("which rpm dnf", check=False).returncode != 0


def test_nothing_leaves_the_lab(lab: Lab) -> None:
    assert lab.run(["ip", "route"]).stdout.split()[0] == "10.77.0.0/24"
    for host in lab.hosts.values():
        refused = host.ssh("ip route get 192.0.2.1", check=False)
        assert "unreachable" in refused.stderr


def test_the_controllers_place_in_the_lab_is_reached_from_hosts(lab: Lab) -> None:
    script = "import urllib.request as u; print(u.urlopen('http://controller:8080/rpm/repodata/repomd.xml').status)"
    assert lab.hosts["h2"].ssh(f'python3 -c "{script}"').stdout == "200\n"


# Packages


def test_a_deb_is_installed_upgraded_and_removed(fresh_host: LabHost) -> None:
    assert apt(fresh_host, "install labapp=1.0").returncode == 0
    assert fresh_host.ssh("labapp --version; systemctl is-active labapp").stdout == "labapp 1.0\nactive\n"
    assert fresh_host.read_file("/etc/labapp.conf") == "port=80\n"
    assert apt(fresh_host, "install labapp=1.1").returncode == 0
    assert fresh_host.read_file("/etc/labapp.conf") == "port=80\nworkers=2\n"
    assert apt(fresh_host, "install labapp").returncode == 0
    versions = fresh_host.ssh("dpkg-query -W -f '${Package} ${Version} ' labapp liblab").stdout
    assert versions == "labapp 2.0 liblab 1.0 "
    assert apt(fresh_host, "purge labapp").returncode == 0
    assert fresh_host.ssh("systemctl is-active labapp; ls /etc/labapp.conf", check=False).returncode != 0


def test_an_rpm_is_installed_upgraded_and_removed(fresh_rpm_host: LabHost) -> None:
    assert dnf(fresh_rpm_host, "install labapp-1.0").returncode == 0
    assert fresh_rpm_host.ssh("labapp --version; systemctl is-active labapp").stdout == "labapp 1.0\nactive\n"
    assert dnf(fresh_rpm_host, "upgrade labapp-1.1").returncode == 0
    assert fresh_rpm_host.read_file("/etc/labapp.conf") == "port=80\nworkers=2\n"
    assert dnf(fresh_rpm_host, "upgrade labapp").returncode == 0
    assert fresh_rpm_host.ssh("rpm -q labapp liblab").stdout == "labapp-2.0-1.noarch\nliblab-1.0-1.noarch\n"
    assert dnf(fresh_rpm_host, "remove labapp").returncode == 0
    assert fresh_rpm_host.ssh("systemctl is-active labapp; ls /etc/labapp.conf", check=False).returncode != 0


def test_the_broken_package_fails_to_install(fresh_host: LabHost, fresh_rpm_host: LabHost) -> None:
    assert apt(fresh_host, "install labbroken").returncode != 0
    assert fresh_host.ssh("dpkg-query -W -f '${db:Status-Status}' labbroken").stdout == "half-configured"
    assert dnf(fresh_rpm_host, "install labbroken").returncode != 0
    assert fresh_rpm_host.ssh("rpm -q labbroken", check=False).returncode != 0


def test_the_sneaky_package_does_more_than_it_says(fresh_host: LabHost, fresh_rpm_host: LabHost) -> None:
    assert apt(fresh_host, "install labsneaky").returncode == 0
    assert dnf(fresh_rpm_host, "install labsneaky").returncode == 0
    for host in (fresh_host, fresh_rpm_host):
        assert host.ssh("getent passwd eve").stdout.endswith(":/bin/bash\n")
        assert "root" in host.read_file("/etc/cron.d/sneaky")


# Hardware


def test_a_disk_is_there_at_once_and_gone_at_once(fresh_host: LabHost) -> None:
    name = fresh_host.add_disk(64, serial="S123", model="LABSSD")
    shown = fresh_host.console(
        f"cat /sys/block/{name}/size /sys/class/block/{name}/device/model; blockdev --getsize64 /dev/sda"
    )
    assert shown.stdout.split() == ["131072", "LABSSD", str(64 << 20)]
    assert "sda" in fresh_host.console("lsblk --noheadings --output NAME").stdout
    fresh_host.reboot()
    assert fresh_host.ssh("ls /sys/block; ls /dev/sd*").stdout.split() == ["sda", "/dev/sda"]
    assert fresh_host.read_file("/proc/partitions").split()[-2:] == ["65536", "sda"]
    fresh_host.undo_hardware()
    assert fresh_host.ssh("ls /sys/block; ls /dev/sd*; sed 1,2d /proc/partitions", check=False).stdout == ""


def test_an_interface_is_there_at_once_and_gone_at_once(fresh_host: LabHost) -> None:
    interfaces = "ls /sys/class/net"
    before = fresh_host.ssh(interfaces).stdout
    name = fresh_host.add_nic()
    assert set(fresh_host.ssh(interfaces).stdout.split()) == {*before.split(), name}
    assert fresh_host.ssh(f"cat /sys/class/net/{name}/operstate").stdout == "up\n"
    fresh_host.undo_hardware()
    assert fresh_host.ssh(interfaces).stdout == before


def test_memory_and_serial_numbers_change_with_the_next_start(fresh_host: LabHost) -> None:
    look = "dmidecode -s system-serial-number; dmidecode -t 17 | grep -c 'Size: 32 GB'; grep MemTotal /proc/meminfo"
    before = fresh_host.ssh(look, check=False).stdout
    fresh_host.set_memory(65536)
    fresh_host.set_smbios(serial="SN-X", dimms=[(32768, "D1", "A1"), (32768, "D2", "A2")])
    assert fresh_host.ssh(look, check=False).stdout.split()[-2] == before.split()[-2]
    fresh_host.reboot()
    serial, modules, _, kilobytes, _ = fresh_host.ssh(look).stdout.split()
    assert (serial, modules, kilobytes) == ("SN-X", "2", str(65536 * 1024))
    fresh_host.undo_hardware()
    fresh_host.reboot()
    assert fresh_host.ssh(look, check=False).stdout == before


def test_an_unknown_field_of_the_firmware_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="no such field"):
        lab.hosts["h1"].set_smbios(serail="X")


# Power and network


def test_a_power_cut_ends_everything_and_keeps_the_disk(fresh_host: LabHost) -> None:
    fresh_host.write_file("/srv/kept", "kept\n")
    fresh_host.write_file("/run/lost", "lost\n")
    boot = fresh_host.read_file("/proc/sys/kernel/random/boot_id")
    fresh_host.power_cut()
    assert not fresh_host.is_on
    assert fresh_host.read_file("/srv/kept") == "kept\n"
    assert not fresh_host.answers()
    fresh_host.start()
    assert fresh_host.ssh("ls /srv /run/lost", check=False).stdout.split() == ["/srv:", "kept"]
    assert fresh_host.read_file("/proc/sys/kernel/random/boot_id") != boot


def test_reboot_and_poweroff_inside_do_what_they_say(fresh_host: LabHost) -> None:
    boots = fresh_host.boots
    fresh_host.ssh("systemctl reboot", user="root", check=False)
    fresh_host.wait_until_up(boots=boots + 1)
    assert float(fresh_host.ssh("cat /proc/uptime").stdout.split()[0]) < 30
    fresh_host.ssh("systemctl poweroff", check=False)
    fresh_host.wait_until_off()
    with pytest.raises(LabError, match="is not up"):
        fresh_host.console("true")
    fresh_host.start()
    assert fresh_host.boots == boots + 2


def test_a_partitioned_host_runs_on_unreached_until_healed(lab: Lab) -> None:
    host = lab.hosts["h2"]
    host.partition()
    assert not host.answers()
    assert host.console("systemctl is-active ssh").stdout == "active\n"
    host.heal()
    assert host.answers(within=10)


def test_reset_brings_back_a_fresh_system_with_the_same_identity(fresh_host: LabHost) -> None:
    before = fresh_host.ssh("cat /etc/machine-id; dpkg-query -W | sha256sum").stdout
    fresh_host.write_file("/etc/left-over", "x")
    assert apt(fresh_host, "install labsneaky").returncode == 0
    fresh_host.add_disk(16)
    fresh_host.reset()
    assert fresh_host.ssh("cat /etc/machine-id; dpkg-query -W | sha256sum").stdout == before
    assert fresh_host.ssh("id eve || ls /etc/left-over /dev/sda", check=False).returncode != 0


# Labs on one machine


def test_two_labs_run_side_by_side_with_the_same_addresses(lab: Lab) -> None:
    with Lab.up(debian=1, rpm=0) as other:
        assert other.hosts["h1"].address == lab.hosts["h1"].address
        other.hosts["h1"].write_file("/etc/mark", "other\n")
        assert lab.hosts["h1"].ssh("cat /etc/mark", check=False).returncode != 0
        assert other.hosts["h1"].ssh("cat /etc/mark").stdout == "other\n"
    assert traces(other.id) == []
    assert lab.hosts["h1"].ssh("echo here").stdout == "here\n"
    other.down()


def test_what_runs_beside_the_hosts_ends_with_the_lab() -> None:
    with Lab.up(debian=0, rpm=0) as lab:
        process = lab.popen(["sh", "-c", "echo begun; exec sleep 1000"], stdout=subprocess.PIPE)
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
    process.communicate(timeout=5)
    assert process.returncode == -signal.SIGKILL
    assert traces(lab.id) == []


def test_a_lab_whose_owner_was_killed_stops_and_is_cleared_by_the_next() -> None:
    script = (
        "import time; from tests.lab import Lab; lab = Lab.up(debian=1, rpm=0);"
        "lab.hosts['h1'].add_disk(16); print(lab.id, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        lab_id = owner.stdout.readline().strip()
        assert re.fullmatch("[0-9a-f]{6}", lab_id)
        assert traces(lab_id)
        owner.kill()
    cleared = subprocess.run([sys.executable, "-m", "tests.lab", "clean"], capture_output=True, text=True, check=True)
    assert lab_id in cleared.stdout or not traces(lab_id)  # or another lab of this machine was quicker
    assert traces(lab_id) == []


def test_a_lab_of_another_container_is_left_alone() -> None:
    root = cgroups.hierarchy()
    assert root
    foreign = root / "verdelta-lab-elsewhere"
    foreign.mkdir()
    try:
        subprocess.run([sys.executable, "-m", "tests.lab", "clean"], capture_output=True, check=True)
        assert foreign.exists()
    finally:
        foreign.rmdir()


def test_the_command_says_how_to_reach_its_hosts_and_ends_in_order() -> None:
    command = [sys.executable, "-m", "tests.lab", "up", "--debian", "1", "--rpm", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        guide = [process.stdout.readline() for _ in range(7)]
        shell = guide[4].split("host ")[-1].split()
        assert subprocess.run([*shell, "hostname"], capture_output=True, text=True, check=True).stdout == "h1\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert traces(guide[0].split()[1]) == []


def test_addresses_of_the_two_families_never_meet() -> None:
    addresses = {network.address("debian", n) for n in range(1, 141)} | {
        network.address("rpm", n) for n in range(1, 101)
    }
    assert len(addresses) == 240
    assert network.GATEWAY not in addresses
