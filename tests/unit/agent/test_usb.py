"""USB devices: keys that outlive a start, and what a device, its port and the programs that use it cannot change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import usb
from verdelta_agent.collectors.hardware.sysfs import seat
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK
from verdelta_agent.recorded_host import RecordedHost

CONTROLLER = "pci0000:00/0000:00:14.0"
HUB = "PRODUCT=1d6b/2/601\nTYPE=9/0/1\nBUSNUM=00{0}\nDEVNUM=001\n"
KEYBOARD = "PRODUCT=46d/c31c/4920\nTYPE=0/0/0\nBUSNUM=00{0}\nDEVNUM=00{1}\n"


def machine(bus: int = 1, number: int = 2, driver: str = "usbhid", **attributes: str) -> RecordedHost:
    """Return a machine with one controller and a keyboard at its third port."""
    root, port = f"/sys/devices/{CONTROLLER}/usb{bus}", f"/sys/devices/{CONTROLLER}/usb{bus}/{bus}-3"
    interface = f"DRIVER={driver}\n" * bool(driver) + "INTERFACE=3/1/1\n"
    files = {
        f"{root}/uevent": HUB.format(bus),
        f"{root}/speed": "480\n",
        f"{root}/maxchild": "6\n",
        f"{root}/manufacturer": "Linux 6.1.0-18-amd64 xhci-hcd\n",
        f"{root}/serial": "0000:00:14.0\n",
        f"{root}/{bus}-0:1.0/uevent": "DRIVER=hub\nINTERFACE=9/0/0\n",
        f"{port}/uevent": KEYBOARD.format(bus, number),
        f"{port}/{bus}-3:1.0/uevent": interface,
        **{f"{port}/{name}": text for name, text in attributes.items()},
    }
    names = {f"usb{bus}": "", f"{bus}-0:1.0": f"/{bus}-0:1.0", f"{bus}-3": f"/{bus}-3"}
    names[f"{bus}-3:1.0"] = f"/{bus}-3/{bus}-3:1.0"
    links = {f"/sys/bus/usb/devices/{name}": f"../../..{root[4:]}{below}" for name, below in names.items()}
    return RecordedHost({"files": files, "links": links})


def test_a_device_keeps_its_row_when_buses_are_numbered_anew_and_its_speed_is_agreed_on_again() -> None:
    before = collect(machine(1, 2, speed="480\n", serial="S1\n"), usb.COLLECTOR)
    after = collect(machine(3, 7, speed="12\n", serial="S1\n"), usb.COLLECTOR)
    assert before.rows == after.rows
    assert list(before.rows) == ["pci-0000:00:14.0/usbv2-3", "pci-0000:00:14.0/usbv2"]
    assert before.volatile != after.volatile


def test_another_device_of_the_same_model_at_a_port_is_a_changed_row() -> None:
    old, new = (collect(machine(serial=serial), usb.COLLECTOR).rows for serial in ("S1", "S2"))
    assert old.keys() == new.keys()
    assert [key for key in old if old[key] != new[key]] == ["pci-0000:00:14.0/usbv2-3"]


def test_a_root_hub_says_nothing_of_the_kernels_version() -> None:
    assert collect(machine(), usb.COLLECTOR).rows["pci-0000:00:14.0/usbv2"] == {
        "vendor": "1d6b",
        "device": "0002",
        "class": "090001",
        "interfaces": ["090000"],
        "drivers": ["hub"],
        "authorized": True,
        "ports": 6,
    }


def test_a_program_that_uses_an_interface_itself_is_no_driver() -> None:
    alone, used = (collect(machine(driver=driver), usb.COLLECTOR).rows for driver in ("", "usbfs"))
    assert alone == used
    assert alone["pci-0000:00:14.0/usbv2-3"]["drivers"] == []


def test_the_two_trees_of_a_controller_are_told_apart() -> None:
    roots = [root(number, speed) for number, speed in ((1, "480"), (2, "10000"), (3, "480"), (4, "12"))]
    assert usb._trees([one.device for one in roots[:2]]) == {
        "1": "pci-0000:00:14.0/usbv2",
        "2": "pci-0000:00:14.0/usbv3",
    }
    assert usb._trees([one.device for one in roots])["3"] == "pci-0000:00:14.0/usbv2 as usb3"
    assert usb._trees([roots[3].device]) == {"4": "pci-0000:00:14.0/usbv1"}


def root(number: int, speed: str) -> usb.Plugged:
    return usb.Plugged(usb.Device(f"usb{number}", f"/sys/devices/{CONTROLLER}", {"speed": speed}), [])


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/sys/devices/pci0000:00/0000:00:14.0", "pci-0000:00:14.0"),
        ("/sys/devices/platform/soc/fe980000.usb", "platform-fe980000.usb"),
        ("/sys/devices/platform/soc@0/38200000.usb/xhci-hcd.3.auto", "platform-38200000.usb"),
        ("/sys/devices/platform/vhci_hcd.0", "platform-vhci_hcd.0"),
        ("/sys/devices/virtual/thermal/thermal_zone0", ""),
    ],
)
def test_two_controllers_on_one_chip_have_seats_of_their_own(path: str, where: str) -> None:
    assert seat(path) == where


def test_a_device_that_is_pulled_out_meanwhile_is_not_there_and_one_that_hides_is_a_failure() -> None:
    host = machine()
    path = f"/sys/devices/{CONTROLLER}/usb1/1-3/uevent"
    host.files = {**host.files, path: {"error": "ENODEV"}}
    gone = collect(host, usb.COLLECTOR)
    assert (gone.status, list(gone.rows), gone.error) == (OK, ["pci-0000:00:14.0/usbv2"], None)
    host.files[path] = {"error": "EACCES"}
    assert collect(host, usb.COLLECTOR).status == FAILED


def test_what_is_not_understood_of_one_device_is_named_and_the_others_stand() -> None:
    host = machine()
    host.files = {**host.files, f"/sys/devices/{CONTROLLER}/usb1/1-3/uevent": "PRODUCT=1/2\nTYPE=0/0/0\n"}
    section = collect(host, usb.COLLECTOR)
    assert list(section.rows) == ["pci-0000:00:14.0/usbv2"]
    assert section.error == "devices not understood: pci-0000:00:14.0/usbv2-3"


def test_without_usb_there_is_nothing_and_without_sysfs_nothing_is_known() -> None:
    assert collect(RecordedHost({"directories": ["/sys/bus"]}), usb.COLLECTOR).status == ABSENT
    assert collect(RecordedHost({"directories": ["/sys/bus/usb/devices"]}), usb.COLLECTOR).status == ABSENT
    assert collect(RecordedHost({}), usb.COLLECTOR).status == FAILED


@given(
    st.dictionaries(
        st.sampled_from(["uevent", "speed", "maxchild", "removable", "authorized", "manufacturer", "serial"]), st.text()
    ),
    st.text(),
    st.text(),
)
def test_any_text_in_a_devices_files_gives_rows_or_a_failed_section(
    attributes: dict[str, str], rooted: str, driver: str
) -> None:
    host = machine(driver=driver, **attributes)
    assert collect(host, usb.COLLECTOR).status in (OK, FAILED)
    host.files = {**host.files, f"/sys/devices/{CONTROLLER}/usb1/uevent": rooted}
    assert collect(host, usb.COLLECTOR).status in (OK, FAILED)
