"""The running kernel and its modules."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import kernel, modules
from verdelta_agent.gather import collect
from verdelta_agent.host import RecordedHost

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


def test_installed_kernels_are_told_by_their_images_and_modules_and_what_is_left_behind_is_none() -> None:
    boot = ["vmlinuz-6.1.0-22-amd64", "initrd.img-6.1.0-22-amd64", "vmlinuz-6.1.0-21-amd64.old", "grub", "vmlinuz-x"]
    rows = kernel.installed([*boot, ".vmlinuz-5.14.0.hmac"], ["6.1.0-22-amd64", "6.1.0-18-amd64", "extramodules"])
    assert rows == {
        "installed 6.1.0-22-amd64": {"image": True, "modules": True},
        "installed 6.1.0-18-amd64": {"image": False, "modules": True},
        "installed x": {"image": True, "modules": False},
    }


def test_of_a_system_that_does_not_run_the_installed_kernels_are_shown() -> None:
    host = RecordedHost({"files": {**KERNEL, "/boot/vmlinuz-6.1.0": "", "/usr/lib/modules/6.1.0/modules.dep": ""}})
    assert set(collect(host, kernel.COLLECTOR).rows) == {"running", "installed 6.1.0"}
    host.running = False
    assert set(collect(host, kernel.COLLECTOR).rows) == {"installed 6.1.0"}


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
