"""The hardware collectors: keys that outlive a restart, and what is left out or never compared."""

import ipaddress
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import block, cpu, memory, network, pci
from verdelta_agent.collectors.hardware.sysfs import Device, has, place
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK
from verdelta_agent.recorded_host import RecordedHost

PCI_DISK = "/sys/devices/pci0000:00/0000:00:1f.2/ata{0}/host{0}/target{0}:0:0/{0}:0:0:0/block/{1}"


def disk(name: str, path: str = "", **attributes: str) -> block.Disk:
    found = {key.replace("__", "/"): value for key, value in {"size": "100", "ro": "0", **attributes}.items()}
    return block.Disk(Device(name, path or f"/sys/devices/virtual/block/{name}", found), block._kind(name), [], [])


@pytest.mark.parametrize(
    ("attributes", "key"),
    [
        ({"device__wwid": "naa.5000c500a1b2c3d7", "device__serial": "S1"}, "naa.5000c500a1b2c3d7"),
        ({"device__wwid": "t10.ATA     DISK   1", "device__serial": "S1"}, "t10.ATA DISK 1"),
        ({"device__wwid": "naa.0000000000000000", "device__serial": "S1"}, "serial:S1"),
        ({}, "path:pci-0000:00:1f.2/scsi-0:0:0"),
    ],
)
def test_a_disk_is_known_by_the_best_of_what_it_carries(attributes: dict[str, str], key: str) -> None:
    rows, _ = block.parse([disk("sda", PCI_DISK.format(1, "sda"), **attributes)])
    assert list(rows) == [key]


def test_disks_found_in_another_order_have_the_same_rows() -> None:
    def machine(names: tuple[str, str]) -> dict:
        first = disk(names[0], PCI_DISK.format(3, names[0]), device__wwid="naa.1", device__model="A")
        second = disk(names[1], PCI_DISK.format(4, names[1]), device__wwid="naa.2", device__model="B")
        return block.parse(sorted((first, second), key=lambda one: one.device.name))[0]

    assert machine(("sda", "sdb")) == machine(("sdb", "sda"))


def test_two_paths_to_one_disk_are_one_row_and_a_lost_path_is_a_change_of_it() -> None:
    paths = [disk(f"sd{letter}", device__wwid="naa.6", device__serial="L") for letter in "ab"]
    whole, volatile = block.parse(paths)
    assert whole["naa.6"]["paths"] == 2
    assert volatile["naa.6"]["names"] == ["sda", "sdb"]
    assert block.parse(paths[:1])[0].keys() == whole.keys()


def test_disks_whose_maker_gave_them_one_serial_number_are_two_rows() -> None:
    same = [disk(name, PCI_DISK.format(at, name), device__serial="0") for at, name in ((1, "sda"), (2, "sdb"))]
    assert list(block.parse(same)[0]) == ["serial:0 as sda", "serial:0 as sdb"]
    apart = [
        disk(name, f"/sys/devices/pci0000:00/0000:00:0{at}.0/virtio{at}/block/{name}", serial="X")
        for at, name in ((4, "vda"), (5, "vdb"))
    ]
    assert list(block.parse(apart)[0]) == ["serial:X at pci-0000:00:04.0", "serial:X at pci-0000:00:05.0"]
    unlike = [disk("sda", device__wwid="naa.7"), disk("sdb", device__wwid="naa.7", size="200")]
    assert len(block.parse(unlike)[0]) == 2


def test_the_boot_areas_of_an_emmc_chip_hang_below_it() -> None:
    chip = disk(
        "mmcblk0", "/sys/devices/platform/fe2e0000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", device__cid="15ab"
    )
    boot = Device("mmcblk0boot0", chip.device.path + "/mmcblk0boot0", {"size": "8192", "ro": "1"})
    part = Device("mmcblk0p1", chip.device.path + "/mmcblk0p1", {"size": "64", "start": "8", "partition": "1"})
    assert list(block.parse([chip._replace(parts=[boot, part])])[0]) == [
        "mmc:15ab",
        "mmc:15ab boot0",
        "mmc:15ab part 1",
    ]


def test_an_internal_disk_behind_a_hot_plug_port_is_no_medium() -> None:
    behind = disk("sda", PCI_DISK.format(1, "sda"), removable="1", device__wwid="naa.8")
    assert block.parse([behind])[0]["naa.8"]["size"] == 51200


