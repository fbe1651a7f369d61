"""SMBIOS: what the standard says is read, and whatever bytes a firmware leaves behind give rows or a ValueError."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import smbios as build

from verdelta_agent.collectors.hardware import smbios, smbios_types
from verdelta_agent.collectors.hardware.smbios_table import HANDLES, LIMIT, EntryPoint, parse_entry_point
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK, canonical
from verdelta_agent.recorded_host import RecordedHost

ENTRY, SERVER = build.server()
TABLES = "/sys/firmware/dmi/tables/"


def small() -> bytes:
    """Return a table with one structure of most kinds: every bit of it can be flipped within a second or two."""
    table = build.Table()
    build.bios(table, "Maker", "1", "01/02/2026")
    build.system(table, ("Maker", "Model", "2", "S1", "SKU", "Family"), uuid.UUID(int=1))
    build.chassis(table, ("Maker", "3", "C1", "A1", "K1"), kind=23, height=1)
    build.processor(table, "CPU1", "Model", 2)
    build.cache(table, "L1", 1, 256)
    build.oem_strings(table, "One", "Two")
    build.memory(table, 0x1000, "A1", "B1", 65536)
    return table.end()


def rows(table: bytes, entry: bytes = ENTRY) -> dict:
    return smbios.parse(entry, table)[0]


def test_the_rows_of_a_full_and_an_empty_slot_differ_in_their_fields_and_not_in_their_keys() -> None:
    parsed = rows(SERVER)
    full, empty = parsed["dimm P1-DIMMA1"], parsed["dimm P1-DIMMB1"]
    assert (full["size"], full["serial"], full["part_number"], full["speed"]) == (
        48 << 30,
        "H0KE00000000",
        "M393A6K40DB3-CWE",
        2933,
    )
    assert empty == {"bank": "P0_Node0_Channel1_Dimm0", "form_factor": "DIMM", "size": 0}


@pytest.mark.parametrize(
    ("megabytes", "size"), [(0, 0), (16384, 16 << 30), (32766, 32766 << 20), (32768, 32 << 30), (262144, 256 << 30)]
)
def test_a_module_of_any_size_is_read_in_bytes(megabytes: int, size: int) -> None:
    table = build.Table()
    build.memory(table, 0, "A1", "B1", megabytes)
    assert rows(table.end())["dimm A1"]["size"] == size


def test_a_module_counted_in_kilobytes_and_one_of_unknown_size() -> None:
    table = build.Table()
    for field in (b"\x00\x82", b"\xff\xff"):  # 512 kB; unknown
        table.add(17, b"\0" * 8 + field + b"\x09\x00\x01", "A1")
    parsed = rows(table.end())
    sizes = [row["size"] for row in parsed.values()]
    assert sizes == [512 << 10, None]


def test_slots_that_share_a_locator_are_told_apart_by_their_bank_and_then_by_their_order() -> None:
    table = build.Table()
    for bank in ("BANK 0", "BANK 1", "BANK 1"):
        build.memory(table, 0, "DIMM 0", bank, 1024)
    assert list(rows(table.end())) == ["dimm DIMM 0 (BANK 0)", "dimm DIMM 0 (BANK 1)", "dimm DIMM 0 (BANK 1) #2"]


def test_more_than_255_cores_are_counted() -> None:
    table = build.Table()
    build.processor(table, "CPU0", "Model", 300)
    build.processor(table, "CPU1", "none", 0)
    parsed = rows(table.end())
    assert (parsed["processor CPU0"]["cores"], parsed["processor CPU0"]["threads"]) == (300, 600)
    assert parsed["processor CPU1"] == {"populated": False, "status": "Unknown"}


def test_caches_of_the_same_name_are_told_apart_by_their_processor() -> None:
    parsed = rows(SERVER)
    assert [key for key in parsed if key.startswith("cache CPU Internal L3")] == [
        "cache CPU Internal L3 (CPU1)",
        "cache CPU Internal L3 (CPU2)",
    ]
    assert parsed["cache CPU Internal L3 (CPU2)"] == {
        "processor": "CPU2",
        "level": 3,
        "enabled": True,
        "size": 16896 << 10,
        "max_size": 16896 << 10,
        "type": "Unified",
        "associativity": "8-way Set-associative",
        "error_correction": "Single-bit ECC",
    }


@pytest.mark.parametrize("kilobytes", [0, 32, 0x7FFF, 1 << 16, 96 << 10, 2 << 20, 4 << 20])
def test_a_cache_of_any_size_is_read_in_bytes(kilobytes: int) -> None:
    table = build.Table()
    build.cache(table, "L3", 3, kilobytes)
    assert rows(table.end())["cache L3"]["size"] == kilobytes << 10


def test_of_a_credential_in_the_makers_strings_the_name_alone_is_told() -> None:
    assert rows(SERVER)["oem strings"] == {"strings": ["Example Computers", "io.systemd.credential:mysecret="]}


def test_a_uuid_is_little_endian_since_version_2_6() -> None:
    identity = uuid.uuid4()
    assert smbios_types.uuid(identity.bytes_le, 0x0206) == smbios_types.uuid(identity.bytes, 0x0205) == str(identity)
    assert (
        smbios_types.uuid(b"\0" * 16, 0x0302)
        is smbios_types.uuid(b"\xff" * 16, 0x0302)
        is smbios_types.uuid(b"", 0x0302)
        is None
    )


def test_the_three_forms_of_an_entry_point_give_the_same_rows() -> None:
    data = small()
    structures = 8
    forms = [
        build.entry_point_3(len(data)),
        build.entry_point_2(len(data), structures),
        build.entry_point_legacy(len(data), structures),
    ]
    assert [parse_entry_point(form).version for form in forms] == [0x0303, 0x0208, 0x0200]
    first, second, legacy = (rows(data, form) for form in forms)
    assert first == second
    assert legacy.keys() == first.keys()


def test_an_older_table_ends_after_as_many_structures_as_its_entry_point_counts() -> None:
    data = small()
    assert list(rows(data + b"\xaa" * 40, build.entry_point_2(len(data), 2))) == ["bios", "system"]


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"_SM3_",
        ENTRY[:-1],
        ENTRY[:7] + b"\x09" + ENTRY[8:],
        b"_SM_" + b"\0" * 40,
        b"_DMI_" + b"\x01" * 20,
        b"\0" * 64,
    ],
)
def test_a_wrong_entry_point_is_an_error(entry: bytes) -> None:
    with pytest.raises(ValueError, match="SMBIOS"):
        smbios.parse(entry, SERVER)


def test_a_table_that_breaks_off_keeps_what_stands_before_the_break_and_says_so() -> None:
    section = collect(_machine(SERVER[:1000]), smbios.COLLECTOR)
    assert section.status == OK
    assert section.rows["system"]["serial"] == "S412345X1802001"
    assert section.error is not None
    assert "is broken at byte" in section.error
    assert "of 1000" in section.error


def test_an_empty_table_and_one_that_is_too_large_are_failures() -> None:
    for table in (b"", b"\0\0\0", b"\x7f\x04\0\0\0\0", bytes(LIMIT + 1), b"\x11\x04\0\0\0\0" * (HANDLES + 1)):
        assert collect(_machine(table), smbios.COLLECTOR).status == FAILED


def test_a_machine_without_smbios_is_absent_and_one_that_refuses_has_failed() -> None:
    assert collect(RecordedHost({"directories": ["/sys/firmware"]}), smbios.COLLECTOR).status == ABSENT
    refused = RecordedHost({"files": {TABLES + "DMI": {"error": "EACCES"}, TABLES + "smbios_entry_point": ""}})
    section = collect(refused, smbios.COLLECTOR)
    assert (section.status, section.rows) == (FAILED, {})
    short = RecordedHost({"files": {"/sys/class/dmi/id/product_serial": {"error": "EACCES"}}})
    assert collect(short, smbios.COLLECTOR).status == FAILED


def test_the_short_form_gives_the_same_values_as_the_table() -> None:
    files = {
        "bios_vendor": "American Megatrends International, LLC.",
        "bios_release": "5.14",
        "ec_firmware_release": "1.74",
        "product_serial": "S412345X1802001",
        "product_uuid": "7b6f1d02-4a1c-4f0e-9c55-3cecefa10b42",
        "board_serial": "OM21AS012345",
        "chassis_type": "23",
        "chassis_asset_tag": "ASSET-0042",
    }
    whole = rows(SERVER)
    for key, row in smbios.parse_files(files).items():
        assert row.items() <= whole[key].items()


def test_a_table_cut_off_anywhere_gives_rows_or_a_value_error() -> None:
    data = small()
    for length in range(len(data)):
        _survives(ENTRY, data[:length])
    for length in range(len(ENTRY)):
        _survives(ENTRY[:length], data)


def test_a_table_with_any_bit_flipped_gives_rows_or_a_value_error() -> None:
    data = bytearray(small())
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        _survives(ENTRY, bytes(data))
        data[bit // 8] ^= 1 << bit % 8


@given(st.binary(max_size=2000))
def test_any_bytes_give_rows_or_a_value_error(table: bytes) -> None:
    _survives(ENTRY, table)
    _survives(table, SERVER)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 3, 4, 7, 9, 11, 16, 17, 39, 126]), st.binary(max_size=100), st.binary(max_size=40)
        )
    )
)
def test_structures_of_any_length_and_content_give_rows_or_a_value_error(structures: list) -> None:
    table = b"".join(
        bytes([kind, len(body) + 4, 0, 0]) + body + text.replace(b"\0", b"") + b"\0\0"
        for kind, body, text in structures
    )
    _survives(build.entry_point_3(len(table)), table)


def test_the_worst_tables_of_the_largest_size_are_read_to_their_end() -> None:
    parsed = rows(b"\x11\x04\0\0\0\0" * HANDLES)
    assert len(parsed) == HANDLES
    one_string = bytes([17, 40, 0, 0]) + b"\x01" * 36 + b"x" * (LIMIT - 42) + b"\0\0"
    assert len(canonical(rows(one_string))) < 20 * LIMIT


def _survives(entry: bytes, table: bytes) -> None:
    try:
        parsed, broken = smbios.parse(entry, table)
    except ValueError:
        return
    assert canonical(parsed)
    assert broken is None or isinstance(broken, str)


def _machine(table: bytes) -> RecordedHost:
    entry = build.entry_point_3(len(table)) if table else ENTRY
    return RecordedHost(
        {"files": {TABLES + "DMI": {"hex": table.hex()}, TABLES + "smbios_entry_point": {"hex": entry.hex()}}}
    )


def test_an_entry_point_says_version_and_count() -> None:
    assert parse_entry_point(build.entry_point_2(0x1234, 77)) == EntryPoint(0x0208, 77)
