"""Firmware: the variables of UEFI as the standard writes them, and whatever a firmware leaves in them instead."""

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import efi, firmware
from verdelta_agent.collectors.hardware.firmware import VARIABLES
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, OK, canonical
from verdelta_agent.recorded_host import RecordedHost

PARTITION = uuid.UUID("5c1f2a0e-6f7c-4b57-9a3e-2b9d1c0e7a55")
CERTIFICATE = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
HASH = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")


def node(kind: int, subtype: int, content: bytes) -> bytes:
    return bytes([kind, subtype]) + struct.pack("<H", len(content) + 4) + content


def load_option(attributes: int, description: str, path: bytes) -> bytes:
    return struct.pack("<IH", attributes, len(path)) + description.encode("utf-16-le") + b"\0\0" + path


def signatures(kind: uuid.UUID, size: int, count: int) -> bytes:
    return kind.bytes_le + struct.pack("<III", 28 + size * count, 0, size) + bytes(size * count)


DISK = node(4, 1, struct.pack("<IQQ", 1, 2048, 4096) + PARTITION.bytes_le + b"\2\2")
FILE = node(4, 4, "\\EFI\\debian\\shimx64.efi\0".encode("utf-16-le"))
OPTION = load_option(1, "debian", DISK + FILE + node(0x7F, 0xFF, b"")) + b"arguments"


def machine(**variables: bytes | str) -> RecordedHost:
    """Return a machine with UEFI: a variable is its content, or the error that reading it gives."""
    vendors = {"db": efi.SECURITY, "dbx": efi.SECURITY, "MokSBStateRT": efi.SHIM}
    files = {
        f"{VARIABLES}/{name}-{vendors.get(name, efi.GLOBAL)}": {"error": content}
        if isinstance(content, str)
        else {"hex": (b"\x07\0\0\0" + content).hex()}
        for name, content in variables.items()
    }
    return RecordedHost({"files": files, "directories": ["/sys/firmware/efi"]})


def test_a_boot_entry_says_what_is_started_from_where() -> None:
    row = efi.boot_entry(OPTION)
    assert (row["description"], row["active"], row["hidden"]) == ("debian", True, False)
    assert (row["partition"], row["loader"]) == (str(PARTITION), "\\EFI\\debian\\shimx64.efi")


def test_what_stands_behind_a_boot_entrys_path_is_not_told() -> None:
    assert efi.boot_entry(OPTION) == efi.boot_entry(OPTION.replace(b"arguments", b"password="))


def test_a_partition_of_a_disk_without_a_gpt_has_no_guid() -> None:
    path = node(4, 1, struct.pack("<IQQ", 1, 63, 4096) + b"\x12\x34\x56\x78" + bytes(12) + b"\1\1")
    assert efi.boot_entry(load_option(1, "old", path))["partition"] is None


def test_a_broken_boot_entry_is_known_by_its_digest_and_leaves_the_others_alone() -> None:
    section = collect(machine(Boot0001=OPTION, Boot0002=OPTION[:20]), firmware.COLLECTOR)
    assert (section.status, section.error) == (OK, None)
    assert section.rows["boot entry 0001"]["description"] == "debian"
    assert section.rows["boot entry 0002"]["description"] is None


def test_lists_of_keys_have_a_digest_and_counts() -> None:
    data = signatures(CERTIFICATE, 800, 1) + signatures(CERTIFICATE, 900, 1) + signatures(HASH, 48, 300)
    row = efi.key_database(data)
    assert (row["certificates"], row["hashes"], row["size"]) == (2, 300, len(data))
    cut = efi.key_database(data[:-1])
    assert (cut["certificates"], cut["hashes"]) == (None, None)
    assert cut["sha256"] != row["sha256"]


def test_the_state_of_secure_boot_is_what_the_firmware_says_and_no_guess() -> None:
    on = collect(machine(SecureBoot=b"\1", SetupMode=b"\0", MokSBStateRT=b"\1"), firmware.COLLECTOR).rows
    assert on["secure boot"] == {"enabled": True, "setup_mode": False, "shim_validation_off": True}
    assert "secure boot" not in collect(machine(BootOrder=b""), firmware.COLLECTOR).rows