def test_a_disk_that_goes_away_while_it_is_read_is_not_there() -> None:
    host = RecordedHost(
        {"links": {"/sys/class/block/sda": "../../devices/pci0/block/sda"}, "directories": ["/sys/devices"]}
    )
    assert collect(host, block.COLLECTOR).rows == {}


def test_without_sysfs_nothing_is_known_and_with_it_what_is_not_there_is_absent() -> None:
    for collector in (block.COLLECTOR, network.COLLECTOR, pci.COLLECTOR):
        assert collect(RecordedHost({}), collector).status == FAILED
        assert collect(RecordedHost({"directories": ["/sys/class", "/sys/bus"]}), collector).status == ABSENT
    assert not has(RecordedHost({"directories": ["/sys/class"]}), "/sys/class/dmi")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/net/eth0", "pci-0000:02:00.0"),
        ("/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/net/eth1", "pci-0000:00:14.0/usb-1.4:1.0"),
        ("/sys/devices/LNXSYSTM:00/VMBUS:01/f8b3781a-1e82-4818-a1c3-63d806ec15bb/host0/target0:0:0/0:0:0:1/block/sda",
         "vmbus-f8b3781a-1e82-4818-a1c3-63d806ec15bb/scsi-0:0:1"),
        ("/sys/devices/vbd-51712/block/xvda", "xen-vbd-51712"),
        ("/sys/devices/css0/0.0.0001/0.0.1000/net/enc1000", "ccw-0.0.1000"),
        ("/sys/devices/platform/fe300000.ethernet/net/eth0", "platform-fe300000.ethernet"),
        ("/sys/devices/virtual/net/lo", ""),
    ],
)  # fmt: skip
def test_a_place_is_what_stays_of_a_path_at_the_next_start(path: str, where: str) -> None:
    assert place(path) == where


def interface(
    name: str, address: str = "", master: str | None = None, path: str = "", **attributes: str
) -> network.Interface:
    found = {"uevent": f"INTERFACE={name}", "type": "1", "flags": "0x1003", "addr_assign_type": "0", "mtu": "1500"}
    found.update({key.replace("__", "/"): value for key, value in attributes.items()}, address=address)
    return network.Interface(Device(name, path or f"/sys/devices/pci0000:00/0000:00:03.0/net/{name}", found), master)


def test_a_port_keeps_its_key_when_it_joins_a_bond() -> None:
    alone = interface("eno1", "3c:ec:ef:00:00:01")
    member = interface(
        "eno1", "3c:ec:ef:00:00:99", "bond0", addr_assign_type="3", bonding_slave__perm_hwaddr="3c:ec:ef:00:00:01"
    )
    keys = [list(network.parse([one], network.Lists())[0]) for one in (alone, member)]
    assert keys == [["3c:ec:ef:00:00:01"]] * 2


def test_an_interface_that_shares_its_address_with_a_virtual_function_keeps_it_alone() -> None:
    both = [interface("eth0", "00:0d:3a:00:00:01"), interface("enP1s1", "00:0d:3a:00:00:01", "eth0")]
    assert set(network.parse(both, network.Lists())[0]) == {"00:0d:3a:00:00:01", "00:0d:3a:00:00:01 as enP1s1"}
    assert set(network.parse(both[:1], network.Lists())[0]) == {"00:0d:3a:00:00:01"}


def test_ports_that_all_show_one_address_are_all_there() -> None:
    ports = [interface(f"lan{number}", "02:00:00:00:00:01") for number in range(3)]
    assert len(network.parse(ports, network.Lists())[0]) == 3


@pytest.mark.parametrize(
    "name", ["veth1a2b3c4", "vnet0", "tap12", "cali0f1e2d3c4b5", "ppp0", "fwbr101i0", "eni0123456789a"]
)
def test_what_containers_and_machines_make_for_themselves_is_shown_and_never_compared(name: str) -> None:
    rows, volatile = network.parse([interface(name, path=f"/sys/devices/virtual/net/{name}")], network.Lists())
    assert rows == {}
    assert volatile[name]["name"] == name


@pytest.mark.parametrize("name", ["eth0", "bond0", "br0", "docker0", "wg0", "dummy0", "enp3s0", "lan"])
def test_what_somebody_has_set_up_is_compared(name: str) -> None:
    assert name in network.parse([interface(name, path=f"/sys/devices/virtual/net/{name}")], network.Lists())[0]


