"""The running kernel and its modules."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import kernel, modules
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

KERNEL = {
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    "/proc/sys/kernel/version": "#1 SMP\n",
    "/proc/cmdline": "quiet\n",
}


@pytest.mark.parametrize(
    ("mask", "letters"),
    [(0, []), (1, ["P"]), (1 << 12 | 1 << 13, ["O", "E"]), (1 << 9, ["W"]), (1 << 18, ["N"]), (1 << 29, ["bit 29"])],
)
def test_a_taint_is_told_by_the_kernels_own_letters(mask: int, letters: list[str]) -> None:
    assert kernel.taints(mask) == letters


def test_a_kernel_that_does_not_tell_its_taints_is_not_taken_for_a_clean_one() -> None:
    assert collect(RecordedHost({"files": KERNEL}), kernel.COLLECTOR).rows["running"]["tainted"] is None


@given(st.binary(max_size=60), st.sampled_from(sorted(KERNEL)))
def test_any_bytes_of_the_kernel_are_read_or_refused(data: bytes, path: str) -> None:
    section = collect(RecordedHost({"files": {**KERNEL, path: {"hex": data.hex()}}}), kernel.COLLECTOR)
    json.dumps(section).encode("ascii")


def installed(boot=(), modules=(), **files):
    names = {f"/boot/{name}": "" for name in boot} | {f"/lib/modules/{name}/modules.dep": "" for name in modules}
    return collect(RecordedHost({"files": {**KERNEL, **names, **files}}), kernel.COLLECTOR)


def test_another_kernel_beside_the_running_one_is_one_changed_row():
    before = installed(["vmlinuz-6.1.0-9-amd64"], ["6.1.0-9-amd64"]).rows
    after = installed(["vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"], ["6.1.0-9-amd64", "6.1.0-10-amd64"]).rows
    assert [key for key in after if before[key] != after[key]] == ["installed"]
    assert (before["installed"]["newest"], after["installed"]["newest"]) == ("6.1.0-9-amd64", "6.1.0-10-amd64")


@pytest.mark.parametrize(
    ("older", "younger"),
    [
        ("5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9.x86_64"),
        ("6.9.0-1-amd64", "6.10.0-1-amd64"),
        ("4.18.0-553.el8_10.x86_64", "4.18.0-553.5.1.el8_10.x86_64"),
        ("6.4.0-150600.21-default", "6.4.0-150600.23.7-default"),
    ],
)
def test_of_two_kernels_the_younger_is_known(older, younger):
    assert kernel.age(older) < kernel.age(younger)


def test_no_machine_id_leaves_with_the_name_of_a_kernel_or_of_an_entry():
    identity = "0123456789abcdef0123456789abcdef"
    boot = ["vmlinuz-5.14.0-427.el9.x86_64", f"vmlinuz-0-rescue-{identity}", ".vmlinuz-5.14.0.hmac", "config-5.14.0"]
    environment = f"# GRUB Environment Block\nsaved_entry={identity}-5.14.0-427.el9.x86_64\nboot_success=1\n####"
    row = installed(boot, **{"/boot/grub2/grubenv": environment}).rows["installed"]
    assert row["images"] == ["0-rescue", "5.14.0-427.el9.x86_64"]
    assert (row["newest"], row["default_entry"]) == ("5.14.0-427.el9.x86_64",) * 2


def test_what_packages_leave_beside_kernels_is_none():
    names = ["vmlinuz", "vmlinuz-6.1.old", "vmlinuz-6.1.dpkg-new", "vmlinuz-6.1~", "vmlinuz-6.1", "vmlinuz-lts"]
    assert installed(names).rows["installed"]["images"] == ["6.1", "lts"]


def test_a_boot_that_is_mounted_when_somebody_looks_is_left_alone():
    class Watched(RecordedHost):
        def listdir(self, path):
            assert path != "/boot"
            return super().listdir(path)

    mountinfo = "1 1 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / /boot rw - autofs systemd-1 rw\n"
    files = {**KERNEL, "/proc/self/mountinfo": mountinfo, "/boot/vmlinuz-1": ""}
    section = collect(Watched({"files": files}), kernel.COLLECTOR)
    assert (list(section.rows), section.error) == (
        ["running"],
        "partial: not read: /boot (mounted when somebody looks)",
    )


def test_a_system_that_does_not_run_has_its_kernels_all_the_same():
    host = RecordedHost({"files": {**KERNEL, "/boot/vmlinuz-6.1": ""}})
    host.running = False
    assert list(collect(host, kernel.COLLECTOR).rows) == ["installed"]


def test_a_running_kernel_that_cannot_be_asked_is_not_taken_for_none():
    assert collect(RecordedHost({"files": {"/boot/vmlinuz-6.1": ""}}), kernel.COLLECTOR).status == "failed"


def test_use_of_a_module_changes_nothing() -> None:
    idle = modules.parse("tls 135168 0 - Live 0xffffffffc030d000\n")
    busy = modules.parse("tls 135168 3 bonding,nvme, Live 0x0000000000000000\n")
    assert idle == busy == {"tls": {"taints": []}}


def test_a_module_on_its_way_out_is_gone() -> None:
    assert modules.parse("a 1 0 - Live 0x0\nb 1 0 - Unloading 0x0 (O)\n") == {"a": {"taints": []}}


def test_a_kernel_without_modules_is_absent_and_one_with_none_loaded_is_empty() -> None:
    assert collect(RecordedHost({"files": KERNEL}), modules.COLLECTOR).status == "absent"
    empty = collect(RecordedHost({"files": {"/proc/modules": ""}}), modules.COLLECTOR)
    assert (empty.status, empty.rows) == ("ok", {})


@given(st.binary(max_size=200))
def test_any_bytes_of_modules_are_read_or_refused(data: bytes) -> None:
    section = collect(RecordedHost({"files": {"/proc/modules": {"hex": data.hex()}}}), modules.COLLECTOR)
    assert section.status in ("ok", "failed")
    json.dumps(section).encode("ascii")
