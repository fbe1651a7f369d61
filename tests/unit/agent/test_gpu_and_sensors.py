"""Graphics adapters and sensors: what their drivers know, and which of it may move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import gpu, sensors
from verdelta_agent.collectors.hardware.sensors import Chip
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK
from verdelta_agent.recorded_host import RecordedHost

ADDRESS = "0000:3b:00.0"
DEVICE = f"/sys/devices/pci0000:3a/{ADDRESS}"
INFORMATION = """Model: \t\t NVIDIA A2
IRQ:   \t\t 98
GPU UUID: \t {0}
Video BIOS: \t {1}
Bus Type: \t PCIe
Bus Location: \t 0000:3b:00.0
Device Minor: \t 0
GPU Firmware: \t 550.54.14
GPU Excluded:\t No
"""
IDENTITY = ("GPU-6d7e8f90-0a1b-2c3d-4e5f-60718293a4b5", "94.07.5b.00.92")


def machine(files: dict, links: dict) -> RecordedHost:
    return RecordedHost({"files": files, "links": links, "directories": ["/sys/class", "/sys/bus"]})


def card(driver: str = "", kind: str = "0x030200", **attributes: str) -> RecordedHost:
    event = f"DRIVER={driver}\n" * bool(driver) + "PCI_CLASS=30200\nPCI_ID=10DE:25B6\nPCI_SUBSYS_ID=10DE:157E\n"
    files = {f"{DEVICE}/{name}": text for name, text in {"uevent": event, "class": kind, **attributes}.items()}
    links = {f"/sys/bus/pci/devices/{ADDRESS}": f"../../..{DEVICE[4:]}"}
    return machine(files, links)


def nvidia(*identity: str) -> RecordedHost:
    host = card("nvidia")
    path = f"{gpu.NVIDIA}/{ADDRESS}/information"
    return machine({**host.files, path: INFORMATION.format(*identity)}, dict(host.links))


def read(host: RecordedHost) -> dict:
    section = collect(host, gpu.COLLECTOR)
    assert (section.status, section.error) == (OK, None)
    return section.rows[ADDRESS]


def test_an_adapter_is_there_with_and_without_a_driver() -> None:
    assert read(card())["driver"] is None
    assert read(card("vfio-pci"))["driver"] == "vfio-pci"
    assert read(card(kind="0x120000\n"))["vendor"] == "10de"
    assert collect(card(kind="0x020000\n"), gpu.COLLECTOR).status == ABSENT


def test_what_nvidias_driver_knows_is_compared() -> None:
    row = read(nvidia(*IDENTITY))
    assert (row["model"], row["unique_id"], row["vbios"]) == ("NVIDIA A2", *IDENTITY)
    assert "IRQ" not in str(row)


def test_what_nvidias_driver_does_not_know_now_is_missing_and_named() -> None:
    section = collect(nvidia("GPU-????????-????-????-????-????????????", "??.??.??.??.??"), gpu.COLLECTOR)
    assert "unique_id" not in section.rows[ADDRESS]
    assert section.rows[ADDRESS]["model"] == "NVIDIA A2"
    assert section.error == (
        "not known to the driver while nothing uses the adapter: unique_id of 0000:3b:00.0, vbios of 0000:3b:00.0"
    )


def test_the_memory_of_every_tile_counts() -> None:
    tiles = {"tile0/physical_vram_size_bytes": "17179869184\n", "tile1/physical_vram_size_bytes": "17179869184\n"}
    assert read(card("xe", **tiles))["memory"] == 32 << 30
    assert read(card("amdgpu", mem_info_vram_total="8573157376\n"))["memory"] == 8573157376
    assert "memory" not in read(card("amdgpu", mem_info_vram_total="none\n"))
    assert "memory" not in read(card("nouveau", mem_info_vram_total="1\n"))


def test_cards_are_named_after_what_they_belong_to() -> None:
    host = card("virtio-pci")
    links = {
        "/sys/class/drm/card1": f"../..{DEVICE[4:]}/virtio3/drm/card1",
        "/sys/class/drm/card1-Virtual-1": f"../..{DEVICE[4:]}/virtio3/drm/card1/card1-Virtual-1",
        "/sys/class/drm/renderD128": f"../..{DEVICE[4:]}/virtio3/drm/renderD128",
        "/sys/class/drm/card2": "../../devices/platform/soc/ff9a0000.gpu/drm/card2",
        "/sys/class/drm/card3": "../../devices/virtual/drm/card3",
        "/sys/class/drm/card4": "../../devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/drm/card4",
    }
    built_in = {"/sys/devices/platform/soc/ff9a0000.gpu/uevent": "DRIVER=panfrost\nOF_COMPATIBLE_0=arm,mali-t860\n"}
    section = collect(machine({**host.files, **built_in}, {**host.links, **links}), gpu.COLLECTOR)
    assert {key: row["names"] for key, row in section.volatile.items()} == {
        ADDRESS: ["card1", "renderD128"],
        "platform-ff9a0000.gpu": ["card2"],
        "pci-0000:00:14.0/usb-2:1.0": ["card4"],
    }
    assert section.rows["platform-ff9a0000.gpu"] == {"driver": "panfrost", "model": "arm,mali-t860"}


def test_an_adapter_that_refuses_to_be_read_is_a_failure() -> None:
    host = card("amdgpu")
    host.files = {**host.files, f"{DEVICE}/class": {"error": "EACCES"}}
    assert collect(host, gpu.COLLECTOR).status == FAILED


@given(st.text(), st.text(), st.dictionaries(st.sampled_from(["mem_info_vram_total", "unique_id"]), st.text()))
def test_any_text_of_a_driver_gives_rows_or_a_failed_section(uevent: str, text: str, more: dict[str, str]) -> None:
    for driver in ("amdgpu", "nvidia"):
        host = card(driver, **more)
        host.files = {**host.files, f"{gpu.NVIDIA}/{ADDRESS}/information": text}
        assert collect(host, gpu.COLLECTOR).status in (OK, FAILED)
    assert collect(card("amdgpu", uevent=uevent), gpu.COLLECTOR).status in (OK, FAILED)
    assert gpu._from_nvidia(text).keys() == {"model", "unique_id", "vbios"}


CORES = "/sys/devices/platform/coretemp.0"


def chips(*found: Chip) -> dict:
    return sensors.parse(found)[0]


def chip(device: str, name: str, disk: str = "", labels: tuple[str, ...] = ("temp1",), **readings: int) -> Chip:
    return Chip(device, name, disk, dict.fromkeys(labels, ""), dict(readings))


def hwmon(path: str, **files: str) -> RecordedHost:
    attributes = {f"{path}/hwmon/hwmon0/{name}": text for name, text in files.items() if "/" not in name}
    return RecordedHost({"files": attributes, "links": {"/sys/class/hwmon/hwmon0": f"../..{path[4:]}/hwmon/hwmon0"}})


def test_a_reading_is_shown_and_never_compared() -> None:
    hosts = [hwmon(CORES, name="coretemp\n", temp2_label="Core 0\n", temp2_input=f"{n}\n") for n in (40000, 41000)]
    cool, warm = (collect(host, sensors.COLLECTOR) for host in hosts)
    assert cool.rows == warm.rows == {"platform-coretemp.0": {"name": "coretemp", "sensors": ["temp2 Core 0"]}}
    assert warm.volatile == {"platform-coretemp.0 temp2": {"label": "Core 0", "temperature": 41000}}


def test_sensors_are_in_the_order_of_their_numbers_and_average_stands_in_for_a_reading() -> None:
    files = {"temp10_input": "1", "temp2_input": "2", "power1_average": "3", "power1_alarm": "1", "temp2_crit": "9"}
    section = collect(hwmon(CORES, name="x", intrusion0_alarm="1", fan1_input="?", **files), sensors.COLLECTOR)
    assert section.rows["platform-coretemp.0"]["sensors"] == ["fan1", "intrusion0", "power1", "temp2", "temp10"]
    shown = [value for row in section.volatile.values() for field, value in row.items() if field != "label"]
    assert shown == [None, 1, 3, 2, 1]


@pytest.mark.parametrize(
    ("found", "key"),
    [
        (chip("/sys/devices/pci0000:00/0000:00:18.3", "k10temp"), "pci-0000:00:18.3"),
        (chip("/sys/devices/pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0", "nvme"), "pci-0000:01:00.0"),
        (chip("/sys/devices/pci0000:00/0000:00:1f.4/i2c-0/0-0018", "jc42"), "pci-0000:00:1f.4/i2c-0018"),
        (chip("/sys/devices/platform/soc/1e78a000.i2c/i2c-3/i2c-9/9-004c", "tmp421"), "platform-1e78a000.i2c/i2c-004c"),
        (chip("/sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0", "drivetemp", "naa.5"), "naa.5"),
        (chip("/sys/devices/virtual/thermal/thermal_zone0", "acpitz"), "acpitz"),
        (chip("/sys/devices/virtual/thermal/thermal_zone4", "iwlwifi_1"), "iwlwifi"),
    ],
)
def test_a_chip_is_known_by_what_stays_of_its_place_at_the_next_start(found: Chip, key: str) -> None:
    assert list(chips(found)) == [key]


def test_chips_at_one_place_have_the_same_rows_in_whatever_order_they_were_found() -> None:
    board = "/sys/devices/pci0000:00/0000:00:1f.4/i2c-{0}/{0}-0018"
    both = [chip(board.format(0), "jc42"), chip(board.format(1), "jc42", labels=("temp1", "temp2"))]
    assert chips(*both) == chips(*both[::-1])
    assert list(chips(*both)) == ["pci-0000:00:1f.4/i2c-0018", "pci-0000:00:1f.4/i2c-0018 #2"]


def test_batteries_and_network_modules_are_shown_and_never_compared() -> None:
    mouse = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/0003:046D:C52B.0005/power_supply/hidpp_battery_0"
    rows, volatile = sensors.parse(
        [chip(mouse, "hidpp_battery_0", temp1=1), chip("/sys/devices/platform/s", "sfp", temp1=2)]
    )
    assert rows == {}
    assert len(volatile) == 2


def test_a_sleeping_adapter_is_not_woken_up_and_a_slow_firmware_not_asked() -> None:
    host = hwmon(DEVICE, name="amdgpu\n", temp1_input="1\n")
    host = RecordedHost({"files": {**host.files, f"{DEVICE}/power/runtime_status": "suspended\n"}, "links": host.links})
    for one in (host, hwmon(CORES, name="dell_smm\n", temp1_input="1\n")):
        section = collect(one, sensors.COLLECTOR)
        assert [row["sensors"] for row in section.rows.values()] == [["temp1"]]
        assert section.volatile == {}


def test_readings_end_when_the_patience_does_and_the_chips_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "PATIENCE", 0.0)
    section = collect(hwmon(CORES, name="coretemp\n", temp1_input="1\n"), sensors.COLLECTOR)
    assert (section.status, len(section.rows), section.volatile) == (OK, 1, {})


def test_a_sensor_that_does_not_answer_is_shown_without_a_reading() -> None:
    host = hwmon(CORES, name="coretemp\n", temp1_input="1\n")
    host.files = {**host.files, f"{CORES}/hwmon/hwmon0/temp1_input": {"error": "EIO"}}
    assert collect(host, sensors.COLLECTOR).volatile == {
        "platform-coretemp.0 temp1": {"label": "", "temperature": None}
    }


def test_a_chip_that_goes_away_meanwhile_is_not_there_and_a_machine_without_any_is_absent() -> None:
    links = {"/sys/class/hwmon/hwmon0": "../../devices/platform/x/hwmon/hwmon0"}
    assert collect(RecordedHost({"links": links}), sensors.COLLECTOR).rows == {}
    assert collect(RecordedHost({"directories": ["/sys/class/hwmon"]}), sensors.COLLECTOR).status == ABSENT


@given(
    st.dictionaries(st.from_regex(r"\A(temp|in|fan|x)[0-9]{1,9}_(input|label|alarm)\Z"), st.text(), max_size=5),
    st.text(),
)
def test_any_text_in_a_chips_files_gives_rows(files: dict[str, str], name: str) -> None:
    section = collect(hwmon(CORES, name=name, **files), sensors.COLLECTOR)
    assert (section.status, len(section.rows)) == (OK, 1)