def test_a_card_that_is_called_like_a_containers_interface_is_compared() -> None:
    assert "00:16:3e:00:00:01" in network.parse([interface("tap0", "00:16:3e:00:00:01")], network.Lists())[0]


def test_a_leased_address_and_a_service_address_are_not_compared() -> None:
    leased, service, fixed, local = (f"{address:032x}" for address in (1, 2, 3, 4))
    lines = (
        f"{leased} 02 40 00 00 eth0",
        f"{service} 02 80 00 80 eth0",
        f"{fixed} 02 40 00 80 eth0",
        f"{local} 02 40 20 80 eth0",
    )
    rows, volatile = network.parse([interface("eth0", "02::01")], network.Lists(addresses6="\n".join(lines)))
    assert [row["fixed_ipv6"] for row in rows.values()] == [["::3/64"]]
    assert [len(row["addresses"]) for row in volatile.values()] == [4]


@given(st.integers(0, (1 << 128) - 1) | st.integers(0, 0xFFFF).map(lambda word: word << 64))
def test_an_ipv6_address_is_written_as_everybody_writes_it(number: int) -> None:
    assert network.ipv6(f"{number:032x}") == str(ipaddress.IPv6Address(number))


def test_a_routers_table_is_too_long_to_read_and_leaves_its_rows_as_they_are() -> None:
    links = {"/sys/class/net/eth0": "../../devices/virtual/net/eth0"}
    files = {"/sys/devices/virtual/net/eth0/uevent": "INTERFACE=eth0\n"}
    short = collect(RecordedHost({"files": files, "links": links}), network.COLLECTOR)
    long = collect(
        RecordedHost({"files": {**files, "/proc/net/route": "x\n" * (1 << 18)}, "links": links}), network.COLLECTOR
    )
    assert short.status == long.status == OK
    assert short.rows == long.rows


def test_memory_is_what_is_plugged_in_however_much_the_kernel_left_over() -> None:
    rows = [memory.parse(8 << 30, {"MemTotal": total}, [], {})[0] for total in (8_200_000_000, 8_200_004_096)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("page", "taken"), [(4096, 0), (4096, 300), (16384, 5), (65536, 2)])
def test_without_memory_blocks_zones_are_counted_in_pages_of_any_size(page: int, taken: int) -> None:
    present = (4 << 30) // page - taken
    zones = (
        f"Node 0, zone DMA32\n        present  {present - 100}\n        managed  {present - 400}\n"
        "Node 0, zone Normal\n        present  100\n        managed  90\n"
    )
    assert memory.present_memory(zones, (present - 310) * page) == 4 << 30
    assert memory.present_memory("", 1) is None


def test_swap_that_the_kernel_ordered_has_no_priority_of_its_own() -> None:
    def swap(priority: int) -> dict:
        return memory.parse(None, {"MemTotal": 1}, [memory.Swap("/swap", "file", 1, 0, priority, False)], {})[0]

    assert swap(-2) == swap(-3)
    assert swap(10) != swap(-2)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_processors_in_any_order_give_the_same_rows(places: list[tuple[int, int]], order: random.Random) -> None:
    blocks = [
        f"processor\t: {n}\nmodel name\t: X\nmicrocode\t: 0x{n % 2}\nphysical id\t: {package}\n"
        f"core id\t\t: {core}\ncpu MHz\t\t: {n}\nflags\t\t: a b"
        for n, (package, core) in enumerate(places)
    ]
    rows = cpu.parse("\n\n".join(blocks) + "\n\n", {}, {}, {})
    order.shuffle(blocks)
    assert cpu.parse("\n\n".join(blocks) + "\n\n", {}, {}, {}) == rows
    assert rows["machine"]["threads"] == len(places)
    assert rows["machine"]["cores"] == len(set(places))


def test_big_and_little_cores_of_one_package_are_both_named_and_share_only_common_features() -> None:
    text = "processor: 0\nCPU part: 0xd03\nFeatures: a b\n\nprocessor: 1\nCPU part: 0xd08\nFeatures: b c\n\n"
    row = cpu.parse(text, {}, {}, {})["package 0"]
    assert (row["model_number"], row["flags"]) == ("0xd03, 0xd08", ["b"])


@given(st.text(max_size=300))
def test_any_text_for_cpuinfo_gives_rows_or_a_value_error(text: str) -> None:
    try:
        rows = cpu.parse(text, {}, {}, {})
    except ValueError:
        return
    assert rows["machine"]["threads"] > 0


