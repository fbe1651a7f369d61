"""SMBIOS tables are read as dmidecode reads them: built ones, the lab's, and the machine's own."""

import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.lab.smbios import Board, Dimm, write
from tests.support import smbios as build

from verdelta_agent.collectors.hardware import smbios
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import OK

# dmidecode's title | start of our keys | dmidecode's name = our field
KINDS = """
BIOS Information | bios | Vendor=vendor, Version=version, Release Date=release_date, BIOS Revision=revision
System Information | system | Manufacturer=manufacturer, Serial Number=serial, UUID=uuid, SKU Number=sku, Family=family
Base Board Information | baseboard | Product Name=product, Serial Number=serial, Location In Chassis=location
Chassis Information | chassis | Type=type, Serial Number=serial, Asset Tag=asset_tag, SKU Number=sku
Processor Information | processor | Version=version, Serial Number=serial, Core Count=cores, Thread Count=threads
Cache Information | cache | Error Correction Type=error_correction, System Type=type, Associativity=associativity
System Slot Information | slot | Current Usage=usage, Bus Address=address
Physical Memory Array | memory array | Use=use, Error Correction Type=error_correction, Number Of Devices=slots
Memory Device | dimm | Bank Locator=bank, Serial Number=serial, Part Number=part_number, Type=type, Rank=ranks
Memory Device | dimm | Form Factor=form_factor, Firmware Version=firmware, Total Width=total_width, Speed=speed
System Power Supply | power supply | Name=name, Serial Number=serial, Model Part Number=part_number, Revision=revision
"""
UNKNOWN = (None, "Unknown", "Not Specified", "Not Provided", "None")


def dmidecode(*options: str) -> str:
    """Return what dmidecode prints, or skip the test where it is missing."""
    path = shutil.which("dmidecode", path="/usr/sbin:/usr/bin")
    if path is None:
        pytest.skip("dmidecode is not installed")
    return subprocess.run([path, *options], check=True, capture_output=True, text=True).stdout


def agree(rows: dict[str, dict[str, Any]], printed: str) -> None:
    """Check that both have the same structures, in the table's order, with the same values."""
    blocks = [text.split("\n") for text in printed.split("\n\n")]
    for line in KINDS.strip().split("\n"):
        title, start, names = line.split(" | ")
        keys = [key for key in rows if key.split(" ")[0] == start.split(" ")[0]]
        seen = [lines for lines in blocks if title in lines]
        assert len(keys) == len(seen), title
        for key, lines in zip(keys, seen, strict=True):
            row, values = rows[key], dict(re.findall(r"^\t(\w[^:]*): (.*)$", "\n".join(lines), re.MULTILINE))
            if row.get("size") == 0:
                assert values["Size"] == "No Module Installed"
                continue
            for name, field in (pair.split("=") for pair in names.split(", ")):
                if values.get(name) not in UNKNOWN:
                    assert str(row[field]) == re.sub(r" (bits|MT/s)$", "", values[name]), (key, field)
            if start == "cache":
                assert values["Installed Size"] in (f"{row['size'] >> 20} MB", f"{row['size'] >> 10} kB")
            elif "size" in row:
                assert values["Size"] in (f"{row['size'] >> 30} GB", f"{row['size'] >> 20} MB")


def test_a_built_table_is_read_as_dmidecode_reads_it(tmp_path: Path) -> None:
    entry, table = build.server()
    (tmp_path / "tables").write_bytes(build.dump(entry, table))
    agree(smbios.parse(entry, table)[0], dmidecode("--from-dump", str(tmp_path / "tables")))


def test_the_table_of_a_lab_host_is_read_as_dmidecode_reads_it(tmp_path: Path) -> None:
    dimms = (Dimm(16384, "D1"), Dimm(65536, "D2", "A2"), Dimm(512, "D3"))
    write(Board("LAB1", uuid.UUID(int=0x1234), dimms, sockets=2, slots=6), tmp_path)
    entry, table = ((tmp_path / "firmware/dmi/tables" / name).read_bytes() for name in ("smbios_entry_point", "DMI"))
    (tmp_path / "tables").write_bytes(build.dump(entry, table))
    rows, broken = smbios.parse(entry, table)
    assert broken is None
    assert [row["size"] >> 20 for key, row in rows.items() if key.startswith("dimm")] == [16384, 65536, 512, 0, 0, 0]
    agree(rows, dmidecode("--from-dump", str(tmp_path / "tables")))


def test_the_machines_own_table_is_read_as_dmidecode_reads_it() -> None:
    section = collect(LocalHost(), smbios.COLLECTOR)
    if section.status != OK:
        pytest.skip(f"the SMBIOS of this machine is {section.status}")
    agree(section.rows, dmidecode())
