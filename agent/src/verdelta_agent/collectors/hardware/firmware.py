"""Firmware: how the machine starts, secure boot and its keys, boot entries, updatable parts, TPMs, the device tree.

Source of the format: Documentation/filesystems/efivarfs.rst, Documentation/ABI/testing/sysfs-firmware-efi,
sysfs-firmware-efi-esrt, sysfs-firmware-ofw and sysfs-class-tpm of the Linux kernel; Devicetree specification 0.4,
section 2.3.

What differs from one start to the next is not compared: the entry that was taken, the values of PCRs, the TPM's null
name.  Each variable that is read is a call of the firmware, so that no other ones are.
"""

import re
from typing import Dict, NamedTuple, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing, together
from . import efi
from .sysfs import link_target, number, read_attributes

EFI = "/sys/firmware/efi"
VARIABLES = EFI + "/efivars"
PARTS = EFI + "/esrt/entries"
SMBIOS = "/sys/firmware/dmi"
DEVICE_TREE = "/sys/firmware/devicetree/base"
TPM = "/sys/class/tpm"
LIMIT = 1 << 20  # bytes of a variable; dbx has some 24 KiB

_FLAGS = {
    "enabled": "SecureBoot-" + efi.GLOBAL,
    "setup_mode": "SetupMode-" + efi.GLOBAL,
    "audit_mode": "AuditMode-" + efi.GLOBAL,
    "deployed_mode": "DeployedMode-" + efi.GLOBAL,
    "shim_validation_off": "MokSBStateRT-" + efi.SHIM,
}
_KEYS = {
    "PK": efi.GLOBAL,
    "KEK": efi.GLOBAL,
    "db": efi.SECURITY,
    "dbx": efi.SECURITY,
    "MokListRT": efi.SHIM,
    "MokListXRT": efi.SHIM,
}
_ORDER, _CURRENT, _NEXT = ("%s-%s" % (name, efi.GLOBAL) for name in ("BootOrder", "BootCurrent", "BootNext"))
_PART_TYPES = {"1": "system", "2": "device", "3": "UEFI driver"}
_BANK = re.compile(r"pcr-([a-z0-9_]+)$")


class Variables(NamedTuple):
    """The variables that were read, without the attributes before them; and why others are missing."""

    content: Dict[str, bytes]
    error: Optional[str]


def collect(host: Host) -> Section:
    """Absent where the machine has neither UEFI nor SMBIOS, device tree or TPM: nothing is known of its firmware."""
    uefi = host.exists(EFI)
    tree, tpms = _device_tree(host), _tpms(host)
    mode = "uefi" if uefi else "bios" if host.exists(SMBIOS) else "device tree" if tree else None
    if mode is None and not tpms:
        return absent()
    variables = _read_variables(host) if uefi else Variables({}, None)
    rows, volatile = parse_variables(variables.content)
    parts, refused = _read_parts(host) if uefi else ({}, None)
    bits = host.read_or_none(EFI + "/fw_platform_size") if uefi else None
    rows["boot"] = dict(rows.get("boot", {}), mode=mode, bits=number(bits))
    rows.update(parts)
    rows.update({"device tree": tree} if tree else {})
    rows.update(tpms)
    return Section(OK, rows, volatile, together(variables.error, refused))


def _read_variables(host: Host) -> Variables:
    names = host.listdir(VARIABLES) if host.exists(VARIABLES) else []
    if not names:
        return Variables({}, "the variables are not readable: efivarfs is not mounted")
    keys = ["%s-%s" % key for key in _KEYS.items()]
    wanted = set(_FLAGS.values()) | set(keys) | {_ORDER, _CURRENT, _NEXT}
    content: Dict[str, bytes] = {}
    refused = []
    for name in (name for name in names if name in wanted or efi.BOOT_ENTRY.match(name)):
        try:
            content[name] = host.read_bytes("%s/%s" % (VARIABLES, name), LIMIT)[efi.ATTRIBUTES :]
        except FileNotFoundError:
            continue
        except OSError as error:
            refused.append("%s (%s)" % (name.partition("-")[0], error.strerror))
    return Variables(content, missing("not readable", refused))


