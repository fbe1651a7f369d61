"""Batteries, power adapters and UPS that the kernel knows.

Source of the format: Documentation/ABI/testing/sysfs-class-power and Documentation/power/power_supply_class.rst of the
Linux kernel.  The firmware names a bay (BAT0), so that another battery in it is a changed row.

What belongs to a device that somebody plugs in (the battery of a wireless mouse) is shown and never compared.
"""

from typing import Dict, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import has, number, uevent

CLASS = "/sys/class/power_supply"
PREFIX = "POWER_SUPPLY_"

_TEXTS = {"manufacturer": "MANUFACTURER", "model": "MODEL_NAME", "serial": "SERIAL_NUMBER", "technology": "TECHNOLOGY"}
_DESIGN = {"energy_design": "ENERGY_FULL_DESIGN", "charge_design": "CHARGE_FULL_DESIGN"}
_MOVING_TEXTS = {"status": "STATUS", "health": "HEALTH"}
_MOVING = {
    "level": "CAPACITY",
    "online": "ONLINE",
    "cycles": "CYCLE_COUNT",
    "energy_full": "ENERGY_FULL",
    "charge_full": "CHARGE_FULL",
    "energy": "ENERGY_NOW",
    "charge": "CHARGE_NOW",
    "voltage": "VOLTAGE_NOW",
    "voltage_design": "VOLTAGE_MIN_DESIGN",
}


def collect(host: Host) -> Section:
    """Absent where the kernel knows no power supplies: most servers show theirs to their management alone."""
    names = host.listdir(CLASS) if has(host, CLASS) else []
    if not names:
        return absent()
    rows: Rows = {}
    volatile: Rows = {}
    for name in names:
        event = host.read_or_none("%s/%s/uevent" % (CLASS, name))
        kind = host.read_or_none("%s/%s/type" % (CLASS, name))
        if event is None:
            continue  # unplugged since it was listed
        stable, moving = parse(event, kind)
        if stable.pop("scope", None) == "Device":
            volatile[name] = dict(stable, **moving)
        else:
            rows[name], volatile[name] = stable, moving
    return Section(OK, rows, volatile)


def parse(event: str, kind: Optional[str]) -> Tuple[Row, Row]:
    """Return what lasts and what does not, from the two files of one supply: one has nearly all of the others in it."""
    found = {name[len(PREFIX) :]: value.strip() for name, value in uevent(event).items() if name.startswith(PREFIX)}
    present = found.get("PRESENT", "1") != "0"
    row: Row = {"kind": kind or found.get("TYPE"), "present": present}
    moving: Row = {}
    if found.get("SCOPE"):
        row["scope"] = found["SCOPE"]
    if present:
        row.update(_texts(found, _TEXTS))
        row.update(_numbers(found, _DESIGN))
    moving.update(_texts(found, _MOVING_TEXTS))
    moving.update(_numbers(found, _MOVING))
    return row, moving


def _texts(found: Dict[str, str], names: Dict[str, str]) -> Row:
    return {field: found[name] for field, name in names.items() if found.get(name) not in (None, "")}


def _numbers(found: Dict[str, str], names: Dict[str, str]) -> Row:
    counts = {field: number(found.get(name)) for field, name in names.items()}
    return {field: count for field, count in counts.items() if count is not None}


COLLECTOR = Collector(
    "hardware.power",
    key="the supply's name: BAT0, AC, ucsi-source-psy-… (given by the firmware or the driver)",
    collect=collect,
    deadline=5,
    fields={
        "kind": "Battery, Mains, UPS, USB, Wireless",
        "present": "whether there is something in the bay",
        "manufacturer": "maker",
        "model": "model",
        "serial": "serial number",
        "technology": "of a battery: Li-ion, LiFe …",
        "energy_design": "µWh that a battery was made to hold",
        "charge_design": "µAh that a battery was made to hold, where it counts in charge",
    },
    volatile={
        "status": "Charging, Discharging, Full: moves with the use",
        "health": "as the battery judges itself: moves with temperature and age",
        "level": "percent: moves with the use",
        "online": "whether power comes in: somebody has only to pull a plug",
        "cycles": "times that the battery was charged: counts up",
        "energy_full": "µWh that the battery still holds when full: falls with its age, in small steps",
        "charge_full": "the same in µAh: falls with its age, in small steps",
        "energy": "µWh left: moves with the use",
        "charge": "µAh left: moves with the use",
        "voltage": "µV: moves with the use",
        "voltage_design": "least µV that it was made for: some batteries give the present voltage instead",
    },
)
