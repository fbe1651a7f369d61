"""USB devices, displays, graphics adapters and sensors: known by where they are, and by what they say of themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import display, edid, gpu, sensors, usb
from verdelta_agent.gather import collect
from verdelta_agent.model import OK, canonical
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"


def recorded(system: str, section: str) -> dict[str, Any]:
    host: dict[str, Any] = json.loads((HOSTS / system / f"{section}.json").read_text())["host"]
    return host


MONITOR = bytes.fromhex(
    next(f["hex"] for p, f in recorded("fedora-40", "hardware.display")["files"].items() if p.endswith("DP-1/edid"))
)


def renumbered(host: dict[str, Any], *pairs: tuple[str, str]) -> dict[str, Any]:
    text = json.dumps(host)
    for old, new in pairs:
        text = text.replace(old, new)
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("module", "system", "section", "pairs"),
    [
        (usb, "two-socket-server", "hardware.usb", [("usb1", "usb3"), ("/1-", "/3-")]),
        (display, "fedora-40", "hardware.display", [("card1", "card0")]),
        (sensors, "two-socket-server", "hardware.sensors", [("hwmon2", "hwmon7"), ("hwmon3", "hwmon0")]),
    ],
)
def test_the_order_in_which_the_kernel_finds_them_has_no_influence(
    module: Any, system: str, section: str, pairs
) -> None:
    host = recorded(system, section)
    before = collect(RecordedHost(host), module.COLLECTOR)
    after = collect(RecordedHost(renumbered(host, *pairs)), module.COLLECTOR)
    assert before.rows
    assert after.rows == before.rows


def test_what_is_measured_is_never_compared() -> None:
    host = recorded("two-socket-server", "hardware.sensors")
    warmer = renumbered(host, ("41000", "67000"), ("35850", "51850"))
    before, after = (collect(RecordedHost(each), sensors.COLLECTOR) for each in (host, warmer))
    assert before.rows == after.rows
    assert before.volatile != after.volatile


def test_a_stick_in_another_port_is_another_row_and_another_stick_in_the_same_port_a_changed_one() -> None:
    host = recorded("two-socket-server", "hardware.usb")
    before = collect(RecordedHost(host), usb.COLLECTOR).rows
    exchanged = collect(RecordedHost(renumbered(host, ("4C531001", "99999999"))), usb.COLLECTOR).rows
    assert set(before) == set(exchanged)
    assert [key for key in before if before[key] != exchanged[key]] == ["pci-0000:00:14.0/usb-4.2"]


def test_a_display_says_who_made_it_when_and_which_it_is() -> None:
    assert edid.parse(MONITOR) == {
        "manufacturer": "DEL",
        "product": "a131",
        "serial": "7X1Y2Z3",
        "name": "DELL U2722D",
        "made": "2021-W12",
        "width": 600,
        "height": 340,
        "edid_version": "1.4",
    }


def test_every_truncation_and_every_bit_flip_of_an_edid_is_refused() -> None:
    for length in range(128):
        with pytest.raises(ValueError, match=r"EDID"):
            edid.parse(MONITOR[:length])
    for at in range(128):
        for bit in range(8):
            data = bytearray(MONITOR)
            data[at] ^= 1 << bit
            with pytest.raises(ValueError, match=r"EDID"):
                edid.parse(bytes(data))


@given(st.binary(min_size=120, max_size=120))
def test_whatever_an_edid_with_a_good_checksum_holds_is_text_and_numbers(middle: bytes) -> None:
    data = bytearray(edid.HEADER + middle)
    data[127] = 0
    data[127] = -sum(data) % 256
    assert canonical(edid.parse(bytes(data)))


@given(st.text(max_size=200))
def test_whatever_a_driver_says_of_a_gpu(text: str) -> None:
    files = {
        "/sys/bus/pci/devices/0000:17:00.0/uevent": "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:20B5\n",
        "/proc/driver/nvidia/gpus/0000:17:00.0/information": text,
        "/proc/driver/nvidia/version": text,
    }
    found = collect(RecordedHost({"files": files}), gpu.COLLECTOR)
    assert found.status == OK
    assert canonical(found.rows)
