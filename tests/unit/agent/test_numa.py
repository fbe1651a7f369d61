"""NUMA nodes: their size is that of what is plugged in, however the kernel counts, and odd files fail at most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import numa
from verdelta_agent.collectors.hardware.numa import NODES, Node
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK
from verdelta_agent.recorded_host import RecordedHost

BLOCK_SIZE = "/sys/devices/system/memory/block_size_bytes"


def meminfo(total: int) -> str:
    return f"Node 0 MemTotal: {total} kB\nNode 0 MemFree: 5 kB\n"


def node(number: str = "0", total: int = 8_000_000, blocks: int = 0) -> Node:
    return Node(number, "0-3", "10", meminfo(total), blocks)


def zone(number: int, pages: int) -> str:
    return f"Node {number}, zone Normal\n  pages free 1\n        present  {pages}\n        managed  {pages - 100}\n"


def test_with_blocks_a_nodes_size_is_theirs_whatever_the_kernel_left_over() -> None:
    rows = [numa.parse([node(total=total, blocks=64)], 128 << 20, None)[0] for total in (8_000_000, 8_000_004)]
    assert rows[0] == rows[1]
    assert rows[0]["0"]["size"] == 8 << 30


def test_without_blocks_a_nodes_size_is_that_of_its_own_zones() -> None:
    pages = (4 << 30) // 4096
    zones = zone(0, pages // 2) + zone(0, pages // 2) + zone(1, 2 * pages)
    nodes = [node("0", total=4 << 20), node("1", total=8 << 20), node("2", total=1 << 20)]
    rows, _ = numa.parse(nodes, 0, zones)
    assert [rows[number]["size"] for number in "012"] == [4 << 30, 8 << 30, None]


def test_a_node_without_memory_or_without_processors_is_a_row() -> None:
    rows, _ = numa.parse(
        [Node("0", "0-3", "10 20", "Node 0 MemTotal: 0 kB\n", 0), Node("1", "", "20 10", "", 4)], 1, ""
    )
    assert (rows["0"]["size"], rows["1"]["size"], rows["1"]["cpus"]) == (0, 4, "")
    rows, _ = numa.parse([Node("0", "0-3", "10", "Node 0 MemTotal: 0 kB\n", 0)], 0, zone(0, 500))
    assert rows["0"]["size"] == 0


def test_free_memory_moves_and_changes_no_row() -> None:
    texts = [f"Node 0 MemTotal: 100 kB\nNode 0 MemFree: {free} kB\n" for free in (1, 50)]
    first, second = (numa.parse([Node("0", "0", "10", text, 1)], 1 << 27, None) for text in texts)
    assert first[0] == second[0]
    assert (first[1]["0"]["free"], second[1]["0"]["free"]) == (1024, 51200)


def test_what_is_no_node_is_left_alone() -> None:
    directories = [f"{NODES}/node0", f"{NODES}/nodeX", f"{NODES}/node", f"{NODES}/power", f"{NODES}/node0/memory"]
    assert list(collect(RecordedHost({"directories": directories}), numa.COLLECTOR).rows) == ["0"]


def test_a_kernel_without_nodes_is_absent() -> None:
    assert collect(RecordedHost({"directories": ["/sys/devices/system"]}), numa.COLLECTOR).status == ABSENT


@pytest.mark.parametrize("size", ["garbage", "0x", "-\n"])
def test_a_block_size_that_is_no_number_is_a_failure_and_no_size(size: str) -> None:
    host = RecordedHost({"files": {BLOCK_SIZE: size}, "directories": [f"{NODES}/node0"]})
    assert collect(host, numa.COLLECTOR).status == FAILED


@given(
    st.dictionaries(
        st.sampled_from(
            [f"{NODES}/node0/cpulist", f"{NODES}/node0/distance", f"{NODES}/node0/meminfo", "/proc/zoneinfo"]
        ),
        st.text() | st.sampled_from([meminfo(100), zone(0, 1000), "Node 0, zone\n present x\n managed y\n"]),
    )
)
def test_any_text_in_a_nodes_files_gives_a_row_or_a_failed_section(files: dict[str, str]) -> None:
    section = collect(RecordedHost({"files": files, "directories": [f"{NODES}/node0"]}), numa.COLLECTOR)
    assert section.status == FAILED or list(section.rows) == ["0"]
    assert section.status in (OK, FAILED)
