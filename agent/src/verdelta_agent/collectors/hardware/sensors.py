"""Temperatures, fans, voltages and power as the kernel measures them: shown, and never compared.

Source of the format: Documentation/hwmon/sysfs-interface.rst of the Linux kernel.  What is compared is which chips
measure what.
"""

import re
from typing import Dict, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..system.colon_separated import unused
from .sysfs import class_devices, has, number, place

CLASS = "/sys/class/hwmon"
INPUT = re.compile(r"((?:temp|fan|in|curr|power|energy|humidity)[0-9]+)_(?:input|average)\Z")
SENSORS = 512  # of one chip


def collect(host: Host) -> Section:
    """Absent where nothing is measured: in most virtual machines."""
    paths = class_devices(host, CLASS) if has(host, CLASS) else {}
    rows: Rows = {}
    volatile: Rows = {}
    for _, path in sorted(paths.items(), key=lambda found: (_stable(found[1]), found[0])):
        key = unused(_key(host, path), rows)
        rows[key], volatile[key] = _chip(host, path)
    return Section(OK, rows, volatile) if rows else absent("nothing is measured here")


def _stable(path: str) -> str:
    """Return the path without the number that the chip was given when it was found."""
    return path.rpartition("/hwmon")[0]


def _key(host: Host, path: str) -> str:
    name = printable(host.read_or_none(path + "/name") or "unnamed")
    where = place(path)
    return "%s at %s" % (name, where) if where else name


def _chip(host: Host, path: str) -> Tuple[Row, Row]:
    labels: List[str] = []
    values: Dict[str, object] = {}
    inputs = [name for name in host.listdir(path) if INPUT.match(name)][:SENSORS]
    for name in sorted(inputs):
        channel = name.rpartition("_")[0]
        label = host.read_or_none("%s/%s_label" % (path, channel))
        labels.append("%s %s" % (channel, printable(label)) if label else channel)
        values[channel] = number(host.read_or_none("%s/%s" % (path, name)))
    return {"channels": labels}, {"values": ["%s %s" % pair for pair in sorted(values.items())]}


COLLECTOR = Collector(
    "hardware.sensors",
    key="the chip's name, and where it is plugged in if its path says so",
    collect=collect,
    deadline=10,
    fields={"channels": "what it measures: the kernel's name of each input and its label"},
    volatile={"values": "degrees and volts in thousandths, turns a minute, millionths of a watt: move all the time"},
)
