"""USB devices, by where they are plugged in; the names of their ids are looked up by the controller.

Source of the format: Documentation/ABI/testing/sysfs-bus-usb of the Linux kernel.  Buses are numbered in the order in
which they are found, so that a device goes by its controller and the ports on the way to it.  Root hubs are part of
their controllers, which are PCI devices.
"""

import re
from typing import Dict, List, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import Device, class_devices, has, link_target, place, read_attributes

DEVICES = "/sys/bus/usb/devices"
DEVICE = re.compile(r"[0-9]+-([0-9.]+)\Z")  # 1-2.3: bus 1, port 2, port 3 of the hub there
INTERFACE = re.compile(r"([0-9]+-[0-9.]+):[0-9]+\.[0-9]+\Z")
ATTRIBUTES = (
    "idVendor",
    "idProduct",
    "bcdDevice",
    "bDeviceClass",
    "manufacturer",
    "product",
    "serial",
    "removable",
    "version",
) + ("authorized", "speed", "devnum")


def collect(host: Host) -> Section:
    """Absent where there is no USB."""
    if not has(host, DEVICES):
        return absent()
    paths = class_devices(host, DEVICES)
    devices = [_read(host, name, paths[name]) for name in sorted(paths) if DEVICE.match(name)]
    drivers: Dict[str, List[str]] = {}
    for name, path in paths.items():
        interface = INTERFACE.match(name)
        driver = link_target(host, path + "/driver") if interface else None
        if interface and driver:
            drivers.setdefault(interface.group(1), []).append(driver)
    return Section(OK, *parse(devices, drivers))


def _read(host: Host, name: str, path: str) -> Device:
    return Device(name, path, read_attributes(host, path, ATTRIBUTES))


def parse(devices: List[Device], drivers: Dict[str, List[str]]) -> Tuple[Rows, Rows]:
    """Return the stable and the volatile rows: controller and ports -> device."""
    rows: Rows = {}
    volatile: Rows = {}
    for device in devices:
        found = {name: printable(value) for name, value in device.attributes.items()}
        if "idVendor" not in found:
            continue
        key = _key(device)
        row: Row = {
            "vendor": found["idVendor"],
            "product_id": found.get("idProduct", ""),
            "revision": found.get("bcdDevice", ""),
            "class": found.get("bDeviceClass", ""),
            "drivers": sorted(set(drivers.get(device.name, []))),
            "authorized": found.get("authorized") != "0",
        }
        texts = {"manufacturer": "manufacturer", "product": "product", "serial": "serial", "removable": "removable"}
        row.update((field, found[name]) for field, name in texts.items() if name in found)
        rows[key] = row
        volatile[key] = {"name": device.name, "speed": found.get("speed"), "number": device.number("devnum")}
    return rows, volatile


def _key(device: Device) -> str:
    match = DEVICE.match(device.name)
    ports = match.group(1) if match else device.name
    controller = place(device.path.partition("/usb")[0])
    return "%s/usb-%s" % (controller or device.name.partition("-")[0], ports)


COLLECTOR = Collector(
    "hardware.usb",
    key="the controller's place, then the ports: pci-0000:00:14.0/usb-2.3",
    collect=collect,
    deadline=5,
    fields={
        "vendor": "vendor id, four hexadecimal digits",
        "product_id": "product id",
        "revision": "release of the device, four decimal digits",
        "class": "class, two hexadecimal digits; 00 where each interface has its own",
        "drivers": "drivers of its interfaces, sorted",
        "authorized": "whether the kernel lets it be used",
        "manufacturer": "maker, as the device says it",
        "product": "product, as the device says it",
        "serial": "serial number, as the device says it",
        "removable": "fixed, removable or unknown: whether the port can be reached from outside",
    },
    volatile={
        "name": "the kernel's name: buses are numbered in the order in which they are found",
        "speed": "Mbit/s: agreed anew whenever it is plugged in",
        "number": "counted up with each device that is plugged in",
    },
)
