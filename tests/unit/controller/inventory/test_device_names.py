"""Names of devices: those of the list and no others, whatever the list or the host looks like."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.device_lists import NAMES_OF_NETWORK_CARD, NETWORK_CARD, PCI, USB, write

from verdelta_controller.inventory import device_names
from verdelta_controller.inventory.device_names import DeviceNames, IdList

HOSTS = Path(__file__).parents[3] / "hosts"
RECORDED = sorted(path for section in device_names.LISTS for path in HOSTS.glob(f"*/{section}*.json"))


def pci() -> IdList:
    return IdList(PCI.encode())


@pytest.fixture
def names(tmp_path: Path) -> DeviceNames:
    return DeviceNames(write(tmp_path / "lists"))


# -- lists


@pytest.mark.parametrize(
    ("codes", "name"),
    [
        (["8086"], "Intel Corporation"),
        (["8086", "10d3"], "82574L Gigabit Network Connection"),
        (["8086", "10d3", "103c 1785"], "NC112i 1-port Ethernet Server Adapter"),
        (["1af4", "1042"], "Virtio 1.0 block device"),
        (["C 02"], "Network controller"),
        (["C 02", "00"], "Ethernet controller"),
        (["C 0c", "03", "30"], "XHCI"),
        (["c0de"], "Motorola"),
    ],
)
def test_an_entry_is_found_by_the_codes_on_the_way_to_it(codes: list[str], name: str):
    assert pci().name(*codes) == name


@pytest.mark.parametrize(
    "codes",
    [
        ["ffff"],
        ["8086", "1041"],  # of another vendor
        ["1af4", "10d3"],
        ["8086", "10d3", "8086 0001"],  # of another device
        ["c0de", "00"],  # below the classes that follow
        ["C ff", "00"],
        ["8086", "103c 1785"],  # of a device, not of the vendor
        ["# Syntax:"],
        [""],
        ["8086", ""],
    ],
)
def test_what_is_not_in_the_list_has_no_name_and_not_that_of_a_neighbour(codes: list[str]):
    assert pci().name(*codes) == ""


def test_the_other_tables_of_usb_ids_are_no_vendors():
    usb = IdList(USB.encode())

    assert usb.name("046d", "c534") == "Nano Receiver"
    assert usb.name("C 09") == "Hub"
    assert usb.name("0009") == "" and usb.name("1d6b", "01") == ""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("10de  Café\n".encode(), "Café"),
        ("10de  Café\n".encode("latin-1"), "Café"),
        (b"10de  Windows\r\n", "Windows"),
        (b"10de    spaces  \n", "spaces"),
        (b"10de  \n", ""),
        (b"10de one space\n", ""),
        (b"10de  " + b"x" * 5_000 + b"\n", "x" * device_names.LENGTH),
    ],
)
def test_a_name_is_read_in_whatever_way_it_was_written(line: bytes, name: str):
    assert IdList(b"# list\n" + line).name("10de") == name


def test_an_entry_that_is_there_twice_has_its_first_name():
    assert IdList(b"10de  One\n\t0001  A\n10de  Two\n\t0002  B\n").name("10de") == "One"


@given(st.integers(0, len(PCI)))
def test_a_list_that_was_cut_off_has_whole_names_or_none(length: int):
    cut = IdList(PCI.encode()[:length])

    for codes in (["8086"], ["8086", "10d3"], ["8086", "10d3", "8086 a01f"], ["C 02", "00"]):
        assert cut.name(*codes) in ("", pci().name(*codes))


@given(st.binary(max_size=300), st.sampled_from([["8086"], ["8086", "10d3"], ["8086", "10d3", "8086 a01f"]]))
def test_any_bytes_are_a_list_perhaps_without_names(data: bytes, codes: list[str]):
    assert isinstance(IdList(data).name(*codes), str)


CODES = st.sampled_from(["0000", "0001", "8086"])
LINES = st.one_of(
    st.builds("{}  {}".format, CODES, st.sampled_from("AB")),
    st.builds("\t{}  {}".format, CODES, st.sampled_from("CD")),
    st.builds("\t\t{} {}  {}".format, CODES, CODES, st.sampled_from("EF")),
    st.sampled_from(["# 0001  X", "#\t0001  X", "\t# 0001  X", "", "C 00  X", " 0001  X", "\tgarbage", "garbage"]),
)


@given(st.lists(LINES, max_size=15), st.tuples(CODES, CODES, CODES, CODES))
def test_it_is_what_reading_line_by_line_finds(lines: list[str], codes: tuple[str, str, str, str]):
    vendor, device, *subsystem = codes
    ids = IdList("".join(f"{line}\n" for line in lines).encode())

    for path in ((vendor,), (vendor, device), (vendor, device, " ".join(subsystem))):
        assert ids.name(*path) == line_by_line(lines, path)


def line_by_line(lines: list[str], wanted: tuple[str, ...]) -> str:
    """Return the name of an entry of the first block of its vendor, and of the first of its device in that."""
    rest = [line for line in lines if line and not line.lstrip("\t").startswith("#")]
    for depth, code in enumerate(wanted):
        start = next((n for n, line in enumerate(rest) if line.startswith("\t" * depth + code + "  ")), None)
        if start is None:
            return ""
        name, below = rest[start].strip().split("  ", 1)[1], rest[start + 1 :]
        end = next((n for n, line in enumerate(below) if not line.startswith("\t" * (depth + 1))), len(below))
        rest = below[:end]
    return name


# -- rows


def test_the_ids_of_a_row_get_the_names_that_lspci_gives_them(names: DeviceNames):
    assert names.of("hardware.pci", NETWORK_CARD) == NAMES_OF_NETWORK_CARD
    assert names.of("hardware.gpu", NETWORK_CARD) == NAMES_OF_NETWORK_CARD


def test_a_card_that_is_sold_as_the_chip_itself_has_the_chips_name(names: DeviceNames):
    row = {"vendor": "1af4", "device": "1041", "subsystem_vendor": "1af4", "subsystem_device": "1041"}
    assert names.of("hardware.pci", row)["subsystem_device"] == "Virtio 1.0 network device"


def test_a_device_without_a_subsystem_has_no_name_for_it(tmp_path: Path):
    (tmp_path / "pci.ids").write_text("0000  Nobody\n")
    row = {**NETWORK_CARD, "subsystem_vendor": "0000", "subsystem_device": "0000"}
    assert DeviceNames(str(tmp_path)).of("hardware.pci", row) == {}


def test_a_subclass_that_is_not_known_has_the_name_of_its_class(names: DeviceNames):
    assert names.of("hardware.pci", {"class": "02fe00"}) == {"class": "Network controller"}


def test_usb_devices_have_names(names: DeviceNames):
    row = {"vendor": "1d6b", "device": "0002", "class": "090001", "interfaces": ["090000"]}
    assert names.of("hardware.usb", row) == {"vendor": "Linux Foundation", "device": "2.0 root hub", "class": "Hub"}


@pytest.mark.parametrize(
    "said",
    [None, 8086, ["8086"], {}, "", "808", "80866", "8086\n", "\uff18086", "10d3  x\n\t1521", "\ud800", "8086  Intel"],
)
@pytest.mark.parametrize("section", device_names.LISTS)
def test_an_id_that_is_none_has_no_name_whatever_a_host_says(names: DeviceNames, section: str, said: Any):
    row: dict[str, Any] = dict.fromkeys(NAMES_OF_NETWORK_CARD, said)
    assert names.of(section, row) == {}
    assert names.of(section, {}) == {}


def test_other_sections_have_no_ids_and_rows_that_are_not_there_no_names(names: DeviceNames):
    assert names.of("hardware.block", {"vendor": "8086"}) == {}
    assert names.of("hardware.pci", None) == {}
    assert names.of_rows("software.dpkg", {"a": {"vendor": "8086"}}) == {}
    assert names.of_rows("hardware.pci", {"a": {"vendor": "8086"}, "b": {"vendor": "ffff"}}) == {
        "a": {"vendor": "Intel Corporation"}
    }


# -- the files


def test_the_first_folder_with_a_usable_list_counts(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "usb.ids").write_text("046d  Nearer\n")
    names = DeviceNames(f"{tmp_path}/a::{write(tmp_path / 'b')}")

    assert names.of("hardware.usb", {"vendor": "046d"}) == {"vendor": "Nearer"}
    assert names.of("hardware.pci", {"vendor": "8086"}) == {"vendor": "Intel Corporation"}
    assert names.place("usb.ids") == tmp_path / "a" / "usb.ids"


def test_a_newer_list_is_read_without_a_restart_and_one_that_goes_is_forgotten(tmp_path: Path):
    folder = tmp_path / "lists"
    names = DeviceNames(write(folder))
    assert names.of("hardware.pci", {"vendor": "8086"}) == {"vendor": "Intel Corporation"}

    (tmp_path / "new").write_text(PCI.replace("Intel Corporation", "Intel Corp."))
    (tmp_path / "new").rename(folder / "pci.ids")
    assert names.of("hardware.pci", {"vendor": "8086"}) == {"vendor": "Intel Corp."}

    (folder / "pci.ids").unlink()
    assert names.of("hardware.pci", {"vendor": "8086"}) == {}


def test_a_list_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = DeviceNames(write(tmp_path / "lists"))
    read: list[Path] = []
    load = device_names._load
    monkeypatch.setattr(device_names, "_load", lambda path: (read.append(path), load(path))[1])

    for _ in range(3):
        names.of("hardware.pci", NETWORK_CARD)

    assert read == [tmp_path / "lists" / "pci.ids"]


def test_what_is_no_list_gives_no_names_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_names, "SIZE", 1 << 20)
    monkeypatch.setattr(device_names, "ENTRIES", 1_000)
    path = tmp_path / "pci.ids"
    names = DeviceNames(f"{tmp_path}:/nowhere:\0")

    def nothing() -> bool:
        return names.of("hardware.pci", NETWORK_CARD) == {} and names.place("pci.ids") is None

    assert nothing()
    path.mkdir()
    assert nothing()
    path.rmdir()
    os.mkfifo(path)
    assert nothing()
    path.unlink()
    path.symlink_to(path)
    assert nothing()
    path.unlink()
    path.write_bytes(PCI.encode() + b"#" * (1 << 20))
    assert nothing()
    path.write_bytes(b"x\n" + b"".join(b"%04x  x\n" % number for number in range(2_000)))
    assert nothing()


def test_a_binary_gives_no_names(tmp_path: Path):
    (tmp_path / "pci.ids").write_bytes(bytes(range(256)) * 4_000)
    assert DeviceNames(str(tmp_path)).of("hardware.pci", NETWORK_CARD) == {}


# -- recorded hosts


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_rows_of_recorded_hosts_are_understood(path: Path):
    """Each id in a row has a name in a list that knows them all."""
    rows = json.loads(path.read_text())["expect"]["rows"]
    section = path.stem.partition("@")[0]
    ids = IdList(_a_list_for(rows))

    for row in rows.values():
        found = device_names.names_of(ids, section, row)
        has = {field for field in NAMES_OF_NETWORK_CARD if field in row}
        if row.get("subsystem_vendor") == "0000":
            has -= {"subsystem_vendor", "subsystem_device"}
        assert found.keys() == has
        for field in has & {"vendor", "device"}:
            assert found[field].split() == [row[name] for name in ("vendor", "device")][: 1 + (field == "device")]


def _a_list_for(rows: dict[str, dict[str, Any]]) -> bytes:
    """Return a list in which the name of a vendor is its id, and that of a device its vendor's and its own."""
    lines = {}
    for row in rows.values():
        if "vendor" in row:
            vendor, device = row["vendor"], row["device"]
            maker, card = row.get("subsystem_vendor", "0000"), row.get("subsystem_device", "0000")
            below = lines.setdefault(vendor, {})
            below.setdefault(f"\t{device}  {vendor} {device}\n", set()).add(f"\t\t{maker} {card}  card\n")
            lines.setdefault(maker, {})
            lines.setdefault(f"C {row['class'][:2]}", {})
    return "".join(
        f"{code}  {code}\n" + "".join(device + "".join(cards) for device, cards in below.items())
        for code, below in lines.items()
    ).encode()
