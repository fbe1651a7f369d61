"""Where people and programs see the names of devices; and that they are part of nothing that is compared or proved."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import device_lists
from tests.support.command_line import URL, CommandLine, InProcess
from tests.support.device_lists import NAMES_OF_NETWORK_CARD, NETWORK_CARD
from tests.support.scene import Scene
from tests.support.views import change, delta, host, item
from tests.support.web import TestClient, a_client, a_controller, a_token, log_in
from tests.unit.controller.test_cli_pictures import as_lines

from verdelta_controller.app import create_app
from verdelta_controller.cli import deltas, doctor, render
from verdelta_controller.foundation.settings import Settings

PCI = "hardware.pci"
ADDRESS = "0000:01:00.0"
OTHER_CARD = {**NETWORK_CARD, "device": "1521", "subsystem_device": "0001"}
RECEIVER = {"vendor": "046d", "device": "c534", "class": "000000"}
NEW_CARD, OLD_CARD = "1521 (I350 Gigabit Network Connection)", "10d3 (82574L Gigabit Network Connection)"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A host whose network card was exchanged for another, and into which a receiver was plugged."""
    folder = tmp_path_factory.mktemp("controller")
    with a_controller(folder, device_names=device_lists.write(folder / "lists")) as services:
        scene = Scene(services)
        web = scene.host("web-01")
        scene.audit(web, {PCI: {ADDRESS: NETWORK_CARD}, "hardware.usb": {}})
        scene.audit(web, {PCI: {ADDRESS: OTHER_CARD}, "hardware.usb": {"usbv2-1": RECEIVER}})
        yield scene


@pytest.fixture(scope="module")
def secret(scene: Scene) -> str:
    return a_token(scene.services)


@pytest.fixture
def verdelta(scene: Scene, secret: str, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, InProcess(TestClient(create_app(scene.services), base_url=URL)), secret)


@pytest.fixture(scope="module")
def client(scene: Scene, secret: str) -> TestClient:
    client = a_client(scene.services)
    log_in(client, secret)
    return client


