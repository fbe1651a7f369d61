"""Monitors: what their EDID says is read, and whatever bytes it has give a row and a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.edid import HEADER, Monitor, build, sealed, text, timing

from verdelta_agent.collectors.hardware import display, edid
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, FAILED, OK, canonical, check_rows
from verdelta_agent.recorded_host import RecordedHost

CARD = "/sys/devices/pci0000:00/0000:00:02.0/drm/card{0}"
# As printed in a monitor's service manual (Samsung 2220WM, analogue input), with numbers in place of the X's.
MANUAL = """
00 FF FF FF FF FF FF 00 4C 2D 1F 03 31 32 33 34 05 11 01 03 6C 2F 1E 78 2A DC 51 A3 59 48 9E 24
11 50 54 BF EF 80 B3 00 81 80 81 40 71 4F 01 01 01 01 01 01 01 01 21 39 90 30 62 1A 27 40 68 B0
36 00 DA 28 11 00 00 1C 00 00 00 FD 00 38 4B 1E 51 0F 00 0A 20 20 20 20 20 20 00 00 00 FC 00 53
79 6E 63 4D 61 73 74 65 72 0A 20 20 00 00 00 FF 00 48 31 41 4B 35 30 30 30 30 30 0A 20 20 00
"""


def machine(data: bytes, card: int = 0, connector: str = "DP-1", status: str = "connected\n") -> RecordedHost:
    path = f"{CARD.format(card)}/card{card}-{connector}"
    return RecordedHost(
        {
            "files": {f"{path}/status": status, f"{path}/edid": {"hex": data.hex()}},
            "links": {
                f"/sys/class/drm/card{card}-{connector}": f"../../{path[5:]}",
                f"/sys/class/drm/card{card}": f"../../{CARD.format(card)[5:]}",
            },
        }
    )


def test_a_monitor_is_read_as_its_maker_printed_it_in_the_manual() -> None:
    assert edid.parse(sealed(bytes.fromhex(MANUAL))) == (
        {
            "manufacturer": "SAM",
            "product": "031f",
            "serial_number": 0x34333231,
            "week": 5,
            "year": 2007,
            "name": "SyncMaster",
            "serial": "H1AK500000",
            "width": 474,
            "height": 296,
        },
        None,
    )


def test_a_card_that_gets_another_number_at_the_next_start_keeps_its_monitors() -> None:
    first, second = (collect(machine(build(Monitor()), card), display.COLLECTOR) for card in (0, 1))
    assert first.rows == second.rows
    assert list(first.rows) == ["pci-0000:00:02.0/DP-1"]
    assert [row["connector"] for row in second.volatile.values()] == ["card1-DP-1"]


def test_connectors_that_are_counted_through_all_cards_are_counted_anew_on_each() -> None:
    def keys(first: int, second: int) -> list[str]:
        names = {
            f"card0-DP-{first}": "0000:00:02.0",
            f"card1-DP-{second}": "0000:03:00.0",
            "card1-HDMI-A-1": "0000:03:00.0",
        }
        names["card1-DP-12"] = "0000:03:00.0"
        return sorted(display._keys({n: f"/sys/devices/pci0/{at}/drm/{n[:5]}/{n}" for n, at in names.items()}).values())

    assert keys(1, 2) == keys(3, 1)
    assert keys(1, 2) == [
        "pci-0000:00:02.0/DP-1",
        "pci-0000:03:00.0/DP-1",
        "pci-0000:03:00.0/DP-2",
        "pci-0000:03:00.0/HDMI-A-1",
    ]


@pytest.mark.parametrize("status", ["disconnected\n", "unknown\n", ""])
def test_a_connector_with_nothing_at_its_other_end_is_no_monitor(status: str) -> None:
    section = collect(machine(build(Monitor()), status=status), display.COLLECTOR)
    assert (section.status, section.rows) == (OK, {})


def test_a_machine_without_connectors_is_absent_and_one_that_refuses_has_failed() -> None:
    cards = {"links": {"/sys/class/drm/renderD128": "../../devices/pci0/drm/renderD128"}}
    assert collect(RecordedHost(cards), display.COLLECTOR).status == ABSENT
    for refused in ("status", "edid"):
        host = machine(build(Monitor()))
        host.files = {**host.files, CARD.format(0) + "/card0-DP-1/" + refused: {"error": "EACCES"}}
        assert collect(host, display.COLLECTOR).status == FAILED


def test_a_monitor_without_an_edid_is_there_and_one_with_a_broken_one_says_so() -> None:
    silent = collect(machine(b""), display.COLLECTOR)
    assert (silent.rows, silent.error) == ({"pci-0000:00:02.0/DP-1": {"edid": "none"}}, None)
    broken = collect(machine(build(Monitor())[:100]), display.COLLECTOR)
    assert broken.rows == {"pci-0000:00:02.0/DP-1": {"edid": "broken"}}
    assert broken.error == "EDID not understood: pci-0000:00:02.0/DP-1 (100 bytes of an EDID are none)"
    flipped = bytearray(build(Monitor()))
    flipped[127] ^= 1
    section = collect(machine(bytes(flipped)), display.COLLECTOR)
    assert section.rows["pci-0000:00:02.0/DP-1"]["name"] == "Verdelta 27"
    assert section.rows["pci-0000:00:02.0/DP-1"]["edid"] == "broken"
    assert section.error is not None


def test_the_window_of_a_virtual_machine_has_no_size_that_is_compared() -> None:
    sizes = [(597, 336), (300, 200)]
    seen = [collect(machine(build(Monitor(width=w, height=h)), 0, "Virtual-1"), display.COLLECTOR) for w, h in sizes]
    assert seen[0].rows == seen[1].rows
    assert [(row["width"], row["height"]) for one in seen for row in one.volatile.values()] == sizes


def test_a_ratio_of_sides_in_place_of_a_size_is_not_taken_for_millimetres() -> None:
    block = bytearray(build(Monitor(width=600, height=340))[:127])
    block[54:72] = timing(16, 9)
    row, _ = edid.parse(sealed(bytes(block)))
    assert (row["width"], row["height"]) == (600, 340)
    block[21] = block[22] = 0  # a projector
    assert "width" not in edid.parse(sealed(bytes(block)))[0]


def test_a_name_in_two_parts_is_one_name_and_a_year_of_the_model_is_called_so() -> None:
    monitor = Monitor(week=0xFF, number=0, texts=((0xFC, b"Thirteen long"), (0xFC, b"and more"), (0xFE, b"x\0y")))
    row, problem = edid.parse(build(monitor))
    assert (row["name"], row["text"], row["year"], row["model_year"]) == ("Thirteen long and more", "x", 2021, True)
    assert not {"week", "serial", "serial_number"} & row.keys()
    assert problem is None


def test_an_edid_cut_off_anywhere_gives_a_row_and_a_reason() -> None:
    data = build(Monitor())
    for length in range(len(data)):
        with pytest.raises(ValueError, match="EDID"):
            edid.parse(data[:length])
        section = collect(machine(data[:length]), display.COLLECTOR)
        assert (section.status, section.error is None) == (OK, length == 0)


def test_an_edid_with_any_bit_flipped_is_never_taken_for_a_whole_one() -> None:
    for data in (build(Monitor()), sealed(bytes.fromhex(MANUAL))):
        flipped = bytearray(data)
        for bit in range(len(data) * 8):
            flipped[bit // 8] ^= 1 << bit % 8
            survives(bytes(flipped))
            section = collect(machine(bytes(flipped)), display.COLLECTOR)
            assert [row["edid"] for row in section.rows.values()] == ["broken"]
            flipped[bit // 8] ^= 1 << bit % 8


@given(st.binary(max_size=600))
def test_any_bytes_give_a_row_or_a_value_error(data: bytes) -> None:
    survives(data)
    survives(HEADER + data)


@given(st.binary(min_size=119, max_size=119))
def test_any_bytes_behind_the_header_with_a_right_checksum_give_a_row(rest: bytes) -> None:
    row, problem = edid.parse(sealed(HEADER + rest))
    assert problem is None
    check_rows({"k": row})


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=13)), max_size=3))
def test_descriptors_of_any_kind_and_content_give_short_texts(texts: list) -> None:
    row, _ = edid.parse(build(Monitor(texts=tuple(texts))))
    check_rows({"k": row})
    assert all(len(value) <= 3 * 13 * 4 + 2 for value in row.values() if isinstance(value, str))
    assert not any("\0" in value or "\n" in value for value in row.values() if isinstance(value, str))


@given(
    st.text(alphabet="ABCXYZ", min_size=3, max_size=3),
    st.integers(0, 0xFFFF),
    st.integers(1, 0xFFFFFFFF),
    st.integers(10, 2500),
)
def test_what_a_monitor_says_comes_out_as_it_went_in(maker: str, product: int, number: int, width: int) -> None:
    row, _ = edid.parse(build(Monitor(maker, product, number, width=width, height=width)))
    assert (row["manufacturer"], row["product"], row["serial_number"]) == (maker, f"{product:04x}", number)
    assert row["width"] == width


def test_an_edid_that_never_ends_is_a_failure() -> None:
    assert collect(machine(build(Monitor()) * 300), display.COLLECTOR).status == FAILED


def survives(data: bytes) -> None:
    try:
        row, problem = edid.parse(data)
    except ValueError:
        return
    assert canonical(row)
    assert problem is None or isinstance(problem, str)


def test_a_text_is_padded_as_the_standard_says() -> None:
    assert text(0xFC, b"ab") == b"\0\0\0\xfc\0ab\n          "
