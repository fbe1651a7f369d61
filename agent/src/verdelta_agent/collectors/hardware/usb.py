"""USB devices, by the port that they are plugged into; the names of their ids are looked up by the controller.

Source of the format: Documentation/ABI/stable/sysfs-bus-usb, testing/sysfs-bus-usb and driver-api/usb/usb.rst of the
Linux kernel; USB 3.2, table 9-11 (device descriptor).  Only attributes that the kernel keeps in memory are read: a
descriptor asked for anew would wake a sleeping device up.

Buses are numbered in the order of discovery, which is another one after the next start.  A port is known by its
controller instead, and by which of the controller's two trees of ports it is in: those of USB 2 (usbv2) and those of
USB 3 (usbv3) are counted apart, although they often end in one socket.

Whatever is plugged in is compared, whether the firmware calls its port fixed or removable: a stick in a server is a
change that somebody made, and most firmware does not know.  `removable` is there to judge by.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from .sysfs import Device, has, read_attributes, read_present, seat, uevent

BUS = "/sys/bus/usb"
_ROOT = "usb"  # in front of the number of a bus: its root hub
_ATTRIBUTES = ("speed", "maxchild", "removable", "authorized", "manufacturer", "product", "serial")
_ROOT_ATTRIBUTES = ("speed", "maxchild", "authorized")  # its texts are the kernel's version and the controller's place
_TREES = ((5000, "usbv3"), (480, "usbv2"), (0, "usbv1"))  # by the least speed of a root hub, in Mbit/s
_A_PROGRAM = "usbfs"  # in place of a driver while a program uses the interface


class Plugged(NamedTuple):
    """One device with the uevents of its interfaces by their numbers.  The path is that of a root hub's controller."""

    device: Device
    interfaces: Sequence[Dict[str, str]]

    @property
    def root(self) -> bool:
        """Return whether it is the hub that a controller itself is."""
        return self.device.name.startswith(_ROOT)

    @property
    def bus(self) -> str:
        """Return the number of its bus."""
        return self.device.name[len(_ROOT) :] if self.root else self.device.name.partition("-")[0]


def collect(host: Host) -> Section:
    """Absent where there is no USB; partial where the kernel says of a device what is not understood."""
    if not has(host, BUS):
        return absent()
    names: List[str] = host.listdir(BUS + "/devices")
    interfaces: Dict[str, List[str]] = {}
    for name in names:
        device, colon, _ = name.partition(":")
        if colon:
            # The root hub of bus 1 is called usb1, and its interface 1-0:1.0.
            interfaces.setdefault(_ROOT + device[:-2] if device.endswith("-0") else device, []).append(name)
    read = [_read(host, name, interfaces.get(name, [])) for name in names if ":" not in name]
    rows, volatile, malformed = parse([one for one in read if one])
    return Section(OK, rows, volatile, missing("devices not understood", malformed)) if read else absent()


def _read(host: Host, name: str, interfaces: Sequence[str]) -> Optional[Plugged]:
    """Return a device, or None where somebody has pulled it out meanwhile."""
    directory = "%s/devices/%s" % (BUS, name)
    event = read_present(host, directory + "/uevent")
    if event is None:
        return None
    root = name.startswith(_ROOT)
    attributes = read_attributes(host, directory, _ROOT_ATTRIBUTES if root else _ATTRIBUTES)
    path = "/sys/devices/" + host.readlink(directory).partition("devices/")[2] if root else ""
    events = (host.read_or_none("%s/devices/%s/uevent" % (BUS, interface)) for interface in interfaces)
    device = Device(name, path.rpartition("/")[0], dict(attributes, uevent=event))
    return Plugged(device, [uevent(text) for text in events if text])


