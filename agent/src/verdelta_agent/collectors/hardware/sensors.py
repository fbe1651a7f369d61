"""What watches temperatures, fans, voltages and power, and what it shows at the moment.

Source of the format: hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-class-hwmon of the Linux kernel.

The stable rows say which chips there are and what they watch; no reading is ever compared.  Chips are numbered in the
order of discovery, so that one is known by where it sits, and a disk's by the disk.  Those of batteries (a wireless
mouse has one) and of network modules come and go with what is plugged in: they are in the volatile rows alone.
"""

import re
from time import monotonic
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Rows, Section, absent
from .sysfs import class_devices, has, number, seat

CLASS = "/sys/class/hwmon"
PATIENCE = 1.0  # seconds after which no further reading is asked for: some chips answer through a slow bus
_FILE = re.compile(r"(temp|fan|in|curr|power|energy|humidity|intrusion)([0-9]+)_(input|average|alarm|label)$")
_FIELDS = {
    "temp": "temperature",
    "fan": "speed",
    "in": "voltage",
    "curr": "current",
    "power": "power",
    "energy": "energy",
    "humidity": "humidity",
    "intrusion": "opened",
}
_READINGS = ("input", "average", "alarm")  # the first that there is
_I2C = re.compile(r"(?:/i2c-[0-9]+)+/[0-9]+-([0-9a-f]{4})$")
_INSTANCE = re.compile(r"_(?:phy)?[0-9]+$")  # iwlwifi_1, mt7921_phy0: counted up each time that the driver is loaded
_BATTERY, _NETWORK_MODULE = "/power_supply/", "sfp"
_DEAR = ("dell_smm", "i8kutils")  # the firmware stops the whole machine for each reading


class Chip(NamedTuple):
    """One chip: the path of the device that it belongs to, the world-wide id of a disk, and its sensors.

    `labels` are of each sensor (temp1), "" where it has none; `readings` of those that were asked, None where they
    did not answer.
    """

    device: str
    name: str
    disk: str
    labels: Dict[str, str]
    readings: Dict[str, Optional[int]]


def collect(host: Host) -> Section:
    """Absent where there are no sensors."""
    if not has(host, CLASS):
        return absent()
    paths = class_devices(host, CLASS)
    until = monotonic() + PATIENCE
    read = [_read(host, path, until) for path in paths.values()]
    return Section(OK, *parse([chip for chip in read if chip])) if read else absent()


def _read(host: Host, path: str, until: float) -> Optional[Chip]:
    """Return a chip, or None where it has gone away meanwhile."""
    try:
        files = _sensor_files(host.listdir(path))
    except FileNotFoundError:
        return None
    device = path.rpartition("/")[0]
    device = device[: -len("/hwmon")] if device.endswith("/hwmon") else device
    name = host.read_or_none(path + "/name") or ""
    labels = {
        sensor: (host.read_or_none("%s/%s_label" % (path, sensor)) or "") if "label" in kinds else ""
        for sensor, kinds in files.items()
    }
    disk = (host.read_or_none(device + "/wwid") or "") if name == "drivetemp" else ""
    # A sleeping device is not woken up for its temperature.
    awake = name not in _DEAR and host.read_or_none(device + "/power/runtime_status") != "suspended"
    return Chip(device, name, " ".join(disk.split()), labels, _readings(host, path, files, until) if awake else {})


def _sensor_files(names: Sequence[str]) -> Dict[str, List[str]]:
    """Return sensor -> the kinds of its files, in the order of the sensors' kinds and numbers."""
    matches = [match for match in map(_FILE.match, names) if match]
    files: Dict[str, List[str]] = {}
    for match in sorted(matches, key=lambda match: (match.group(1), int(match.group(2)), match.group(2))):
        if match.group(3) != "alarm" or match.group(1) == "intrusion":  # of the others, the reading says as much
            files.setdefault(match.group(1) + match.group(2), []).append(match.group(3))
    return files


def _readings(host: Host, path: str, files: Dict[str, List[str]], until: float) -> Dict[str, Optional[int]]:
    found: Dict[str, Optional[int]] = {}
    for sensor, kinds in files.items():
        kind = next((kind for kind in _READINGS if kind in kinds), None)
        if kind is not None and monotonic() < until:
            found[sensor] = number(host.read_or_none("%s/%s_%s" % (path, sensor, kind)))
    return found


def parse(chips: Sequence[Chip]) -> Tuple[Rows, Rows]:
    """Return the stable rows, place -> chip, and the volatile ones, place and sensor -> reading."""
    rows: Rows = {}
    volatile: Rows = {}
    given: Dict[str, int] = {}
    for chip in sorted(chips, key=_order):
        key = _key(chip)
        given[key] = given.get(key, 0) + 1
        key = key if given[key] == 1 else "%s #%d" % (key, given[key])
        if not _passing(chip):
            sensors = [("%s %s" % labelled).strip() for labelled in chip.labels.items()]
            rows[key] = {"name": _INSTANCE.sub("", chip.name), "sensors": sensors}
        for sensor, reading in chip.readings.items():
            field = _FIELDS[sensor.rstrip("0123456789")]
            volatile["%s %s" % (key, sensor)] = {"label": chip.labels[sensor], field: reading}
    return rows, volatile


def _order(chip: Chip) -> Tuple[bool, str, List[Tuple[str, str]]]:
    """Return what puts chips at one place into an order that no start changes, those that pass behind the rest."""
    return _passing(chip), chip.name, list(chip.labels.items())


def _passing(chip: Chip) -> bool:
    return _BATTERY in chip.device or chip.name == _NETWORK_MODULE


def _key(chip: Chip) -> str:
    """Return the disk, or where the chip sits, or its name where it only stands for readings of the firmware."""
    on_bus = _I2C.search(chip.device)
    if on_bus:  # buses are numbered in the order of discovery; the address on it is soldered
        return "%s/i2c-%s" % (seat(chip.device[: on_bus.start()]) or "virtual", on_bus.group(1))
    return chip.disk or seat(chip.device) or _INSTANCE.sub("", chip.name)


COLLECTOR = Collector(
    "hardware.sensors",
    key="where the chip sits, world-wide id of a disk, or the name of what sits nowhere (acpitz)",
    collect=collect,
    deadline=10,
    fields={
        "name": "the driver's name of the chip",
        "sensors": "kind and number of each sensor, and its label where it has one",
    },
    volatile={
        "label": "what the sensor watches, beside its reading",
        "temperature": "thousandths of a degree Celsius: moves all the time",
        "speed": "revolutions of a fan in a minute: moves all the time",
        "voltage": "millivolts: moves all the time",
        "current": "milliamperes: moves all the time",
        "power": "microwatts: moves all the time",
        "energy": "microjoules since the start: moves all the time",
        "humidity": "thousandths of a per cent: moves all the time",
        "opened": "1 once the chassis was opened, until somebody resets it: some chips forget it without a battery",
    },
)