def parse_variables(content: Dict[str, bytes]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows, whatever the firmware has left in its variables."""
    rows: Rows = {}
    volatile: Rows = {}
    flags = {field: efi.parse_flag(content.get(name)) for field, name in _FLAGS.items()}
    if flags["enabled"] is not None:
        rows["secure boot"] = {field: flag for field, flag in flags.items() if flag is not None}
    for name, vendor in _KEYS.items():
        data = content.get("%s-%s" % (name, vendor))
        if data is not None:
            rows["keys " + name] = efi.key_database(data)
    if _ORDER in content:
        rows["boot"] = {"order": efi.parse_order(content[_ORDER])}
    taken = {"current": content.get(_CURRENT), "next": content.get(_NEXT)}
    if any(taken.values()):
        volatile["boot"] = {field: "".join(efi.parse_order(data)[:1]) for field, data in taken.items() if data}
    for name in sorted(content):
        match = efi.BOOT_ENTRY.match(name)
        if match:
            rows["boot entry " + match.group(1)] = efi.boot_entry(content[name])
    return rows, volatile


def _read_parts(host: Host) -> Tuple[Rows, Optional[str]]:
    """Return a row for each part whose firmware the system can update; root alone may read their files."""
    rows: Rows = {}
    refused = []
    for name in host.listdir(PARTS) if host.exists(PARTS) else []:
        directory = "%s/%s" % (PARTS, name)
        try:
            kind = host.read(directory + "/fw_class", 4096).strip()
        except OSError as error:
            refused.append("%s (%s)" % (name, error.strerror))
            continue
        found = read_attributes(host, directory, ("fw_type", "fw_version", "lowest_supported_fw_version"))
        rows["part " + kind] = {
            "type": _PART_TYPES.get(found.get("fw_type", ""), found.get("fw_type")),
            "version": number(found.get("fw_version")),
            "lowest_version": number(found.get("lowest_supported_fw_version")),
        }
    return rows, missing("parts not readable", refused)


def _device_tree(host: Host) -> Optional[Row]:
    """Return the row of a machine that a device tree describes; some kernels show an empty one, which is none."""
    if not host.exists(DEVICE_TREE):
        return None
    found = {name: host.read_or_none("%s/%s" % (DEVICE_TREE, name)) or "" for name in ("model", "compatible")}
    row: Row = {"model": found["model"].strip("\0 ")} if found["model"] else {}
    if found["compatible"]:
        row["compatible"] = [name for name in found["compatible"].split("\0") if name]
    for field, name in (("serial", "serial-number"), ("system_id", "system-id")):
        value = (host.read_or_none("%s/%s" % (DEVICE_TREE, name)) or "").strip("\0 ") if row else ""
        row.update({field: value} if value else {})
    return row or None


def _tpms(host: Host) -> Rows:
    names = [name for name in host.listdir(TPM) if name.startswith("tpm")] if host.exists(TPM) else []
    return {name: _tpm(host, "%s/%s" % (TPM, name)) for name in names}


def _tpm(host: Host, directory: str) -> Row:
    """Return the row of one TPM.  One of version 1.2 is asked for its maker; one of 2.0 tells no file its own."""
    files = host.listdir(directory)
    major = host.read_or_none(directory + "/tpm_version_major") if "tpm_version_major" in files else None
    old = major == "1" or (major is None and "caps" in files)
    banks = [bank.group(1) for bank in map(_BANK.match, files) if bank]
    row: Row = {
        "version": "1.2" if old else "2.0" if major in (None, "2") else major,
        "banks": banks,
        "driver": link_target(host, directory + "/device/driver"),
        "description": host.read_or_none(directory + "/device/description"),
    }
    if old:
        row.update(parse_caps(host.read_or_none(directory + "/caps") or ""))
        flags = read_attributes(host, directory, ("enabled", "active", "owned"))
        row.update((name, flag == "1") for name, flag in flags.items())
    return row


def parse_caps(caps: str) -> Row:
    """Return what a TPM 1.2 says of itself; its maker is four letters in a number."""
    pairs = (line.partition(":") for line in caps.split("\n"))
    found = {name.strip(): value.strip() for name, _, value in pairs}
    row: Row = {}
    if "Manufacturer" in found:
        row["manufacturer"] = _letters(found["Manufacturer"])
    if "Firmware version" in found:
        row["firmware"] = found["Firmware version"]
    return row


def _letters(value: str) -> str:
    try:
        return int(value, 16).to_bytes(4, "big").decode("ascii").strip("\0 ") or value
    except (ValueError, OverflowError):
        return value


COLLECTOR = Collector(
    "hardware.firmware",
    key='"boot", "secure boot", "keys" and their list, "boot entry" number, "part" and its GUID, "device tree", '
    "or the TPM's name",
    collect=collect,
    deadline=5,
    fields={
        "mode": "how the machine has started: uefi, bios, device tree",
        "bits": "of the UEFI firmware: 64 or 32",
        "order": "numbers of the boot entries, as the firmware tries them",
        "enabled": "whether secure boot is on; whether a TPM 1.2 is",
        "setup_mode": "whether anybody may change the keys",
        "audit_mode": "whether images are started whatever their signature",
        "deployed_mode": "whether the keys are locked as well as they can be",
        "shim_validation_off": "whether the boot loader shim has been told to check nothing",
        "size": "bytes of a list of keys",
        "sha256": "digest of a list of keys: PK, KEK, db (allowed), dbx (revoked), and those of shim",
        "certificates": "in a list of keys",
        "hashes": "of images, in a list of keys",
        "description": "name of a boot entry in the firmware's menu (null: it is broken); of a TPM, its name in ACPI",
        "active": "whether the firmware tries a boot entry; whether a TPM 1.2 takes commands",
        "hidden": "whether the menu leaves a boot entry out",
        "partition": "GUID of the partition that a boot entry starts from",
        "loader": "file that a boot entry starts",
        "path_sha256": "digest of the device path of a boot entry; of a broken one, of all that there is",
        "type": "of a part that can be updated: system, device, UEFI driver",
        "version": "firmware version of a part, as a number of its maker; of a TPM, the standard that it follows",
        "lowest_version": "oldest firmware that the part can still be given",
        "model": "machine, as its device tree names it",
        "compatible": "machines that a driver may take it for, the closest first",
        "serial": "serial number in the device tree",
        "system_id": "maker and serial number of a POWER server",
        "banks": "hash algorithms of a TPM's registers",
        "driver": "of a TPM",
        "manufacturer": "of a TPM 1.2; a TPM 2.0 tells it on no file",
        "firmware": "of a TPM 1.2",
        "owned": "whether a TPM 1.2 has an owner",
    },
    volatile={
        "current": "boot entry that was taken at the last start: another one after a start from elsewhere",
        "next": "boot entry for the next start alone: gone when that has happened",
    },
)
