"""Main memory, swap and huge pages.

Source of the format: proc(5) "/proc/meminfo" and "/proc/swaps", Documentation/admin-guide/mm/memory-hotplug.rst and
hugetlbpage.rst of the Linux kernel.

MemTotal is what the kernel left over at its start: it differs by some kilobytes from one start to the next, by
megabytes with another kernel, and follows the balloon of a virtual machine.  So it is shown, and what is compared is
the size of the memory that is plugged in.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Rows, Section
from . import block
from .sysfs import number, read_attributes

BLOCKS = "/sys/devices/system/memory"
HUGE_PAGES = "/sys/kernel/mm/hugepages"
HUGE_PAGE_FILES = ("nr_hugepages", "surplus_hugepages", "nr_overcommit_hugepages", "free_hugepages")
ROUNDING = 64 << 20  # bytes; firmware takes a few pages more or less for itself at each start
PAGE_SIZES = (4096, 16384, 65536)
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


class Swap(NamedTuple):
    """One line of /proc/swaps, sizes in bytes, and the lasting name of what it lies on."""

    key: str
    kind: str
    size: int
    used: int
    priority: int
    compressed: bool


def collect(host: Host) -> Section:
    """Always there: a kernel without /proc/meminfo is one that cannot be read."""
    meminfo = parse_meminfo(host.read("/proc/meminfo"))
    lines = host.read("/proc/swaps").split("\n")[1:] if host.exists("/proc/swaps") else []
    swaps = [_swap(host, line) for line in lines if line]
    return Section(OK, *parse(_installed(host, meminfo), meminfo, swaps, _huge_pages(host)))


def parse_meminfo(text: str) -> Dict[str, int]:
    """Return name -> bytes of the lines of /proc/meminfo that are in kB."""
    pairs = (line.partition(":") for line in text.split("\n") if line.endswith(" kB"))
    return {name: int(value[:-3]) * 1024 for name, _, value in pairs}


def _installed(host: Host, meminfo: Mapping[str, int]) -> Optional[int]:
    """Return the bytes of memory that are plugged in, by blocks where the kernel can plug memory, else by zones."""
    block_size = host.read_or_none(BLOCKS + "/block_size_bytes")
    if block_size:
        blocks = (name[6:] for name in host.listdir(BLOCKS) if name.startswith("memory"))
        return int(block_size, 16) * sum(block.isdigit() for block in blocks)
    if host.exists("/proc/zoneinfo"):
        return present_memory(host.read("/proc/zoneinfo"), meminfo["MemTotal"])
    return None


def present_memory(zoneinfo: str, total: int) -> Optional[int]:
    """Return the bytes of memory in all zones, rounded up, or None where the text has no zones.

    Zones are counted in pages; how large a page is follows from `total`, the bytes of all managed pages.
    """
    lines = [line.split() for line in zoneinfo.split("\n")]
    present = sum(int(words[1]) for words in lines if len(words) == 2 and words[0] == "present")
    managed = sum(int(words[1]) for words in lines if len(words) == 2 and words[0] == "managed")
    if not present or not managed:
        return None
    page = min(PAGE_SIZES, key=lambda size: abs(size - total / managed))
    return -(-present * page // ROUNDING) * ROUNDING


def _swap(host: Host, line: str) -> Swap:
    path, kind, size, used, priority = line.split()
    for escape, character in _ESCAPES:
        path = path.replace(escape, character)
    on_device = kind == "partition" and path.startswith("/dev/")
    key = block.key_of(host, path[5:]) if on_device else path
    return Swap(key, kind, int(size) * 1024, int(used) * 1024, int(priority), path.startswith("/dev/zram"))


def _huge_pages(host: Host) -> Dict[str, Dict[str, str]]:
    if not host.exists(HUGE_PAGES):
        return {}
    names: List[str] = host.listdir(HUGE_PAGES)
    return {name: read_attributes(host, "%s/%s" % (HUGE_PAGES, name), HUGE_PAGE_FILES) for name in names}


def parse(
    installed: Optional[int],
    meminfo: Mapping[str, int],
    swaps: Sequence[Swap],
    huge_pages: Mapping[str, Mapping[str, str]],
) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: "memory", "swap NAME", "hugepages SIZE"."""
    rows: Rows = {"memory": {"size": installed}}
    volatile: Rows = {"memory": {"total": meminfo["MemTotal"], "available": meminfo.get("MemAvailable")}}
    for swap in swaps:
        key = "swap " + swap.key
        # The kernel counts its own priorities down from -2, in the order in which the swaps were switched on.
        rows[key] = {"kind": swap.kind, "priority": swap.priority if swap.priority >= 0 else None}
        volatile[key] = {"used": swap.used}
        (volatile if swap.compressed else rows)[key]["size"] = swap.size
    for name, files in huge_pages.items():
        key = name.replace("-", " ")
        pages = {file: number(files.get(file)) or 0 for file in HUGE_PAGE_FILES}
        rows[key] = {
            "pages": pages["nr_hugepages"] - pages["surplus_hugepages"],
            "overcommit": pages["nr_overcommit_hugepages"],
        }
        volatile[key] = {"free": pages["free_hugepages"], "surplus": pages["surplus_hugepages"]}
    return rows, volatile


COLLECTOR = Collector(
    "hardware.memory",
    key='"memory", "swap" and the swap file or the key of its disk in hardware.block, or "hugepages" and their size',
    collect=collect,
    deadline=5,
    fields={
        "size": "bytes; of the memory: what is plugged in, in whole blocks of memory (see lsmem)",
        "kind": "partition or file",
        "priority": "the swap's priority, or null where the kernel chose it",
        "pages": "huge pages in the persistent pool",
        "overcommit": "huge pages that may be added when needed",
    },
    volatile={
        "total": "MemTotal in bytes: what the kernel left over at its start, other at each start and with a balloon",
        "available": "bytes that can be had without swapping: moves all the time",
        "used": "bytes of the swap in use: moves all the time",
        "size": "of compressed swap in memory (zram): is computed from MemTotal at each start",
        "free": "huge pages not in use: moves with the programs that use them",
        "surplus": "huge pages above the pool: come and go with the programs that use them",
    },
)
