"""Disks made of others: volumes, arrays, several paths to one disk; their names last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import block, device_mapper
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

LVM = "LVM-8h3uYQ2mWfK1sJdT0pLzXcVbN4aR7eG9kO5tPvE6wM2xQyZfHj1sUiLrDgCn3oTk"


def machine(*devices: tuple[str, dict[str, str]], **more: str) -> RecordedHost:
    """Return a host with these devices: path below /sys/devices, attributes."""
    files = {f"/sys/devices/{path}/{name}": text for path, found in devices for name, text in found.items()}
    links = {f"/sys/class/block/{path.rpartition('/')[2]}": f"../../devices/{path}" for path, _ in devices}
    slaves = [f"/sys/devices/{path}/slaves" for path, _ in devices if "virtual/block" in path]
    return RecordedHost({"files": {**files, **more}, "links": links, "directories": slaves})


def dm(number: int, name: str, uuid: str) -> tuple[str, dict[str, str]]:
    return f"virtual/block/dm-{number}", {"size": "8", "ro": "0", "dm/name": name, "dm/uuid": uuid}


@pytest.mark.parametrize(
    ("name", "group", "volume"),
    [
        ("rhel-root", "rhel", "root"),
        ("my--group-var--log", "my-group", "var-log"),
        ("a---b", "a-", "b"),
        ("vg-thin-tpool", "vg", "thin"),
        ("vg-root_rimage_0", "vg", "root_rimage_0"),
    ],
)
def test_the_name_of_a_volume_says_its_group(name: str, group: str, volume: str) -> None:
    row = device_mapper.described({"dm/name": name, "dm/uuid": LVM})
    assert (row["volume_group"], row["logical_volume"]) == (group, volume)
    assert row["lv_uuid"] == "kO5tPv-E6wM-2xQy-ZfHj-1sUi-LrDg-Cn3oTk"


def test_a_multipath_disk_keeps_its_key_when_its_names_are_given_out_anew() -> None:
    uuid = "mpath-360060160a6b04a00d2e1f35e7c1a2b3c"
    rows = [collect(machine(dm(0, name, uuid)), block.COLLECTOR).rows for name in ("mpatha", "mpathq")]
    assert rows[0] == rows[1]
    assert list(rows[0]) == ["mpath:360060160a6b04a00d2e1f35e7c1a2b3c"]


def test_an_opened_volume_says_by_which_header() -> None:
    found = {"dm/name": "data", "dm/uuid": "CRYPT-LUKS2-f2b0a9d87c6e4f5a8b1c2d3e4f506172-data"}
    assert device_mapper.described(found)["luks_uuid"] == "f2b0a9d8-7c6e-4f5a-8b1c-2d3e4f506172"
    assert not device_mapper.made_anew(found)
    assert device_mapper.made_anew({"dm/uuid": "CRYPT-PLAIN-swap"})


@given(st.text(alphabet="-abLVMCRYPTpart0123456789mh", max_size=80), st.text(alphabet="-ab", max_size=40))
def test_any_name_and_any_uuid_are_described_or_not(uuid: str, name: str) -> None:
    found = {"dm/name": name, "dm/uuid": uuid}
    assert all(type(value) is str for value in device_mapper.described(found).values())
    assert device_mapper.key(found)


def test_an_array_keeps_its_key_on_a_kernel_that_does_not_show_its_uuid() -> None:
    uuid = "c3a1f0e9-5b7d-4c2a-91e8-d7f6a5b4c3d2"
    array = ("virtual/block/md127", {"size": "8", "dev": "9:127"})
    newer = ("virtual/block/md0", {"size": "8", "md/uuid": uuid})
    known = {"/run/udev/data/b9:127": "I:1\nE:MD_UUID=c3a1f0e9:5b7d4c2a:91e8d7f6:a5b4c3d2\n"}
    assert collect(machine(array, **known), block.COLLECTOR).rows.keys() == {"md:" + uuid}
    assert collect(machine(newer), block.COLLECTOR).rows.keys() == {"md:" + uuid}
    assert collect(machine(array, **{"/run/udev/data/b9:127": "E:MD_UUID=x\n"}), block.COLLECTOR).rows.keys() == {
        "name:md127"
    }


def test_a_refreshed_snap_is_no_change_of_the_disks() -> None:
    loop = {"size": "8", "ro": "1", "loop/backing_file": "/var/lib/snapd/snaps/core22_1380.snap"}
    assert collect(machine(("virtual/block/loop0", loop)), block.COLLECTOR).rows == {}


def nvme(number: int, **found: str) -> tuple[str, dict[str, str]]:
    path = f"pci0000:00/0000:00:0{number}.0/nvme/nvme{number}/nvme{number}n1"
    return path, {"size": "8", "ro": "0", "wwid": "eui.0025385b71b00001"} | {
        name.replace("__", "/"): value for name, value in found.items()
    }


def test_nvme_disks_to_which_their_maker_gave_one_id_are_two() -> None:
    same = machine(nvme(1, device__serial="A"), nvme(2, device__serial="A"))
    assert collect(same, block.COLLECTOR).rows["eui.0025385b71b00001"]["paths"] == 2
    careless = machine(nvme(1, device__serial="A"), nvme(2, device__serial="B"))
    assert len(collect(careless, block.COLLECTOR).rows) == 2


def test_a_lost_path_of_nvme_is_a_change_of_its_disk_and_no_row_of_its_own() -> None:
    head = ("virtual/nvme-subsystem/nvme-subsys1/nvme1n1", {"size": "8", "wwid": "uuid.1"})
    paths = [(f"virtual/nvme-fabrics/ctl/nvme{n}/nvme1c{n}n1", {"size": "8", "hidden": "1"}) for n in (1, 2)]
    told = {f"/sys/devices/virtual/nvme-fabrics/ctl/nvme{n}/transport": "tcp\n" for n in (1, 2)}
    both = collect(machine(head, *paths, **told), block.COLLECTOR).rows
    one = collect(machine(head, paths[1], **told), block.COLLECTOR).rows
    assert both.keys() == one.keys() == {"uuid.1"}
    assert (both["uuid.1"]["paths"], both["uuid.1"]["transport"]) == (2, "nvme-tcp")
    assert (one["uuid.1"].get("paths"), one["uuid.1"]["transport"]) == (None, "nvme-tcp")
