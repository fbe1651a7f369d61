"""The operating system and the machine that it runs as."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import host as operating_system
from verdelta_agent.collectors.system import virtualisation
from verdelta_agent.collectors.system.host import assignments, family, machine_digest, time_zone
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

NAME = {"/proc/sys/kernel/hostname": "h1\n", "/proc/sys/kernel/arch": "x86_64\n"}


@pytest.mark.parametrize(
    ("identity", "like", "expected"),
    [
        ("debian", "", "debian"),
        ("ubuntu", "debian", "debian"),
        ("linuxmint", "ubuntu debian", "debian"),
        ("rhel", "fedora", "rhel"),
        ("fedora", "", "rhel"),
        ("amzn", "fedora", "rhel"),
        ("ol", "fedora", "rhel"),
        ("almalinux", "rhel centos fedora", "rhel"),
        ("opensuse-leap", "suse opensuse", "suse"),
        ("opensuse-tumbleweed", "opensuse suse", "suse"),
        ("sle-micro", "suse", "suse"),
        ("sles", "", "suse"),
        ("alpine", "", "alpine"),
        ("archarm", "arch", "arch"),
        ("photon", "", "other"),
        ("", "", "other"),
    ],
)
def test_a_family_follows_from_the_id_and_what_it_is_like(identity: str, like: str, expected: str) -> None:
    assert family(identity, like) == expected


def test_os_release_is_read_as_the_shell_would() -> None:
    text = '# c\nA=plain\nB="two \\"words\\" \\$5"\nC=\'single $x\'\n D=indented\nnothing\nE=\n\nF="a=b"'
    expected = {"A": "plain", "B": 'two "words" $5', "C": "single $x", "D": "indented", "E": "", "F": "a=b"}
    assert assignments(text) == expected


def test_a_link_to_an_os_release_that_is_gone_is_not_followed() -> None:
    host = RecordedHost({"files": {**NAME, "/usr/lib/os-release": "ID=arch\n"}, "links": {"/etc/os-release": "/gone"}})
    assert collect(host, operating_system.COLLECTOR).rows["os"]["id"] == "arch"


def test_an_architecture_that_nobody_tells_makes_the_section_partial() -> None:
    section = collect(RecordedHost({"files": {"/proc/sys/kernel/hostname": "h1\n"}}), operating_system.COLLECTOR)
    assert section.rows["os"]["architecture"] is None
    assert (section.error or "").startswith("architecture: ")


def test_a_machine_id_stays_on_its_machine_and_clones_are_told_apart_all_the_same() -> None:
    one, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
    section = collect(RecordedHost({"files": {**NAME, "/etc/machine-id": one + "\n"}}), operating_system.COLLECTOR)
    assert one not in json.dumps(section)
    assert section.rows["host"]["machine_id_digest"] == machine_digest(one) != machine_digest(other)


@pytest.mark.parametrize("text", [None, "", "uninitialized"])
def test_a_machine_without_an_id_has_no_digest_of_nothing(text: str | None) -> None:
    assert machine_digest(text) is None


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ({}, "UTC"),
        ({"links": {"/etc/localtime": "../usr/share/zoneinfo/Europe/Berlin"}}, "Europe/Berlin"),
        ({"links": {"/etc/localtime": "/usr/share/zoneinfo/America/Argentina/Ushuaia"}}, "America/Argentina/Ushuaia"),
        ({"files": {"/etc/localtime": "TZif", "/etc/timezone": "Asia/Tokyo\n"}}, "Asia/Tokyo"),
        ({"files": {"/etc/localtime": "TZif"}}, None),
        ({"links": {"/etc/localtime": "/etc/mine"}}, None),
    ],
)
def test_the_time_zone_is_named_where_something_names_it(recording, expected: str | None) -> None:
    assert time_zone(RecordedHost(recording)) == expected


CLOCKS = virtualisation.CLOCKS
DMI = virtualisation.DMI
TREE = virtualisation.DEVICE_TREE + "/"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "none"),
        ({DMI + "sys_vendor": "Dell Inc.\n", CLOCKS: "tsc hpet acpi_pm\n"}, "none"),
        ({DMI + "sys_vendor": "QEMU\n", CLOCKS: "tsc kvm-clock\n"}, "kvm"),
        ({DMI + "sys_vendor": "QEMU\n", CLOCKS: "hpet\n"}, "qemu"),
        ({CLOCKS: "tsc kvm-clock\n"}, "kvm"),
        ({DMI + "sys_vendor": "Amazon EC2\n", CLOCKS: "kvm-clock tsc\n"}, "amazon"),
        ({DMI + "product_name": "VMware7,1\n"}, "vmware"),
        ({DMI + "product_name": "VirtualBox\n", DMI + "sys_vendor": "innotek GmbH\n"}, "oracle"),
        ({DMI + "product_name": "Google Compute Engine\n", CLOCKS: "kvm-clock\n"}, "google"),
        ({CLOCKS: "hyperv_clocksource_tsc_page acpi_pm\n"}, "microsoft"),
        ({"/sys/hypervisor/type": "xen\n", CLOCKS: "xen tsc\n"}, "xen"),
        ({"/proc/xen/capabilities": "control_d\n", "/sys/hypervisor/type": "xen\n", CLOCKS: "xen\n"}, "none"),
        ({"/proc/cpuinfo": "flags\t\t: fpu hypervisor lahf_lm\n"}, "vm-other"),
        ({"/run/systemd/container": "lxc\n", CLOCKS: "kvm-clock\n"}, "lxc"),
        ({"/run/.containerenv": ""}, "podman"),
        ({"/.dockerenv": ""}, "docker"),
        ({"/proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, "wsl"),
        ({TREE + "hypervisor/compatible": "linux,kvm\0", TREE + "fw-cfg@9020000/name": "fw-cfg\0"}, "kvm"),
        ({TREE + "hypervisor/compatible": "xen,xen-4.17\0xen,xen\0"}, "xen"),
        ({TREE + "compatible": "linux,dummy-virt\0", TREE + "fw-cfg@9020000/name": "fw-cfg\0"}, "qemu"),
        ({TREE + "compatible": "linux,dummy-virt\0"}, "vm-other"),
        ({TREE + "compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0"}, "none"),
    ],
)
def test_the_kind_of_machine_is_named_as_systemd_names_it(files: dict[str, str], expected: str) -> None:
    assert virtualisation.detect(RecordedHost({"files": files})) == expected


@given(
    st.binary(max_size=200), st.sampled_from(["/etc/os-release", "/etc/machine-id", "/proc/uptime", DMI + "sys_vendor"])
)
def test_any_bytes_are_read_or_refused(data: bytes, path: str) -> None:
    section = collect(RecordedHost({"files": {**NAME, path: {"hex": data.hex()}}}), operating_system.COLLECTOR)
    assert section.status in ("ok", "failed")
    json.dumps(section).encode("ascii")
