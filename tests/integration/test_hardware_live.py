"""The hardware collectors on the machine at hand: twice the same, and the same as independent tools see."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.collectors.hardware import block, cpu, gpu, memory, network, pci, sensors, usb
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import ABSENT, OK, Collector, Section, rows_digest

HARDWARE = [entry.load() for entry in SECTIONS if entry.name.startswith("hardware.")]
Seen = TypeVar("Seen")


def tool(*command: str) -> str:
    """Return what a tool prints, or skip the test where it is missing."""
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin"}
    ).stdout


def side_by_side(collector: Collector, other: Callable[[], Seen]) -> tuple[Section, Seen]:
    """Return what the collector and another one see while nothing changes: other tests plug disks and cables."""
    for _ in range(10):
        before, seen, after = collect(LocalHost(), collector), other(), collect(LocalHost(), collector)
        if before.rows == after.rows and before.volatile.keys() == after.volatile.keys():
            return after, seen
    pytest.skip("the machine's hardware changes faster than it can be looked at")


def devices() -> list[str]:
    """Return the names of everything that can be plugged, and what the loop devices hold."""
    names = [
        str(path)
        for pattern in ("class/block/*", "class/net/*", "class/hwmon/*", "bus/pci/devices/*", "bus/usb/devices/*")
        for path in Path("/sys").glob(pattern)
    ]
    return names + [f"{path} {path.read_text()}" for path in Path("/sys/block").glob("loop*/loop/backing_file")]


@pytest.mark.parametrize("collector", HARDWARE, ids=lambda collector: collector.name)
def test_an_idle_machine_audited_twice_gives_the_same_rows_fifty_times(collector: Collector) -> None:
    equal = 0
    for _ in range(100):
        before = devices()
        first, second = collect(LocalHost(), collector), collect(LocalHost(), collector)
        if first.rows != second.rows and before != devices():
            continue  # somebody has plugged something meanwhile: not idle
        assert (first.status, first.error, first.rows) == (second.status, second.error, second.rows)
        assert rows_digest(first.rows) == rows_digest(second.rows)
        equal += 1
        if equal == 50:
            return
    pytest.skip(f"the machine was idle in {equal} of 100 pairs only")


def test_disks_are_those_of_lsblk() -> None:
    columns = "NAME,SIZE,RO,ROTA,TYPE,MODEL,SERIAL"
    section, listed = side_by_side(block.COLLECTOR, lambda: json.loads(tool("lsblk", "-J", "-b", "-l", "-o", columns)))
    shown = {entry["name"]: entry for entry in listed["blockdevices"] if entry["size"] or not _virtual(entry["name"])}
    ours = {name: key for key, row in section.volatile.items() for name in row["names"]}
    assert ours.keys() == shown.keys()  # lsblk also lists what holds nothing, like an empty zram
    for name, entry in shown.items():
        row = {**section.rows[ours[name]], **section.volatile[ours[name]]}
        assert (row["size"], row["read_only"]) == (entry["size"], entry["ro"])
        assert row.get("rotational", entry["rota"]) == entry["rota"]
        assert entry["serial"] in (None, row.get("serial"))  # lsblk asks udev, which may not run here


def _virtual(name: str) -> bool:
    return "/devices/virtual/" in str(Path("/sys/class/block", name).resolve())


def test_interfaces_are_those_of_ip() -> None:
    section, listed = side_by_side(network.COLLECTOR, lambda: json.loads(tool("ip", "-j", "address")))
    ours: dict[str, dict[str, Any]] = {}
    for key, moving in section.volatile.items():
        row = {**section.rows.get(key, {}), **moving}
        ours[row["name"]] = row
    assert ours.keys() == {entry["ifname"] for entry in listed}
    for entry in listed:
        row = ours[entry["ifname"]]
        assert (row["mtu"], row["enabled"]) == (entry["mtu"], "UP" in entry["flags"])
        assert row["address"] in (entry.get("address"), None)
        assert row["master"] == entry.get("master")
        assert row["operstate"] == entry["operstate"].lower()
        their = {f"{one['local']}/{one['prefixlen']}" for one in entry["addr_info"]}
        # Without netlink, an IPv4 address is known by the route to its network; the loopback and /32 have none.
        assert {one for one in their - set(row["addresses"]) if not re.match(r"127\.|.*/32$", one)} == set()
        assert set(row["addresses"]) <= their


def test_processors_are_those_of_lscpu() -> None:
    section, listed = side_by_side(cpu.COLLECTOR, lambda: json.loads(tool("lscpu", "-J")))
    seen = {entry["field"].rstrip(":"): entry["data"] for entry in _flat(listed["lscpu"])}
    machine, package = section.rows["machine"], section.rows["package 0"]
    assert machine["threads"] == int(seen["CPU(s)"])
    assert machine["packages"] == int(seen["Socket(s)"])
    assert machine["cores"] == int(seen["Socket(s)"]) * int(seen["Core(s) per socket"])
    assert package["flags"] == sorted(seen["Flags"].split())
    for field, name in (
        ("vendor", "Vendor ID"),
        ("model", "Model name"),
        ("family", "CPU family"),
        ("stepping", "Stepping"),
    ):
        if field in package and name in seen and not package[field].startswith("0x"):  # lscpu knows ARM's names
            assert package[field] == seen[name]
    for name, state in seen.items():
        if name.startswith("Vulnerability "):
            key = "vulnerability " + name[14:].lower().replace(" ", "_")
            # lscpu writes the first colon as a semicolon and drops the others.
            assert re.sub("[:;]", "", section.rows[key]["state"]) == re.sub("[:;]", "", state)


def _flat(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for entry in entries for one in (entry, *_flat(entry.get("children", [])))]


def test_memory_is_that_of_lsmem() -> None:
    section, listed = side_by_side(memory.COLLECTOR, lambda: tool("lsmem", "-b", "--summary=only"))
    sizes = [int(size) for size in re.findall(r"Total (?:online|offline) memory: +(\d+)", listed)]
    assert section.rows["memory"]["size"] == sum(sizes)
    assert section.volatile["memory"]["total"] <= sum(sizes)


def test_pci_devices_are_those_of_lspci() -> None:
    section, listed = side_by_side(pci.COLLECTOR, lambda: tool("lspci", "-D", "-n", "-vmm", "-k"))
    blocks = [dict(line.split(":\t", 1) for line in text.split("\n")) for text in listed.strip().split("\n\n") if text]
    if section.status == ABSENT:
        assert blocks == []
        return
    assert section.rows.keys() == {device["Slot"] for device in blocks}
    for device in blocks:
        row = section.rows[device["Slot"]]
        assert (row["vendor"], row["device"]) == (device["Vendor"], device["Device"])
        assert row["class"] == device["Class"] + device.get("ProgIf", "00")
        assert row["revision"] == device.get("Rev", "00")
        assert row["driver"] == device.get("Driver")
        # A host bridge without a subsystem shows 0000 in sysfs and nothing in lspci.
        assert (row["subsystem_vendor"], row["subsystem_device"]) == (
            device.get("SVendor", "0000"),
            device.get("SDevice", "0000"),
        )


def test_adapters_are_the_display_and_compute_devices_of_lspci() -> None:
    section, listed = side_by_side(gpu.COLLECTOR, lambda: tool("lspci", "-D", "-n", "-k"))
    found = re.findall(r"^(\S+) ((?:03|12)\d\d): (\w+):(\w+)((?:.*\n\t.*)*)", listed, re.MULTILINE)
    on_pci = {key: row for key, row in section.rows.items() if "vendor" in row}  # lspci has not what is built in
    assert on_pci.keys() == {address for address, *_ in found}
    for address, kind, vendor, device, more in found:
        row = on_pci[address]
        assert (row["class"][:4], row["vendor"], row["device"]) == (kind, vendor, device)
        driver = re.search(r"Kernel driver in use: (\S+)", more)
        assert row["driver"] == (driver.group(1) if driver else None)


def test_usb_devices_are_those_of_lsusb() -> None:
    if collect(LocalHost(), usb.COLLECTOR).status == ABSENT:
        pytest.skip("there is no USB on this machine")
    section, listed = side_by_side(usb.COLLECTOR, lambda: tool("lsusb"))
    shown = re.findall(r"^Bus (\d+) Device (\d+): ID (\w+):(\w+)", listed, re.MULTILINE)
    ours = [
        (moving["bus"], moving["number"], section.rows[key]["vendor"], section.rows[key]["device"])
        for key, moving in section.volatile.items()
    ]
    assert sorted(ours) == sorted(shown)
    # lsusb -t repeats a device for each of its interfaces, and calls a root hub's driver that of its controller.
    leaves = re.findall(r"\|__ .*Dev \d+, If \d+, .*Driver=([^/,]*)", tool("lsusb", "-t"))
    drivers = {driver for key, row in section.rows.items() if re.search(r"usbv\d-", key) for driver in row["drivers"]}
    assert drivers == set(leaves) - {"", "usbfs"}


def test_sensors_are_those_of_lm_sensors() -> None:
    if collect(LocalHost(), sensors.COLLECTOR).status == ABSENT:
        pytest.skip("there are no sensors on this machine")
    section, listed = side_by_side(sensors.COLLECTOR, lambda: tool("sensors", "-u"))
    assert section.status == OK
    shown = re.findall(r"^(\S.*):\n(?:  .*\n)*?  \w+_(?:input|average): ([-0-9.]+)", listed, re.MULTILINE)
    ours = {key: row["label"] or key.rpartition(" ")[2] for key, row in section.volatile.items()}
    readings = {
        ours[key]: value
        for key, row in section.volatile.items()
        for field, value in row.items()
        if field not in ("label", "opened") and value is not None
    }
    # sensors leaves out the chips that it knows only as a battery's, and what its configuration ignores.
    assert {label for label, _ in shown} <= set(readings)
    for label, value in shown:
        if list(ours.values()).count(label) == 1 and label in ("Composite", "temp1"):
            assert abs(readings[label] / 1000 - float(value)) < 20
