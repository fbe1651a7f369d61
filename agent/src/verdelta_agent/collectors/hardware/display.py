"""Monitors, by the connector that they are plugged into.

Source of the format: gpu/drm-kms.rst of the Linux kernel and drivers/gpu/drm/drm_sysfs.c; edid.py for what a monitor
says.  Only what the driver found when it last looked is read: nothing here makes it look again.

Cards are numbered in the order of discovery, and so are the connectors of one kind, through all cards.  A connector is
known by where its card sits, and counted among those of its kind on that card: card1-DP-3 may be pci-0000:00:02.0/DP-1.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from . import edid
from .sysfs import class_devices, has, number, read_present, seat

CLASS = "/sys/class/drm"
_CONNECTED = "connected"
_MADE_UP = "Virtual-"  # a window on another machine's screen, whose size is what somebody has drawn it to


class Connector(NamedTuple):
    """A connector with something at its other end."""

    name: str
    key: str
    edid: bytes


def collect(host: Host) -> Section:
    """Absent where no driver shows connectors; partial where a monitor's EDID is not understood."""
    if not has(host, CLASS):
        return absent()
    found = [(name, path) for name, path in class_devices(host, CLASS).items() if name.partition("-")[2]]
    if not found:
        return absent()
    keys = _keys(dict(found))
    read = [_read(host, name, path, keys[name]) for name, path in found]
    rows, volatile, broken = parse([connector for connector in read if connector])
    return Section(OK, rows, volatile, missing("EDID not understood", broken))


def _keys(paths: Dict[str, str]) -> Dict[str, str]:
    """Return the key of each connector, whether there is something at its other end or not."""
    kinds: Dict[str, List[Tuple[int, str]]] = {}
    keys: Dict[str, str] = {}
    for name, path in paths.items():
        kind, _, position = name.partition("-")[2].rpartition("-")
        where = seat(path.partition("/drm/")[0]) or name.partition("-")[0]
        kinds.setdefault("%s/%s" % (where, kind), []).append((number(position) or 0, name))
    for kind, members in kinds.items():
        keys.update((name, "%s-%d" % (kind, position)) for position, (_, name) in enumerate(sorted(members), 1))
    return keys


def _read(host: Host, name: str, path: str, key: str) -> Optional[Connector]:
    """Return a connector, or None where nothing is connected to it."""
    if read_present(host, path + "/status") != _CONNECTED:
        return None
    try:
        data = host.read_bytes(path + "/edid", edid.LIMIT)
    except FileNotFoundError:
        data = b""
    return Connector(name, key, data)


def parse(connectors: List[Connector]) -> Tuple[Rows, Rows, List[str]]:
    """Return the stable and the volatile rows, place of the card/connector -> monitor; and whose EDID is broken.

    A monitor that says nothing of itself is a row without fields but `edid`.
    """
    rows: Rows = {}
    volatile: Rows = {}
    broken: List[str] = []
    for connector in connectors:
        row, problem = _row(connector)
        moving: Row = {"connector": connector.name}
        if connector.key.rpartition("/")[2].startswith(_MADE_UP):
            moving.update((field, row.pop(field)) for field in ("width", "height") if field in row)
        rows[connector.key], volatile[connector.key] = row, moving
        if problem:
            broken.append("%s (%s)" % (connector.key, problem))
    return rows, volatile, broken


def _row(connector: Connector) -> Tuple[Row, Optional[str]]:
    if not connector.edid:
        return {"edid": "none"}, None
    try:
        row, problem = edid.parse(connector.edid)
    except ValueError as error:
        return {"edid": "broken"}, str(error)
    return dict(row, edid="broken" if problem else "whole"), problem


COLLECTOR = Collector(
    "hardware.display",
    key="place of the graphics card, kind of connector and its number among those there: pci-0000:00:02.0/HDMI-A-1",
    collect=collect,
    deadline=5,
    fields={
        "edid": "whether the monitor has described itself: whole, broken or none",
        "manufacturer": "maker, three letters of the PNP registry",
        "product": "product code, four hexadecimal digits",
        "serial_number": "serial number, where it is a number",
        "name": "model, as the monitor says it",
        "serial": "serial number, where it is a text",
        "text": "anything else that the monitor says in words",
        "year": "of manufacture, or of the model",
        "week": "of manufacture",
        "model_year": "true where the year is that of the model",
        "width": "of the image, in millimetres",
        "height": "of the image, in millimetres",
    },
    volatile={
        "connector": "the kernel's name of it: has numbers that are given anew at each start",
        "width": "of a virtual machine's screen: follows the window that shows it",
        "height": "as width",
    },
)