def parse(devices: Sequence[Plugged]) -> Tuple[Rows, Rows, List[str]]:
    """Return the stable and the volatile rows, controller/tree-port.port -> device; and what is not understood."""
    trees = _trees([device.device for device in devices if device.root])
    rows: Rows = {}
    volatile: Rows = {}
    malformed: List[str] = []
    for plugged in devices:
        name, tree = plugged.device.name, trees.get(plugged.bus)
        if tree is None:  # the controller went away, and all that hangs on it
            continue
        key = tree if plugged.root else tree + name[name.index("-") :]
        try:
            rows[key] = _row(plugged)
        except (KeyError, ValueError):
            malformed.append(key)
            continue
        volatile[key] = _moving(plugged.device)
    return rows, volatile, malformed


def _trees(roots: Sequence[Device]) -> Dict[str, str]:
    """Return bus -> controller and kind of its ports; with the bus after it where a controller has two of a kind."""
    wanted = {root.name: "%s/%s" % (seat(root.path) or "virtual", _tree(root)) for root in roots}
    shared = {tree for tree in wanted.values() if list(wanted.values()).count(tree) > 1}
    return {name[len(_ROOT) :]: "%s as %s" % (tree, name) if tree in shared else tree for name, tree in wanted.items()}


def _tree(root: Device) -> str:
    speed = root.number("speed") or 0
    return next(tree for least, tree in _TREES if speed >= least)


def _row(plugged: Plugged) -> Row:
    found = plugged.device.attributes
    event = uevent(found["uevent"])
    vendor, product, release = (number.zfill(4) for number in event["PRODUCT"].lower().split("/"))
    row: Row = {
        "vendor": vendor,
        "device": product,
        "class": _code(event["TYPE"]),
        "interfaces": [_code(interface["INTERFACE"]) for interface in plugged.interfaces if "INTERFACE" in interface],
        "drivers": sorted({one["DRIVER"] for one in plugged.interfaces if one.get("DRIVER", _A_PROGRAM) != _A_PROGRAM}),
        "authorized": found.get("authorized") != "0",
    }
    if plugged.device.number("maxchild"):
        row["ports"] = plugged.device.number("maxchild")
    if not plugged.root:
        row["release"] = "%s.%s" % (release[:2].lstrip("0") or "0", release[2:])
        row["removable"] = found.get("removable", "unknown")
        row.update((name, found[name]) for name in ("manufacturer", "product", "serial") if name in found)
    return row


def _code(numbers: str) -> str:
    """Return class, subclass and protocol, decimal with strokes between them, as six hexadecimal digits."""
    one, two, three = (int(number) for number in numbers.split("/"))
    return "%02x%02x%02x" % (one, two, three)


def _moving(device: Device) -> Row:
    event = uevent(device.attributes["uevent"])
    return {
        "bus": event.get("BUSNUM"),
        "number": event.get("DEVNUM"),
        "speed": device.attributes.get("speed"),
    }


COLLECTOR = Collector(
    "hardware.usb",
    key="the controller, usbv2 or usbv3, and the ports on the way to it: pci-0000:00:14.0/usbv2-1.4; "
    "without ports, the controller's own root hub",
    collect=collect,
    deadline=5,
    fields={
        "vendor": "vendor id, four hexadecimal digits",
        "device": "product id",
        "class": "class, subclass and protocol, six hexadecimal digits; 000000 where each interface has its own",
        "interfaces": "class, subclass and protocol of each interface",
        "drivers": "the kernel's drivers of its interfaces, without those that a program has taken for itself",
        "authorized": "false where the kernel was told not to use it",
        "ports": "how many ports a hub has",
        "release": "the device's own version, major.minor",
        "removable": "what the firmware says of its port: fixed, removable or unknown",
        "manufacturer": "maker, as the device says it",
        "product": "model, as the device says it",
        "serial": "serial number",
    },
    volatile={
        "bus": "number of the bus: given anew at each start",
        "number": "of the device on its bus: given anew each time that it is plugged in",
        "speed": "Mbit/s: agreed on with the port each time that it is plugged in",
    },
)
