"""Displays that are connected, by the connector they hang on.

Source of the format: Documentation/ABI/stable/sysfs-class-drm and Documentation/gpu/drm-kms.rst of the Linux kernel;
edid.py for what the display says of itself.
"""

import re
from typing import List

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from .edid import parse
from .sysfs import class_devices, has, place

CLASS = "/sys/class/drm"
CONNECTOR = re.compile(r"card[0-9]+-(.+)\Z")
SIZE = 32768  # bytes of an EDID with all its extensions


def collect(host: Host) -> Section:
    """Absent where nothing drives displays; partial where one says what is no EDID."""
    if not has(host, CLASS):
        return absent()
    rows: Rows = {}
    bad: List[str] = []
    paths = class_devices(host, CLASS)
    connectors = [(name, path, CONNECTOR.match(name)) for name, path in sorted(paths.items())]
    for _, path, match in connectors:
        if match is not None and host.read_or_none(path + "/status") == "connected":
            key = "%s/%s" % (place(path) or "virtual", printable(match.group(1)))
            rows[key] = _row(host, path, key, bad)
    if not any(match for _, _, match in connectors):
        return absent("there is no connector for a display")
    return Section(OK, rows, {}, missing("not understood", bad))


def _row(host: Host, path: str, key: str, bad: List[str]) -> Row:
    try:
        data = host.read_bytes(path + "/edid", SIZE)
        return parse(data) if data else {"name": None}  # behind a switch, a display may say nothing
    except (OSError, ValueError) as error:
        bad.append("%s (%s)" % (key, getattr(error, "strerror", None) or error))
        return {"name": None}


COLLECTOR = Collector(
    "hardware.display",
    key="the adapter's place and the connector: pci-0000:00:02.0/HDMI-A-1",
    collect=collect,
    deadline=10,
    fields={
        "manufacturer": "three letters that are registered for the maker",
        "product": "the maker's number of the model, four hexadecimal digits",
        "serial": "serial number, or null",
        "name": "model name, or null",
        "made": "year and week, or the year of the model",
        "width": "of the picture, in millimetres",
        "height": "of the picture, in millimetres",
        "edid_version": "version of the format in which it says so",
    },
)