def shown(client: TestClient, path: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", client.get(path).text).split())


# -- programs


def test_an_inventory_has_the_names_beside_the_rows(verdelta: CommandLine):
    section = verdelta.json("inventory", "web-01", PCI)["sections"][PCI]

    assert section["rows"] == {ADDRESS: OTHER_CARD}
    assert section["names"][ADDRESS]["device"] == "I350 Gigabit Network Connection"
    assert section["names"][ADDRESS].keys() == NAMES_OF_NETWORK_CARD.keys()


def test_a_delta_has_the_names_of_what_was_and_of_what_is(verdelta: CommandLine):
    card, receiver = verdelta.json("diff", "web-01")["changes"]

    assert (card["before"], card["after"]) == (NETWORK_CARD, OTHER_CARD)
    assert card["before_names"] == NAMES_OF_NETWORK_CARD
    assert card["after_names"]["subsystem_device"] == "Ethernet Server Adapter I350-T4"
    assert (receiver["before_names"], receiver["after_names"]["device"]) == ({}, "Nano Receiver")


def test_another_list_gives_other_names_and_the_same_state(scene: Scene, verdelta: CommandLine, monkeypatch):
    known = verdelta.json("inventory", "web-01")
    monkeypatch.setattr(scene.services.device_names, "_folders", [])
    unknown = verdelta.json("inventory", "web-01")

    assert known["sections"][PCI].pop("names") and unknown["sections"][PCI].pop("names") == {}
    assert known["root"] == unknown["root"] and known["sections"][PCI] == unknown["sections"][PCI]


# -- people


def test_the_commands_show_the_name_behind_the_id(verdelta: CommandLine):
    inventory = " ".join(verdelta("inventory", "web-01", "hardware").stdout.split())
    assert f"device {NEW_CARD}" in inventory and "vendor 8086 (Intel Corporation)" in inventory
    assert "device c534 (Nano Receiver)" in inventory

    difference = " ".join(verdelta("diff", "web-01", "-o", "wide").stdout.split())
    assert f"{OLD_CARD} → {NEW_CARD}" in difference
    assert "vendor 046d (Logitech, Inc.), device c534 (Nano Receiver)" in difference


def test_a_verdict_shows_the_names_that_the_delta_has():
    changed = change(PCI, ADDRESS, {"device": "10d3", "driver": None}, {"device": "1521", "driver": None})
    named = {**changed, "before_names": {"device": "82574L"}, "after_names": {"device": "I350"}}
    found = host("h", "at_variance", [item("unexpected", PCI, ADDRESS, "…", changed["before"], changed["after"])])

    assert as_lines(deltas.verdict(found, delta(named), 80))[1] == (
        f"!~  {ADDRESS}  device  10d3 (82574L) → 1521 (I350)  unexpected"
    )


def test_names_alone_are_no_difference():
    same = {"vendor": "8086", "device": "0001", "driver": "a"}
    named = {**change("s.s", "k", same, {**same, "driver": "b"}), "before_names": {"device": "One"}, "after_names": {}}

    assert as_lines(deltas.delta(delta(named), 80))[1] == "~   k  driver  a → b"


def test_a_name_acts_on_no_terminal_and_is_cut_where_it_is_long():
    names = {"vendor": "\x1b[31m" + "x" * 100}

    assert render.named(names, "vendor") == f" (\\x1b[31m{'x' * 51}…)"
    assert render.named(names, "vendor", wide=True) == f" (\\x1b[31m{'x' * 100})"
    assert render.named(names, "device") == ""


def test_what_an_older_controller_says_without_names_is_shown():
    section = {"status": "ok", "error": None, "rows": {"k": {"vendor": "8086"}}, "volatile": {}}
    document = {"host": "h", "root": "7d", "taken_at": "2026-11-22T02:14:07Z", "sections": {PCI: section}}
    assert as_lines(render.inventory(document))[1] == "  k  vendor 8086"


def test_the_pages_show_the_name_beside_the_id(client: TestClient):
    page = shown(client, f"/hosts/web-01/inventory/{PCI}")
    assert "1521 I350 Gigabit Network Connection" in page and "020000 Ethernet controller" in page
    assert "10d3 82574L Gigabit Network Connection → 1521 I350 Gigabit Network Connection" in shown(
        client, "/hosts/web-01"
    )


@pytest.mark.parametrize(("text", "found"), [("ethernet", True), ("i350", True), ("82574L", False)])
def test_rows_are_found_by_their_names(client: TestClient, text: str, found: bool):
    assert ("No row has that in it." not in shown(client, f"/hosts/web-01/inventory/{PCI}?q={text}")) == found


def test_a_page_escapes_a_name(tmp_path: Path, scene: Scene, client: TestClient, monkeypatch):
    (tmp_path / "pci.ids").write_text("8086  <script>alert(1)</script>\n")
    monkeypatch.setattr(scene.services.device_names, "_folders", [tmp_path])

    for path in ("/hosts/web-01", f"/hosts/web-01/inventory/{PCI}"):
        assert "<script>alert" not in client.get(path).text
    assert "&lt;script&gt;alert" in client.get(f"/hosts/web-01/inventory/{PCI}").text


def test_the_doctor_says_where_the_names_are_from_or_how_to_get_them(tmp_path: Path):
    folder = device_lists.write(tmp_path / "lists")
    finding = doctor._device_names(Settings(state=tmp_path, device_names=folder))
    assert (finding.status, finding.said) == (doctor.OK, f"{folder}/pci.ids, {folder}/usb.ids")

    finding = doctor._device_names(Settings(state=tmp_path, device_names="/nowhere"))
    assert finding.status == doctor.WARNING and "no pci.ids and no usb.ids in /nowhere" in finding.said
