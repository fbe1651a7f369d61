"""The names of devices are those that lspci, lsusb and udev have, for every id in the lists of this machine."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from verdelta_controller.foundation.settings import Settings
from verdelta_controller.inventory.device_names import PCI, USB, DeviceNames, IdList, names_of

HOSTS = Path(__file__).parents[1] / "hosts"
HWDB = Path("/usr/lib/udev/hwdb.d/20-usb-vendor-model.hwdb")  # made from usb.ids when systemd is released
FIELDS = {
    "Vendor": "vendor",
    "Device": "device",
    "SVendor": "subsystem_vendor",
    "SDevice": "subsystem_device",
    "Class": "class",
}
LINE = 128  # bytes that lspci has for a name and its end
Row = Mapping[str, Any]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = DeviceNames(Settings(state=tmp_path_factory.mktemp("state")).device_names)
    places = {name: place for name in (PCI, USB) if (place := names.place(name))}
    if len(places) < 2:
        pytest.skip("the packages pci.ids and usb.ids are not installed")
    return places


def tool(*command: str) -> str:
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin"}
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8", env=environment).stdout


# -- PCI


def test_every_entry_of_pci_ids_has_the_name_that_lspci_prints(lists: dict[str, Path], tmp_path: Path):
    rows = list(every_entry(lists[PCI].read_text(encoding="utf-8")))
    assert len(rows) > 30_000
    hold_against_lspci(lists[PCI], rows, tmp_path)


def test_recorded_hosts_have_the_names_that_lspci_prints(lists: dict[str, Path], tmp_path: Path):
    recorded = [path for section in ("pci", "gpu") for path in HOSTS.glob(f"*/hardware.{section}*.json")]
    rows = [row for path in recorded for row in json.loads(path.read_text())["expect"]["rows"].values()]
    rows = [row for row in rows if "vendor" in row]  # an adapter that is not on PCI has no ids
    assert len(rows) > 20
    hold_against_lspci(lists[PCI], rows, tmp_path)


def every_entry(text: str) -> Iterator[Row]:
    """Yield a device for each line of pci.ids: every device, every subsystem, every class."""
    vendor = device = kind = ""
    for line in text.split("\n"):
        code = line.strip("\t").partition("  ")[0]
        depth = len(line) - len(line.lstrip("\t"))
        if re.fullmatch(r"C [0-9a-f]{2}", code):
            kind = code[2:]
            yield a_row("ffff", "ffff", "0000", "0000", f"{kind}fe00")
        elif kind and depth == 1:
            yield a_row("ffff", "ffff", "0000", "0000", f"{kind}{code}00")
        elif not kind and depth == 1 and not code.startswith("#"):
            device = code
            yield a_row(vendor, device, vendor, device)
        elif not kind and depth == 2 and not code.startswith("#"):
            yield a_row(vendor, device, *code.split(" "))
        elif not kind and re.fullmatch(r"[0-9a-f]{4}", code):
            vendor = code


def a_row(vendor: str, device: str, maker: str, card: str, kind: str = "020000") -> Row:
    return {
        "vendor": vendor,
        "device": device,
        "subsystem_vendor": maker,
        "subsystem_device": card,
        "class": kind,
    }


def hold_against_lspci(ids: Path, rows: list[Row], folder: Path) -> None:
    dump = folder / "dump"
    dump.write_text("\n".join(configuration_space(number, row) for number, row in enumerate(rows)))
    # Without the names that udev has, which are of another edition.
    printed = tool("lspci", "-F", str(dump), "-i", str(ids), "-O", "hwdb.disable=1", "-D", "-vmm").strip().split("\n\n")
    names = IdList(ids.read_bytes())
    assert len(printed) == len(rows)
    for row, block in zip(rows, printed, strict=True):
        said = dict(line.split(":\t", 1) for line in block.split("\n"))
        theirs = {field: name_in(said[title], row[field][:4]) for title, field in FIELDS.items() if title in said}
        ours = {field: as_lspci_cuts(name) for field, name in names_of(names, "hardware.pci", row).items()}
        if row["device"] == "0000":  # takes it for none, and does not look for its subsystems
            ours.pop("subsystem_device", None), theirs.pop("subsystem_device", None)
        assert ours == {field: name for field, name in theirs.items() if name}, block


def name_in(said: str, code: str) -> str:
    """Return the name that lspci printed for an id, or "" where it printed the id; it does so behind a class's name."""
    if re.fullmatch(f"((Unknown )?vendor|Device|(Unknown )?class) {code}", said, re.IGNORECASE):
        return ""
    return said.removesuffix(f" [{code}]")


def as_lspci_cuts(name: str) -> str:
    return name if len(name.encode()) < LINE else name[: LINE - 4] + "..."


def configuration_space(number: int, row: Row) -> str:
    """Return the head of a device's configuration space as `lspci -x` prints it (PCI 3.0, 6.1)."""
    space = bytearray(64)
    for place, field in ((0x00, "vendor"), (0x02, "device"), (0x2C, "subsystem_vendor"), (0x2E, "subsystem_device")):
        space[place : place + 2] = bytes.fromhex(row[field])[::-1]
    space[0x09:0x0C] = bytes.fromhex(row["class"])[::-1]
    lines = "".join(f"{place:02x}: {space[place : place + 16].hex(' ')}\n" for place in range(0, 64, 16))
    return f"{number >> 13:04x}:{number >> 5 & 255:02x}:{number & 31:02x}.0 device\n{lines}"


# -- USB


def test_usb_devices_have_the_names_that_udev_has(lists: dict[str, Path]):
    if not HWDB.exists():
        pytest.skip(f"there is no {HWDB}")
    ids = IdList(lists[USB].read_bytes())
    entries = re.findall(r"^usb:v(\w{4})(?:p(\w{4}))?\*\n ID_\w+=(.*)", HWDB.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(entries) > 20_000
    others = [
        (vendor, product, name)
        for vendor, product, name in entries
        if ids.name(*filter(None, (vendor.lower(), product.lower()))) != name
    ]
    assert len(others) < len(entries) // 50, others  # those whose names were changed between the two editions


def test_usb_devices_have_the_names_that_lsusb_prints(lists: dict[str, Path]):
    if not any(Path("/sys/bus/usb/devices").glob("*")):
        pytest.skip("there is no USB device on this machine")
    printed = re.findall(r"ID ([0-9a-f]{4}):([0-9a-f]{4}) ?(.*)", tool("lsusb"))
    names = DeviceNames(str(lists[USB].parent))
    for vendor, device, said in printed:
        found = names.of("hardware.usb", {"vendor": vendor, "device": device})
        # Where the list has no name, lsusb prints what the device says of itself.
        if found.keys() == {"vendor", "device"}:
            assert said.strip() == f"{found['vendor']} {found['device']}"
