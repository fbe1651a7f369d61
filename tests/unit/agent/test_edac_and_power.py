"""Memory controllers and power supplies: what lasts, what counts or moves, and where a thing is known by."""

from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.hardware import edac, power
from verdelta_agent.collectors.hardware.edac import CONTROLLERS, Controller
from verdelta_agent.gather import collect
from verdelta_agent.model import ABSENT, OK
from verdelta_agent.recorded_host import RecordedHost

CLASS = power.CLASS


def module(place: str, **files: str) -> dict[str, str]:
    return {"dimm_location": place, "size": "8192", **files}


def supply(*lines: str) -> str:
    return "".join(f"POWER_SUPPLY_{line}\n" for line in lines)


def test_an_error_of_memory_changes_no_row() -> None:
    before, after = (
        edac.parse([Controller("mc0", {"ce_count": count}, {"dimm0": module("channel 0 slot 0", dimm_ce_count=count)})])
        for count in ("0", "7")
    )
    assert before[0] == after[0]
    assert after[1]["mc0"]["corrected"] == after[1]["mc0 channel 0 slot 0"]["corrected"] == 7


def test_a_module_keeps_its_key_when_its_slot_gets_a_label() -> None:
    rows = [
        edac.parse([Controller("mc0", {}, {"dimm0": module("channel 0 slot 0", dimm_label=label)})])[0]
        for label in ("mc#0", "A1")
    ]
    assert rows[0].keys() == rows[1].keys()
    assert rows[1]["mc0 channel 0 slot 0"]["label"] == "A1"


def test_modules_to_which_a_driver_gives_one_place_or_none_are_all_there() -> None:
    same = {"dimm0": module("channel 0"), "dimm1": module("channel 0"), "dimm2": module(""), "dimm3": {}}
    assert set(edac.parse([Controller("mc0", {}, same)])[0]) == {
        "mc0",
        "mc0 dimm0",
        "mc0 dimm1",
        "mc0 dimm2",
        "mc0 dimm3",
    }


def test_a_machine_whose_driver_found_no_controller_is_absent() -> None:
    for directory in (CONTROLLERS + "/power", "/sys/devices/system/edac", "/sys/devices/system"):
        assert collect(RecordedHost({"directories": [directory]}), edac.COLLECTOR).status == ABSENT


@given(
    st.dictionaries(
        st.sampled_from(["mc_name", "size_mb", "ce_count", "dimm0/size", "dimm0/dimm_location", "rank1/size", "dimm1"]),
        st.text(),
    )
)
def test_any_text_in_a_controllers_files_gives_rows(files: dict[str, str]) -> None:
    found = {f"{CONTROLLERS}/mc0/{name}": text for name, text in files.items()}
    section = collect(RecordedHost({"files": found, "directories": [CONTROLLERS + "/mc0"]}), edac.COLLECTOR)
    assert section.status == OK or "dimm1" in files


def test_a_battery_that_is_used_and_ages_has_the_same_row() -> None:
    new, used = (
        power.parse(supply("PRESENT=1", "ENERGY_FULL_DESIGN=500", f"ENERGY_FULL={full}", f"STATUS={status}"), "Battery")
        for full, status in ((500, "Full"), (430, "Discharging"))
    )
    assert new[0] == used[0] == {"kind": "Battery", "present": True, "energy_design": 500}
    assert new[1] != used[1]


def test_another_battery_in_the_bay_is_a_changed_row_and_an_empty_bay_says_so() -> None:
    first, second, empty = (
        power.parse(supply(*lines), "Battery")[0]
        for lines in (["PRESENT=1", "SERIAL_NUMBER=1"], ["PRESENT=1", "SERIAL_NUMBER=2"], ["PRESENT=0"])
    )
    assert first != second
    assert empty == {"kind": "Battery", "present": False}


def test_what_an_empty_bay_remembers_of_its_last_battery_is_not_told() -> None:
    assert power.parse(supply("PRESENT=0", "MANUFACTURER=LGC"), "Battery")[0] == {"kind": "Battery", "present": False}


def test_the_battery_of_a_mouse_is_shown_and_never_compared() -> None:
    files = {
        f"{CLASS}/hidpp_battery_0/uevent": supply("SCOPE=Device", "MODEL_NAME=Mouse"),
        f"{CLASS}/AC/uevent": supply("ONLINE=1"),
        f"{CLASS}/AC/type": "Mains\n",
    }
    section = collect(RecordedHost({"files": files}), power.COLLECTOR)
    assert section.rows == {"AC": {"kind": "Mains", "present": True}}
    assert section.volatile["hidpp_battery_0"]["model"] == "Mouse"


def test_a_supply_that_goes_away_while_it_is_read_is_not_there() -> None:
    host = RecordedHost({"files": {f"{CLASS}/BAT0/uevent": {"error": "ENODEV"}, f"{CLASS}/AC/uevent": supply()}})
    assert list(collect(host, power.COLLECTOR).rows) == ["AC"]


def test_a_machine_without_supplies_is_absent() -> None:
    assert collect(RecordedHost({"directories": [CLASS]}), power.COLLECTOR).status == ABSENT


@given(st.text(max_size=200), st.none() | st.text(max_size=20))
def test_any_text_in_a_supplys_files_gives_a_row(event: str, kind: str | None) -> None:
    row, _ = power.parse(event, kind)
    assert row["present"] in (True, False)
