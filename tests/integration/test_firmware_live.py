"""Firmware, memory controllers and the management controller are read as independent tools read them.

libefivar takes its variables from EFIVARFS_PATH, so that efibootmgr and mokutil are asked about recorded machines too.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from verdelta_agent.collectors.hardware import edac, firmware, ipmi
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import ABSENT, OK
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[1] / "hosts"
RECORDED = ("debian-12-uefi", "two-socket-server")
LISTS = {"PK": "--pk", "KEK": "--kek", "db": "--db", "dbx": "--dbx"}


def tool(*command: str, variables: Path | None = None) -> str:
    """Return what a tool prints, or skip the test where it is missing."""
    path = shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin"}
    if variables:
        environment["EFIVARFS_PATH"] = f"{variables}/"
    done = subprocess.run([path, *command[1:]], check=False, capture_output=True, env=environment)
    return done.stdout.decode("utf-8", "replace")


def recorded(system: str, directory: Path) -> dict[str, dict[str, Any]]:
    """Write down the variables of a recorded machine, and return the rows that are expected of it."""
    document = json.loads((HOSTS / system / "hardware.firmware.json").read_text())
    host = RecordedHost(document["host"])
    rows: dict[str, dict[str, Any]] = document["expect"]["rows"]
    broken = {key[11:] for key, row in rows.items() if key.startswith("boot entry") and row["description"] is None}
    for name in host.listdir(firmware.VARIABLES):
        if name[4:8] in broken:  # efibootmgr ends at the first entry that it does not understand
            continue
        try:
            (directory / name).write_bytes(host.read_bytes(f"{firmware.VARIABLES}/{name}"))
        except OSError:
            continue  # kept by name alone
    return {key: row for key, row in rows.items() if key[11:] not in broken}


def boot_entries_agree(rows: dict[str, dict[str, Any]], printed: str) -> None:
    seen = dict(re.findall(r"^Boot([0-9A-F]{4}.)(.*)$", printed, re.MULTILINE))
    ours = {key[11:]: row for key, row in rows.items() if key.startswith("boot entry")}
    assert ours.keys() == {name[:4] for name in seen}
    for name, line in seen.items():
        row = ours[name[:4]]
        description, _, path = line.strip().partition("\t")
        assert (row["description"], row["active"]) == (description.strip(), name[4] == "*")
        partition = re.search(r"HD\(\d+,GPT,([0-9a-f-]{36})", path)
        loader = re.search(r"File\((.*?)\)", path.replace("FvFile(", ""))
        assert row["partition"] == (partition.group(1) if partition else None)
        assert row["loader"] == (loader.group(1) if loader else None)
    order = re.search(r"^BootOrder: (.*)$", printed, re.MULTILINE)
    assert rows["boot"].get("order") == (order.group(1).split(",") if order else None)


def keys_agree(rows: dict[str, dict[str, Any]], variables: Path | None) -> None:
    state = tool("mokutil", "--sb-state", variables=variables)
    assert rows["secure boot"]["enabled"] == ("SecureBoot enabled" in state)
    for name, option in LISTS.items():
        printed = tool("mokutil", option, variables=variables)
        row = rows.get(f"keys {name}", {"certificates": 0, "hashes": 0})
        assert len(re.findall(r"^SHA1 Fingerprint", printed, re.MULTILINE)) == row["certificates"], name
        assert len(re.findall(r"^\s*[0-9a-f]{64}$", printed, re.MULTILINE)) == row["hashes"], name


@pytest.mark.parametrize("system", RECORDED)
def test_recorded_boot_entries_are_read_as_efibootmgr_reads_them(system: str, tmp_path: Path) -> None:
    boot_entries_agree(recorded(system, tmp_path), tool("efibootmgr", "-v", variables=tmp_path))


def test_recorded_keys_are_read_as_mokutil_reads_them(tmp_path: Path) -> None:
    keys_agree(recorded("debian-12-uefi", tmp_path), tmp_path)  # the other machine's certificates are filler


def test_the_machines_own_boot_entries_and_keys_are_those_of_efibootmgr_and_mokutil() -> None:
    if not Path(firmware.EFI).exists():
        pytest.skip("this machine did not start by UEFI")
    rows = collect(LocalHost(), firmware.COLLECTOR).rows
    boot_entries_agree(rows, tool("efibootmgr", "-v"))
    if "secure boot" in rows:
        keys_agree(rows, None)


def test_memory_modules_are_those_of_edac_util() -> None:
    section = collect(LocalHost(), edac.COLLECTOR)
    if section.status == ABSENT:
        pytest.skip("this machine has no driver for its memory controller")
    printed = tool("edac-util", "-v")
    assert set(re.findall(r"^(mc\d+)", printed, re.MULTILINE)) == {key for key in section.rows if " " not in key}


def test_inventories_of_the_management_controller_are_those_of_ipmitool() -> None:
    if not any(map(os.path.exists, ipmi.DEVICES)):
        pytest.skip("this machine has no management controller that the kernel knows")
    section = collect(LocalHost(), ipmi.COLLECTOR)
    assert section.status == OK, section.error
    printed = tool("ipmitool", "mc", "info")
    for field, title in (("firmware", "Firmware Revision"), ("manufacturer", "Manufacturer ID")):
        assert re.search(rf"^{title} +: {section.rows['controller'][field]}$", printed, re.MULTILINE)
    for block in tool("ipmitool", "fru", "print").split("\n\n"):
        number = re.search(r"\(ID (\d+)\)", block)
        serial = re.search(r"^ Product Serial +: (.*)$", block, re.MULTILINE)
        if number and serial:
            assert section.rows[f"fru {number.group(1)}"]["product_serial"] == serial.group(1).strip()