def test_without_its_variables_nothing_is_said_of_secure_boot_and_the_section_is_partial() -> None:
    section = collect(RecordedHost({"directories": ["/sys/firmware/efi"]}), firmware.COLLECTOR)
    assert section.rows == {"boot": {"mode": "uefi", "bits": None}}
    assert section.error is not None
    assert "efivarfs" in section.error


def test_a_variable_that_cannot_be_read_is_named() -> None:
    section = collect(machine(SecureBoot=b"\1", dbx="EIO"), firmware.COLLECTOR)
    assert section.error == "not readable: dbx (Input/output error)"
    assert section.rows["secure boot"] == {"enabled": True}


def test_the_entry_that_was_started_is_shown_and_never_compared() -> None:
    first, second = (
        collect(machine(BootOrder=b"\1\0\2\0", BootCurrent=taken, BootNext=b""), firmware.COLLECTOR)
        for taken in (b"\1\0", b"\2\0")
    )
    assert first.rows == second.rows
    assert (first.volatile["boot"]["current"], second.volatile["boot"]["current"]) == ("0001", "0002")


def test_variables_of_others_are_not_read() -> None:
    host = machine(SecureBoot=b"\1", Boot0000Password="EIO", BootNextNext="EIO", Key0001="EIO")
    assert collect(host, firmware.COLLECTOR).error is None


def test_a_machine_of_which_no_firmware_is_known_is_absent() -> None:
    from verdelta_agent.collectors import SECTIONS
    from verdelta_agent.gather import read

    (entry,) = (entry for entry in SECTIONS if entry.name == "hardware.firmware")
    assert read(RecordedHost({"directories": ["/sys/devices", "/proc/self"]}), entry).status == ABSENT


def test_an_empty_device_tree_is_none() -> None:
    host = RecordedHost({"directories": ["/sys/firmware/devicetree/base/chosen", "/sys/firmware/dmi"]})
    assert collect(host, firmware.COLLECTOR).rows == {"boot": {"mode": "bios", "bits": None}}


@pytest.mark.parametrize(
    ("caps", "row"),
    [
        ("Manufacturer: 0x53544d20\nTCG version: 1.2\nFirmware version: 13.12\n",
         {"manufacturer": "STM", "firmware": "13.12"}),
        ("Manufacturer: 0xffffffff\n", {"manufacturer": "0xffffffff"}),
        ("Manufacturer: 0x1234567890\n", {"manufacturer": "0x1234567890"}),
        ("", {}),
    ],
)  # fmt: skip
def test_a_tpm_says_its_maker_in_four_letters(caps: str, row: dict) -> None:
    assert firmware.parse_caps(caps) == row


@given(st.binary(max_size=300))
def test_any_bytes_in_a_variable_give_a_row(data: bytes) -> None:
    assert canonical(efi.boot_entry(data))
    assert canonical(efi.key_database(data))
    assert canonical(list(efi.parse_order(data)))


def test_a_boot_entry_cut_off_or_with_any_bit_flipped_gives_a_row() -> None:
    for length in range(len(OPTION)):
        assert canonical(efi.boot_entry(OPTION[:length]))
    flipped = bytearray(OPTION)
    for bit in range(len(flipped) * 8):
        flipped[bit // 8] ^= 1 << bit % 8
        assert canonical(efi.boot_entry(bytes(flipped)))
        flipped[bit // 8] ^= 1 << bit % 8


@given(
    st.dictionaries(
        st.sampled_from(["SecureBoot", "PK", "db", "BootOrder", "BootCurrent", "Boot0000", "Boot00FF"]),
        st.binary(max_size=100),
    )
)
def test_any_variables_give_rows(variables: dict[str, bytes]) -> None:
    section = collect(machine(**variables), firmware.COLLECTOR)
    assert section.status == OK
