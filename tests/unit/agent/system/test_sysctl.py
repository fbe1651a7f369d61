"""Settings: every one that people make, none that the kernel makes, and no secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import sysctl
from verdelta_agent.collectors.system.sysctl import LEFT_OUT, left_out
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost


def section(files, **more):
    recording = {"files": {"/proc/sys/" + path: content for path, content in files.items()}, **more}
    return collect(RecordedHost(recording), sysctl.COLLECTOR)


def test_a_setting_has_the_name_and_value_that_sysctl_prints() -> None:
    rows = section({"kernel/printk": "4\t4\t1\t7\n", "kernel/core_modes": "file\npipe\n", "vm/swappiness": "60\n"}).rows
    assert rows["kernel.printk"] == {"value": "4 4 1 7"}
    assert rows["kernel.core_modes"] == {"value": "file\npipe"}
    assert rows["vm.swappiness"] == {"value": "60"}


@pytest.mark.parametrize("key", LEFT_OUT)
def test_what_the_kernel_changes_by_itself_is_not_even_read(key: str) -> None:
    class NeverRead(RecordedHost):
        def read_bytes(self, path: str, limit: int = 0) -> bytes:
            assert not path.startswith("/proc/sys/" + key.replace(".", "/"))
            return super().read_bytes(path)

    path = "/proc/sys/" + key.replace(".", "/")
    for place in (path, path + "/below"):
        host = NeverRead({"files": {place: "1\n", "/proc/sys/vm/swappiness": "60\n"}})
        assert list(collect(host, sysctl.COLLECTOR).rows) == ["vm.swappiness"]


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("net.ipv4.conf.all.rp_filter", True),
        ("net.ipv4.conf.default.rp_filter", True),
        ("net.ipv4.conf.eth0.rp_filter", True),
        ("net.ipv4.conf.veth1.rp_filter", False),
        ("net.ipv6.conf.all.mtu", True),
        ("net.ipv6.conf.eth0.mtu", False),
        ("net.ipv6.conf.eth0.hop_limit", False),
        ("net.ipv6.conf.all.stable_secret", False),
        ("net.ipv4.neigh.default.gc_thresh1", True),
        ("net.ipv4.neigh.default.retrans_time", False),
        ("net.ipv4.neigh.eth0.gc_stale_time", False),
        ("net.ipv4.conf", True),
        ("net.ipv4.conf.veth1", False),
        ("net.ipv4.tcp_rmem", True),
    ],
)
def test_of_interfaces_only_what_lasts_is_kept(key: str, kept: bool) -> None:
    assert (left_out(key, {"lo", "eth0"}) is None) is kept


def test_an_interface_with_a_dot_in_its_name_is_one_part_of_a_key() -> None:
    found = section({"net/ipv4/conf/eth0.7/forwarding": "1\n"}, directories=["/sys/class/net/eth0.7/device"])
    assert list(found.rows) == ["net.ipv4.conf.eth0/7.forwarding"]


def test_a_setting_that_only_root_may_read_is_null_and_the_section_says_so() -> None:
    found = section({"kernel/cad_pid": {"error": "EACCES"}, "vm/swappiness": "60"})
    assert found.rows == {"kernel.cad_pid": {"value": None}, "vm.swappiness": {"value": "60"}}
    assert found.error == "not readable: kernel.cad_pid (Permission denied)"


def test_a_setting_that_is_only_written_to_is_none() -> None:
    path = "/proc/sys/kernel/trigger"
    found = section({"kernel/trigger": {"error": "EACCES"}, "vm/swappiness": "60"}, status={path: {"mode": 0o200}})
    assert (list(found.rows), found.error) == (["vm.swappiness"], None)


def test_a_huge_value_is_unreadable_and_the_others_stand() -> None:
    found = section({"kernel/huge": "1" * 70000, "vm/swappiness": "60"})
    assert found.rows == {"kernel.huge": {"value": None}, "vm.swappiness": {"value": "60"}}
    assert found.error == "not readable: kernel.huge (File too large)"


def test_an_interface_that_goes_away_meanwhile_is_no_error() -> None:
    class Vanishing(RecordedHost):
        def listdir(self, path: str):
            return super().listdir(path) + (["gone"] if path == "/proc/sys/net" else [])

    found = collect(Vanishing({"files": {"/proc/sys/net/here": "1\n"}}), sysctl.COLLECTOR)
    assert (list(found.rows), found.error) == (["net.here"], None)


@given(st.binary(max_size=100))
def test_any_value_can_be_hashed(data: bytes) -> None:
    found = section({"kernel/odd": {"hex": data.hex()}})
    assert found.status == "ok"
    json.dumps(found).encode("ascii")
