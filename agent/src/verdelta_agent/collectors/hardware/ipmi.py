"""The management controller (BMC) and the inventories that it keeps: chassis, boards, power supplies.

Source of the format: IPMI specification 2.0, revision 1.1, sections 20.1 (device id), 33 (sensor data records), 34 (FRU
inventory) and 43.8 (FRU device locator); fru.py has what is in an inventory.

Device 0 is the machine itself; others are those that a record of the controller names and that it keeps itself, not
those behind other controllers.  An inventory that the controller says is not there (an empty bay) is none.
"""

import errno
import time
from typing import Dict, NamedTuple, Optional

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from . import fru

DEVICES = ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0")

_APPLICATION, _STORAGE = 0x06, 0x0A  # network functions
_GET_DEVICE_ID = bytes((_APPLICATION, 0x01))
_GET_SIZE, _READ, _GET_RECORD = (bytes((_STORAGE, command)) for command in (0x10, 0x11, 0x23))

_DONE = 0x00
_BUSY = (b"\x81", b"\xc0")
_PAUSES = (0, 0.1, 0.5)  # seconds before each attempt to ask one that is busy
_NOT_PRESENT = (0xC1, 0xC9, 0xCB, 0xCC)  # no such command, no such number, nothing there, no such field
_TOO_LONG = (0xC7, 0xC8, 0xCA, 0xFF)
_CHUNKS = (32, 16, 8)  # bytes of one reading: any interface takes the least
_RECORDS = 2000
_LAST_RECORD = 0xFFFF
_RECORD_HEADER = 5
_LOCATOR = 0x11
_CONTROLLER = 0x20  # address of the controller itself
_LOGICAL = 0x80
_INVENTORY = 0x10
_NO_INVENTORY = (1, 3)  # modifiers: what a memory module or a processor carries, in another format


class Refused(OSError):
    """The controller answers a request with a completion code that is not 0."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.EIO, "the management controller refuses with completion code 0x%02x" % code)
        self.code = code

    def __str__(self) -> str:
        return str(self.strerror)


class Controller(NamedTuple):
    """The way to the controller."""

    host: Host
    device: str

    def ask(self, command: bytes, data: bytes = b"") -> bytes:
        """Return the data of the answer.  Raises Refused, and OSError when there is none."""
        answer = b""
        for pause in _PAUSES:
            time.sleep(pause)
            answer = self.host.ask_controller(self.device, command + data)
            if answer[:1] not in _BUSY:
                break
        if not answer or answer[0] != _DONE:
            raise Refused(answer[0] if answer else 0xFF)
        return answer[1:]


def collect(host: Host) -> Section:
    """Absent where the kernel knows no controller.  One that does not answer, or not to us, has failed."""
    device = next((path for path in DEVICES if host.exists(path)), None)
    if device is None:
        return absent()
    controller = Controller(host, device)
    rows: Rows = {"controller": parse_device_id(controller.ask(_GET_DEVICE_ID))}
    broken = []
    for number, name in sorted(_inventories(controller).items()):
        try:
            data = _read_inventory(controller, number)
            row, areas = fru.parse(data) if data else ({}, [])
        except (Refused, ValueError) as error:
            broken.append("fru %d: %s" % (number, error))
            continue
        broken += ["fru %d: %s" % (number, area) for area in areas]
        if row:
            rows["fru %d" % number] = dict(row, name=name) if name else row
    return Section(OK, rows, {}, missing("not understood", broken))


def parse_device_id(data: bytes) -> Row:
    """Return what a controller says of itself.  Raises ValueError when it breaks off."""
    if len(data) < 11:
        raise ValueError("the device id has %d bytes" % len(data))
    if data[2] & 0x80:
        raise ValueError("the controller is still starting, or being updated")
    version = data[4]
    return {
        "device_id": data[0],
        "revision": data[1] & 0x0F,
        "firmware": "%d.%02x" % (data[2] & 0x7F, data[3]),
        "auxiliary_firmware": data[11:15].hex() or None,
        "ipmi": "%d.%d" % (version & 0x0F, version >> 4),
        "manufacturer": int.from_bytes(data[6:9], "little") & 0xFFFFF,
        "product": int.from_bytes(data[9:11], "little"),
    }


def _inventories(controller: Controller) -> Dict[int, Optional[str]]:
    """Return number -> name of the inventories that the controller keeps; 0 always, perhaps without a name."""
    found: Dict[int, Optional[str]] = {0: None}
    record = 0
    for _ in range(_RECORDS):
        try:
            answer = _record(controller, record, _RECORD_HEADER)
            if answer[5] == _LOCATOR:
                answer = _record(controller, record, _RECORD_HEADER + answer[6])
                found.update(parse_locator(answer[2:]))
        except Refused as error:
            if record == 0 and error.code in _NOT_PRESENT:  # no records at all
                return found
            raise
        following = int.from_bytes(answer[:2], "little")
        if following in (_LAST_RECORD, record):
            return found
        record = following
    raise ValueError("there are more than %d sensor data records" % _RECORDS)


def _record(controller: Controller, record: int, length: int) -> bytes:
    """Return the number of the following record, and the first bytes of this one.  Raises ValueError."""
    answer = controller.ask(_GET_RECORD, b"\0\0" + record.to_bytes(2, "little") + bytes((0, length)))
    if len(answer) < 2 + _RECORD_HEADER:
        raise ValueError("sensor data record %d breaks off" % record)
    return answer


def parse_locator(record: bytes) -> Dict[int, Optional[str]]:
    """Return number -> name of the inventory that a record names, or nothing where it is not this controller's."""
    if len(record) < 16:
        return {}
    own = record[5] == _CONTROLLER and record[7] & _LOGICAL and not record[8] >> 4
    if not own or record[10] != _INVENTORY or record[11] in _NO_INVENTORY:
        return {}
    length = record[15] & 0x1F
    text = record[16 : 16 + length].decode("latin-1").strip(" \0") if record[15] >> 6 == 3 else ""
    return {record[6]: text or None}