@given(
    st.dictionaries(
        st.sampled_from(["uevent", "type", "address", "flags", "mtu", "speed", "addr_assign_type"]), st.text()
    ),
    st.text(),
)
def test_any_text_in_an_interfaces_files_gives_rows_or_a_failed_section(
    attributes: dict[str, str], listed: str
) -> None:
    files = {f"/sys/devices/pci0/net/eth0/{name}": text for name, text in attributes.items()}
    lists = dict.fromkeys((network.ROUTES, network.ADDRESSES, network.ADDRESSES6, network.VLANS), listed)
    host = RecordedHost({"files": {**files, **lists}, "links": {"/sys/class/net/eth0": "../../devices/pci0/net/eth0"}})
    assert collect(host, network.COLLECTOR).status in (OK, FAILED)


@given(
    st.dictionaries(
        st.sampled_from(["size", "ro", "device/wwid", "device/vpd_pg80", "loop/offset", "md/degraded"]), st.text()
    )
)
def test_any_text_in_a_disks_files_gives_rows_or_a_failed_section(attributes: dict[str, str]) -> None:
    files = {f"/sys/devices/pci0/block/sda/{name}": text for name, text in attributes.items()}
    host = RecordedHost({"files": files, "links": {"/sys/class/block/sda": "../../devices/pci0/block/sda"}})
    assert collect(host, block.COLLECTOR).status in (OK, FAILED)


ETH0 = "/sys/devices/pci0000:00/0000:00:03.0/net/eth0"


def borrowed(ethtool: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an interface for which another address is in use than its own, on Linux 6.1.0-49-amd64."""
    files = {"type": "1", "address": "02:00:00:00:00:01", "addr_assign_type": "3", "flags": "0x1003", "mtu": "1500"}
    recording = {
        "files": {network.RELEASE: "6.1.0-49-amd64\n", **{f"{ETH0}/{name}": value for name, value in files.items()}},
        "links": {"/sys/class/net/eth0": f"../..{ETH0[4:]}", f"{ETH0}/device": "../../../0000:00:03.0"},
        "ethtool": ethtool,
    }
    section = collect(RecordedHost(recording), network.COLLECTOR)
    ((key, row),) = section.rows.items()
    return {**row, "key": key}


def test_an_address_that_another_one_hides_and_the_firmware_are_asked_of_the_driver() -> None:
    information = network._INFORMATION[:68] + b"14.32.1010 (MT_1)".ljust(128, b"\0")
    own = network._PERMANENT_ADDRESS[:4] + b"\6\0\0\0" + bytes.fromhex("b8cef6010203") + bytes(26)
    asked = {
        f"eth0 {network._INFORMATION.hex()}": information.hex(),
        f"eth0 {network._PERMANENT_ADDRESS.hex()}": own.hex(),
    }
    row = borrowed(asked)
    assert (row["key"], row["mac"]) == ("b8:ce:f6:01:02:03", "b8:ce:f6:01:02:03")
    assert row["firmware"] == "14.32.1010 (MT_1)"


@pytest.mark.parametrize(
    ("version", "shown"),
    [(b"5.8-2.0.3", "5.8-2.0.3"), (b"1.0.0", "1.0.0"), (b"6.1.0-49-amd64", None), (b"", None), (b"N/A", None)],
)
def test_a_drivers_version_shows_where_it_is_not_the_kernels(version: bytes, shown: str | None) -> None:
    information = network._INFORMATION[:36] + version.ljust(160, b"\0")
    row = borrowed({f"eth0 {network._INFORMATION.hex()}": information.hex()})
    assert (row["driver_version"], row["firmware"]) == (shown, None)


@pytest.mark.parametrize("firmware", [b"", b"N/A", b"\0junk"])
def test_a_driver_that_tells_nothing_leaves_the_interface_to_its_place(firmware: bytes) -> None:
    information = network._INFORMATION[:68] + firmware.ljust(128, b"\0")
    asked = {
        f"eth0 {network._INFORMATION.hex()}": information.hex(),
        f"eth0 {network._PERMANENT_ADDRESS.hex()}": network._PERMANENT_ADDRESS.hex(),  # all zero
    }
    row = borrowed(asked)
    assert row == borrowed({})
    assert (row["key"], row["mac"], row["firmware"]) == ("path:pci-0000:00:03.0", None, None)
