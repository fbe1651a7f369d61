"""What the firmware says of the machine: maker, serial numbers, processor sockets, memory slots, power supplies.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, which smbios_table.py and smbios_types.py
read; the files below /sys/class/dmi/id, which carry less, are Documentation/ABI/testing/sysfs-class-dmi of the Linux
kernel.  The table is made at the machine's start and stays as it is until the next one.
"""

from collections import Counter
from typing import Dict, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .smbios_names import CHASSIS, named
from .smbios_table import LIMIT, parse_entry_point, parse_table
from .smbios_types import DECODERS, Entry, caches, system

TABLES = "/sys/firmware/dmi/tables"
IDENTITY = "/sys/class/dmi/id"

# row -> field -> file below /sys/class/dmi/id
_FILES: Dict[str, Dict[str, str]] = {
    "bios": {
        "vendor": "bios_vendor",
        "version": "bios_version",
        "release_date": "bios_date",
        "revision": "bios_release",
        "controller_revision": "ec_firmware_release",
    },
    "system": {
        "manufacturer": "sys_vendor",
        "product": "product_name",
        "version": "product_version",
        "serial": "product_serial",
        "uuid": "product_uuid",
        "sku": "product_sku",
        "family": "product_family",
    },
    "baseboard": {
        "manufacturer": "board_vendor",
        "product": "board_name",
        "version": "board_version",
        "serial": "board_serial",
        "asset_tag": "board_asset_tag",
    },
    "chassis": {
        "manufacturer": "chassis_vendor",
        "type": "chassis_type",
        "version": "chassis_version",
        "serial": "chassis_serial",
        "asset_tag": "chassis_asset_tag",
    },
}


def collect(host: Host) -> Section:
    """Absent where the machine has no SMBIOS.  The serial numbers are root's: without them the section has failed."""
    if host.exists(TABLES + "/DMI"):
        entry_point = host.read_bytes(TABLES + "/smbios_entry_point", 4096)
        rows, broken = parse(entry_point, host.read_bytes(TABLES + "/DMI", LIMIT))
        return Section(OK, rows, {}, broken)
    if not host.exists(IDENTITY):
        return absent()
    present = set(host.listdir(IDENTITY))
    wanted = (name for fields in _FILES.values() for name in fields.values() if name in present)
    return Section(OK, parse_files({name: host.read(IDENTITY + "/" + name, 4096).strip() for name in wanted}), {})


def parse_files(files: Dict[str, str]) -> Rows:
    """Return the rows that the files below /sys/class/dmi/id make up, as `parse` would."""
    rows: Rows = {}
    for key, fields in _FILES.items():
        row: Row = {field: files[name] for field, name in fields.items() if files.get(name)}
        if "type" in row:
            row["type"] = named(CHASSIS, int(row["type"]))
        if row:
            rows[key] = row
    return rows


def parse(entry_point: bytes, table: bytes) -> Tuple[Rows, Optional[str]]:
    """Return bios, system, baseboard, chassis, processors, slots, memory, power supplies; and what of it is missing.

    Any bytes give rows or a ValueError.
    """
    entry = parse_entry_point(entry_point)
    structures, broken = parse_table(entry, table)
    entries = [DECODERS[s.kind](s) for s in structures if s.kind in DECODERS]
    entries += [system(s, entry.version) for s in structures if s.kind == 1]
    entries += caches(structures)
    return _keyed(entries), broken


def _keyed(entries: Sequence[Entry]) -> Rows:
    """Return the rows by key.  Where several want one key, their details tell them apart, then their order."""
    wanted = Counter(entry.key for entry in entries)
    given: Dict[str, int] = Counter()
    rows: Rows = {}
    for entry in entries:
        key = "%s (%s)" % (entry.key, entry.detail) if entry.detail and wanted[entry.key] > 1 else entry.key
        given[key] += 1
        rows[key if given[key] == 1 else "%s #%d" % (key, given[key])] = entry.row
    return rows


COLLECTOR = Collector(
    "hardware.smbios",
    key="bios, system, baseboard, chassis, memory array, oem strings; "
    "processor, cache, dimm, slot, power supply and where it sits",
    collect=collect,
    deadline=5,
    fields={
        "vendor": "maker of the firmware",
        "manufacturer": "maker",
        "product": "model",
        "name": "model of a power supply",
        "version": "version; of a processor, its model name",
        "release_date": "of the firmware, as it writes dates",
        "revision": "major.minor of the firmware; revision of a power supply",
        "controller_revision": "major.minor of the embedded controller's firmware",
        "serial": "serial number",
        "uuid": "of the machine",
        "sku": "order number",
        "family": "product family",
        "asset_tag": "inventory number that somebody has set",
        "part_number": "part number",
        "location": "of a baseboard in the chassis",
        "type": "kind of chassis, of memory, or of a cache",
        "height": "of the chassis, in rack units",
        "populated": "whether there is something in the socket, or the bay",
        "status": "of a processor: Enabled, Disabled By BIOS …",
        "identity": "signature and features of a processor, as CPUID has them",
        "max_speed": "of a processor, in MHz",
        "cores": "of a processor",
        "cores_enabled": "cores that the firmware has switched on",
        "threads": "of a processor",
        "processor": "socket of the processor that has a cache",
        "level": "of a cache",
        "enabled": "whether the firmware has switched a cache on",
        "max_size": "most bytes that a cache can have",
        "associativity": "of a cache: 8-way Set-associative …",
        "strings": "whatever the maker has to say; of credentials for the system, the names alone",
        "usage": "whether a slot is In Use or Available",
        "address": "PCI address of a slot",
        "use": "what a memory array is for",
        "error_correction": "of a memory array, or of a cache",
        "capacity": "most bytes that a memory array takes",
        "slots": "of a memory array",
        "size": "bytes of a cache, or of a memory module; 0 of an empty slot, null where the firmware does not know",
        "bank": "bank locator of a memory slot",
        "form_factor": "of a memory module: DIMM, SODIMM …",
        "ranks": "of a memory module",
        "total_width": "bits, error correction included",
        "data_width": "bits",
        "speed": "of a memory module, in MT/s",
        "configured_speed": "that the firmware runs it at, in MT/s",
        "firmware": "firmware version of a memory module",
        "max_power": "watts of a power supply",
    },
)
