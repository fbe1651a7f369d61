"""The management controller: inventories as the standard writes them, odd answers, and the kernel's door to it."""

import contextlib
import ctypes
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import fru as build

from verdelta_agent import ipmi_device
from verdelta_agent.collectors.hardware import fru, ipmi
from verdelta_agent.gather import collect
from verdelta_agent.host import Host, LocalHost
from verdelta_agent.model import ABSENT, FAILED, OK, Section, canonical
from verdelta_agent.recorded_host import RecordedHost

SERVER = build.server()
SUPPLY = build.power_supply()
DEVICE_ID = bytes.fromhex("2081024702bf7c2a00640901000000")


class Simulated(Host):
    """A host with a controller that keeps inventories, in bytes or in words, and that answers so many bytes at most."""

    def __init__(self, inventories: dict[int, bytes], locators: list[bytes] | None = None, unit: int = 1) -> None:
        self.inventories, self.locators, self.unit = inventories, locators or [], unit
        self.most, self.device_id = 255, DEVICE_ID
        self.refused: dict[bytes, int] = {}
        self.asked: list[bytes] = []

    def exists(self, path: str) -> bool:
        return path == "/dev/ipmi0"

    def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
        self.asked.append(request)
        command, data = request[:2], request[2:]
        if command in self.refused:
            return bytes([self.refused[command]])
        if command == b"\x06\x01":
            return b"\0" + self.device_id
        if command == b"\x0a\x23":
            return self._record(int.from_bytes(data[2:4], "little"), data[5])
        if data[0] not in self.inventories:
            return b"\xcb"
        content = self.inventories[data[0]]
        if command == b"\x0a\x10":
            return b"\0" + len(content).to_bytes(2, "little") + bytes([self.unit - 1])
        at, count = int.from_bytes(data[1:3], "little") * self.unit, data[3] * self.unit
        if count > self.most:
            return b"\xca"
        part = content[at : at + count]
        return bytes([0, len(part) // self.unit]) + part

    def _record(self, number: int, length: int) -> bytes:
        if number >= len(self.locators):
            return b"\xcb"
        following = number + 1 if number + 1 < len(self.locators) else 0xFFFF
        return b"\0" + following.to_bytes(2, "little") + self.locators[number][:length]


def read(host: Host) -> Section:
    return collect(host, ipmi.COLLECTOR)


def test_a_servers_inventory_says_what_it_is_and_its_serial_numbers() -> None:
    row, broken = fru.parse(SERVER)
    assert broken == []
    assert (row["chassis_type"], row["chassis_serial"]) == ("Rack Mount Chassis", "C8250LK12345")
    assert (row["board_made"], row["board_serial"], row["board_part_number"]) == (
        "2025-11-25",
        "OM21AS012345",
        "X12-DUAL-B",
    )
    assert (row["product_name"], row["product_serial"], row["product_asset_tag"]) == (
        "RS-2000",
        "S412345X1802001",
        "ASSET-0042",
    )
    assert not any("own" in str(value) or "frudata" in str(value) for value in row.values())


def test_text_in_each_of_the_ways_to_write_it_is_read() -> None:
    row, _ = fru.parse(SUPPLY)
    assert row == {
        "product_manufacturer": "EXAMPLE POWER",
        "product_name": "PWS-1K22A-1R",
        "product_part_number": "1200-3.1",
        "product_version": "01",
        "product_serial": "P2K22CN35MT0",
    }
    fields = [build.binary(b"\x12\xab"), build.text("\xc4\xd6"), build.packed("AB"), bytes([0x41, 0x1F])]
    row, _ = fru.parse(build.inventory(product=build.product(*fields)))
    assert list(row.values()) == ["12ab", "\xc4\xd6", "AB", "1?"]


def test_text_of_another_language_is_of_two_bytes_a_character() -> None:
    name = "\u96fb\u6e90".encode("utf-16-le")
    row, _ = fru.parse(build.inventory(product=build.product(bytes([0xC0 | len(name)]) + name, language=14)))
    assert row == {"product_manufacturer": "\u96fb\u6e90"}


def test_a_board_whose_day_of_making_nobody_has_set_has_none() -> None:
    for minutes in (0, 0xFFFFFF):
        assert fru.parse(build.inventory(board=build.board(minutes, build.text("Maker"))))[0] == {
            "board_manufacturer": "Maker"
        }


def test_a_damaged_area_is_named_and_the_others_stand() -> None:
    at = SERVER.index(b"OM21AS")
    row, broken = fru.parse(SERVER[:at] + b"X" + SERVER[at + 1 :])
    assert broken == ["board area has a wrong checksum"]
    assert row["product_serial"] == "S412345X1802001"
    assert not any(name.startswith("board") for name in row)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\xfe" * 64, SERVER[:7], b"\x02" + SERVER[1:]])
def test_what_is_no_inventory_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no header"):
        fru.parse(data)


def test_an_inventory_is_known_to_be_as_long_as_its_last_area() -> None:
    data = b""
    while len(data) < fru.needed(data):
        data = SERVER[: fru.needed(data)]
    assert data == SERVER


@given(st.binary(max_size=400))
def test_any_bytes_give_a_row_or_a_value_error(data: bytes) -> None:
    _survives(data)
    _survives(SERVER[:8] + data)
    area = bytes([1, -(-(len(data) + 3) // 8)]) + data
    area = area.ljust(area[1] * 8 - 1, b"\0")
    _survives(build.inventory(board=area + bytes([-sum(area) & 0xFF])))


def test_an_inventory_cut_off_or_with_any_bit_flipped_gives_a_row_or_a_value_error() -> None:
    for whole in (SERVER, SUPPLY):
        for length in range(len(whole)):
            _survives(whole[:length])
        data = bytearray(whole)
        for bit in range(len(data) * 8):
            data[bit // 8] ^= 1 << bit % 8
            _survives(bytes(data))
            _survives(_summed(data))
            data[bit // 8] ^= 1 << bit % 8


def _summed(data: bytearray) -> bytes:
    """Return an inventory whose areas have right checksums again, as far as they can be found."""
    copy = bytearray(data)
    copy[7] = -sum(copy[:7]) & 0xFF
    for start in (copy[place] * 8 for place in (2, 3, 4)):
        end = start + (copy[start + 1] * 8 if 0 < start < len(copy) - 1 else 0)
        if start + 8 <= end <= len(copy):
            copy[end - 1] = -sum(copy[start : end - 1]) & 0xFF
    return bytes(copy)


def _survives(data: bytes) -> None:
    assert fru.needed(data) <= 2 * 255 * 8
    try:
        row, broken = fru.parse(data)
    except ValueError:
        return
    assert canonical(row)
    assert all(isinstance(reason, str) for reason in broken)


@pytest.mark.parametrize(("unit", "most"), [(1, 255), (1, 16), (2, 32), (2, 8)])
def test_an_inventory_is_read_whole_whatever_a_controller_takes_at_a_time(unit: int, most: int) -> None:
    host = Simulated({0: SERVER.ljust(2048, b"\xff")}, unit=unit)
    host.most = most
    section = read(host)
    assert (section.status, section.error) == (OK, None)
    assert section.rows["fru 0"]["product_serial"] == "S412345X1802001"
    assert sum(request[:2] == b"\x0a\x11" for request in host.asked) < 100


def test_the_inventories_that_a_record_names_are_read_and_those_of_others_left_alone() -> None:
    locators = [
        bytes([0, 0, 0x51, 1, 43]) + bytes(43),
        build.locator(0, "Main board"),
        build.locator(1, "PSU1"),
        build.locator(2, "PSU2"),
        build.locator(3, "P1-DIMMA1", modifier=1),
        build.locator(4, "Riser", address=0x24),
    ]
    host = Simulated(dict.fromkeys((0, 1, 3, 4), SUPPLY), locators)
    section = read(host)
    assert section.error is None
    assert {key: row.get("name") for key, row in section.rows.items()} == {
        "controller": None,
        "fru 0": "Main board",
        "fru 1": "PSU1",
    }


def test_a_controller_without_records_has_its_own_inventory() -> None:
    for code in (0xC1, 0xCB):
        host = Simulated({0: SERVER})
        host.refused[b"\x0a\x23"] = code
        assert set(read(host).rows) == {"controller", "fru 0"}


def test_a_controller_that_refuses_has_failed_and_one_damaged_inventory_leaves_the_others() -> None:
    host = Simulated({0: SERVER})
    host.refused[b"\x0a\x23"] = 0xC3
    section = read(host)
    assert (section.status, section.rows) == (FAILED, {})
    assert section.error == "unreadable: the management controller refuses with completion code 0xc3"
    section = read(Simulated({0: SERVER, 1: b"\xfe" * 64, 2: SERVER[:40]}, [build.locator(n, "") for n in (1, 2)]))
    assert section.status == OK
    assert section.error is not None
    assert "fru 1: it has no header" in section.error
    assert "fru 2: chassis area" not in section.error
    assert "fru 2: board area breaks off" in section.error
    assert section.rows["fru 2"]["chassis_serial"] == "C8250LK12345"


def test_an_inventory_that_nobody_has_written_is_none() -> None:
    for blank in (b"\0", b"\xff"):
        section = read(Simulated({0: SERVER, 1: blank * 256}, [build.locator(1, "PSU1")]))
        assert (set(section.rows), section.error) == ({"controller", "fru 0"}, None)


def test_records_that_end_before_their_time_are_a_failure_and_lose_no_inventory_in_silence() -> None:
    for answer in (b"\xcb", b"\0", b"\0\xff\xff\0\0"):

        class Torn(Simulated):
            def _record(self, number: int, length: int, answer: bytes = answer) -> bytes:
                return super()._record(number, length) if number == 0 else answer

        host = Torn({0: SERVER, 1: SUPPLY}, [bytes([0, 0, 0x51, 1, 43]) + bytes(43), build.locator(1, "PSU1")])
        assert read(host).status == FAILED


def test_a_controller_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipmi, "_PAUSES", (0, 0, 0))

    class Busy(Simulated):
        def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
            again = request in self.asked
            self.asked.append(request)
            return super().ask_controller(device, request) if again else b"\xc0"

    assert read(Busy({0: SERVER})).rows["fru 0"]["product_serial"] == "S412345X1802001"


def test_records_that_lead_in_a_circle_end() -> None:
    class Circle(Simulated):
        def _record(self, number: int, length: int) -> bytes:
            return b"\0" + ((number + 1) % 3).to_bytes(2, "little") + bytes(5)

    section = read(Circle({0: SERVER}))
    assert section.status == FAILED
    assert section.error is not None
    assert "more than" in section.error


def test_a_controller_that_is_being_updated_has_failed() -> None:
    host = Simulated({0: SERVER})
    host.device_id = DEVICE_ID[:2] + b"\x82" + DEVICE_ID[3:]
    assert read(host).status == FAILED


def test_without_a_device_it_is_absent_and_without_an_answer_it_has_failed() -> None:
    assert read(RecordedHost({})).status == ABSENT
    section = read(RecordedHost({"files": {"/dev/ipmi0": {"error": "ENODATA"}}}))
    assert section.status == FAILED


@given(st.lists(st.binary(max_size=40), max_size=200))
def test_any_answers_give_rows_or_a_failed_section(answers: list[bytes]) -> None:
    left = [answer for answer in answers if answer[:1] not in (b"\x81", b"\xc0")]  # which only takes its time

    class Odd(Simulated):
        def ask_controller(self, device: str, request: bytes, timeout: float = 5) -> bytes:
            return left.pop() if left else b"\xff"

    assert read(Odd({})).status in (OK, FAILED)


@given(st.binary(max_size=64))
def test_any_bytes_for_a_record_or_a_device_id_are_read_or_refused(data: bytes) -> None:
    assert len(ipmi.parse_locator(data)) <= 1
    with contextlib.suppress(ValueError):
        assert canonical(ipmi.parse_device_id(data))


class Message(ctypes.Structure):
    """struct ipmi_msg of linux/ipmi.h."""

    _fields_ = (
        ("function", ctypes.c_ubyte),
        ("command", ctypes.c_ubyte),
        ("length", ctypes.c_ushort),
        ("data", ctypes.c_void_p),
    )


class Request(ctypes.Structure):
    """struct ipmi_req."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("address_length", ctypes.c_uint),
        ("number", ctypes.c_long),
        ("message", Message),
    )


class Received(ctypes.Structure):
    """struct ipmi_recv."""

    _fields_ = (("kind", ctypes.c_int), *Request._fields_)


class Kernel:
    """Answers what is asked of a FIFO as the kernel does of an IPMI device; an event comes before each answer."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.seen: list[bytes] = []
        self.waiting: list[tuple[int, int, int, bytes]] = []

    def ioctl(self, descriptor: int, number: int, argument: Any, mutate: bool = True) -> int:
        if number == 2 << 30 | ctypes.sizeof(Request) << 16 | 0x69 << 8 | 13:
            request = Request.from_buffer_copy(argument)
            assert ctypes.string_at(request.address, request.address_length)[:7] == b"\x0c\0\0\0\x0f\0\0"
            message = request.message
            data = ctypes.string_at(message.data, message.length)
            self.seen.append(bytes([message.function, message.command]) + data)
            if self.answer is not None:
                self.waiting = [(2, 4, 2, b"event"), (1, message.function | 1, message.command, self.answer)]
                os.write(descriptor, b"!")
            return 0
        assert number == 3 << 30 | ctypes.sizeof(Received) << 16 | 0x69 << 8 | 11
        received = Received.from_buffer(argument)
        received.kind, received.message.function, received.message.command, data = self.waiting.pop(0)
        assert len(data) <= received.message.length
        ctypes.memmove(received.message.data, data, len(data))
        received.message.length = len(data)
        return 0


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "ipmi0")
    return str(tmp_path / "ipmi0")


def test_the_kernel_is_asked_as_its_header_says(fifo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if ipmi_device._DIRECTION != 30:
        pytest.skip("this architecture numbers its ioctls in another way")
    kernel = Kernel(b"\0\x20answer")
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    assert LocalHost().ask_controller(fifo, b"\x0a\x11\x00\x00\x00\x08") == b"\0\x20answer"
    assert LocalHost().ask_controller(fifo, b"\x06\x01") == b"\0\x20answer"
    assert kernel.seen == [b"\x0a\x11\x00\x00\x00\x08", b"\x06\x01"]


def test_a_controller_that_does_not_answer_is_left_in_time(fifo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", Kernel(None).ioctl)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(TimeoutError):
        LocalHost().ask_controller(fifo, b"\x06\x01", timeout=0.05)
    assert set(os.listdir("/proc/self/fd")) == before


def test_what_is_no_such_device_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "missing", Path("/dev/null")):
        with pytest.raises(OSError):
            LocalHost().ask_controller(str(path), b"\x06\x01", timeout=0.05)
