"""NUMA nodes: which processors and how much memory sit together, and how far the nodes are from each other.

Source of the format: Documentation/ABI/stable/sysfs-devices-node of the Linux kernel, proc(5) "/proc/zoneinfo".  The
firmware's tables number the nodes, so that their numbers are the same after the next start.

A node's own MemTotal differs by some pages from one start to the next (see memory.py), so that its size, too, is that
of the blocks of memory which are plugged in.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Rows, Section, absent
from .memory import BLOCKS, present_memory
from .sysfs import has, number

NODES = "/sys/devices/system/node"


class Node(NamedTuple):
    """One directory below /sys/devices/system/node: three of its files, and how many blocks of memory it links to."""

    number: str
    cpus: Optional[str]
    distances: str
    meminfo: str
    blocks: int


def collect(host: Host) -> Section:
    """Absent where the kernel was built without NUMA."""
    if not has(host, NODES):
        return absent()
    nodes = [_read(host, name[4:]) for name in host.listdir(NODES) if name.startswith("node") and name[4:].isdigit()]
    block_size = int(host.read_or_none(BLOCKS + "/block_size_bytes") or "0", 16)
    zones = host.read("/proc/zoneinfo") if not block_size and host.exists("/proc/zoneinfo") else None
    return Section(OK, *parse(nodes, block_size, zones))


def _read(host: Host, number: str) -> Node:
    directory = "%s/node%s" % (NODES, number)
    files = [host.read_or_none("%s/%s" % (directory, name)) for name in ("cpulist", "distance", "meminfo")]
    blocks = [name for name in host.listdir(directory) if name.startswith("memory") and name[6:].isdigit()]
    return Node(number, files[0], files[1] or "", files[2] or "", len(blocks))


def parse(nodes: Sequence[Node], block_size: int, zoneinfo: Optional[str]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows, by the node's number.

    Memory is counted in blocks; a kernel that cannot plug memory has none (`block_size` 0), and is asked for the zones.
    """
    rows: Rows = {}
    volatile: Rows = {}
    zones = _zones(zoneinfo or "")
    for node in nodes:
        total, free = _kilobytes(node.meminfo, "MemTotal"), _kilobytes(node.meminfo, "MemFree")
        if block_size:
            size: Optional[int] = node.blocks * block_size
        else:
            size = present_memory(zones.get(node.number, ""), total or 0) if total else total
        rows[node.number] = {
            "cpus": node.cpus,
            "size": size,
            "distances": [number(distance) for distance in node.distances.split()],
        }
        volatile[node.number] = {"total": total, "free": free}
    return rows, volatile


def _kilobytes(meminfo: str, name: str) -> Optional[int]:
    """Return bytes of a line like "Node 0 MemFree:   9187060 kB", or None where there is none."""
    value = number(meminfo.partition(" %s:" % name)[2].partition("kB")[0].strip())
    return None if value is None else value * 1024


def _zones(zoneinfo: str) -> Dict[str, str]:
    """Return node number -> the text of all its zones."""
    zones: Dict[str, List[str]] = {}
    for text in ("\n" + zoneinfo).split("\nNode ")[1:]:
        name, _, rest = text.partition(",")
        zones.setdefault(name, []).append(rest)
    return {name: "\n".join(texts) for name, texts in zones.items()}


COLLECTOR = Collector(
    "hardware.numa",
    key="the node's number",
    collect=collect,
    deadline=5,
    fields={
        "cpus": "numbers of the logical processors of the node that are online",
        "size": "bytes of the memory that is plugged in there, in whole blocks of memory",
        "distances": "to each node that is online, in their order; 10 is itself, and 20 takes twice as long",
    },
    volatile={
        "total": "MemTotal in bytes: what the kernel left over at its start, other at each start and with a balloon",
        "free": "bytes that nobody uses: moves all the time",
    },
)