def _read_inventory(controller: Controller, number: int) -> bytes:
    """Return the content of an inventory as far as it is needed, or nothing where there is none.  Raises Refused."""
    try:
        info = controller.ask(_GET_SIZE, bytes((number,)))
    except Refused as error:
        if error.code in _NOT_PRESENT:
            return b""
        raise
    if len(info) < 3:
        raise ValueError("its size has %d bytes" % len(info))
    size, unit = int.from_bytes(info[:2], "little"), 2 if info[2] & 1 else 1
    data = b""
    while len(data) < min(fru.needed(data), size):
        data = _read_on(controller, number, data, min(fru.needed(data), size), unit)
    return data


def _read_on(controller: Controller, number: int, data: bytes, end: int, unit: int) -> bytes:
    """Return what has been read with the next part of it after it.  Raises ValueError where there is no more."""
    for chunk in _CHUNKS:
        count = -(-min(chunk, end - len(data)) // unit)
        try:
            answer = controller.ask(
                _READ, bytes((number,)) + (len(data) // unit).to_bytes(2, "little") + bytes((count,))
            )
        except Refused as error:
            if error.code in _TOO_LONG and chunk != _CHUNKS[-1]:
                continue
            raise
        part = answer[1 : 1 + answer[0] * unit] if answer else b""
        if len(part) < unit or len(part) % unit:
            break
        return data + part
    raise ValueError("it ends after %d bytes" % len(data))


COLLECTOR = Collector(
    "hardware.ipmi",
    key='"controller", or "fru" and its number',
    collect=collect,
    deadline=30,
    fields={
        "device_id": "number of the kind of controller, its maker's own",
        "revision": "of the controller's hardware",
        "firmware": "major.minor of the controller's firmware",
        "auxiliary_firmware": "four more bytes of it, as hex digits: the maker's own",
        "ipmi": "version of the standard that the controller follows",
        "manufacturer": "of the controller, by its IANA enterprise number",
        "product": "number of the product, its maker's own",
        "name": "of an inventory, as the controller calls what carries it",
        "chassis_type": "kind of chassis",
        "chassis_part_number": "part number of the chassis",
        "chassis_serial": "serial number of the chassis",
        "board_made": "day on which the board was made",
        "board_manufacturer": "maker of the board",
        "board_name": "model of the board",
        "board_serial": "serial number of the board",
        "board_part_number": "part number of the board",
        "product_manufacturer": "maker of the whole, or of the power supply",
        "product_name": "model",
        "product_part_number": "part or model number",
        "product_version": "version",
        "product_serial": "serial number",
        "product_asset_tag": "inventory number that somebody has set",
    },
)
