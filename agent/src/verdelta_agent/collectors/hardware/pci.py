"""PCI devices, by address; their names are looked up by the controller.

Source of the format: Documentation/ABI/testing/sysfs-bus-pci of the Linux kernel.  Only attributes that the kernel
keeps in memory are read: the configuration space would wake a sleeping device up.
"""

from typing import Dict, List, Mapping

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import Device, has, read_attributes, uevent

BUS = "/sys/bus/pci"


def collect(host: Host) -> Section:
    """Absent where there is no PCI bus or nothing on it."""
    if not has(host, BUS):
        return absent()
    devices = [_read(host, address) for address in host.listdir(BUS + "/devices")]
    return Section(OK, parse(devices, _slots(host)), {}) if devices else absent()


def _read(host: Host, address: str) -> Device:
    directory = "%s/devices/%s" % (BUS, address)
    return Device(address, directory, read_attributes(host, directory, ("uevent", "revision")))


def _slots(host: Host) -> Dict[str, str]:
    """Return domain:bus:device -> the slot's name as it is printed on the chassis."""
    try:
        names: List[str] = host.listdir(BUS + "/slots")
    except FileNotFoundError:
        return {}
    addresses = ((host.read_or_none("%s/slots/%s/address" % (BUS, name)), name) for name in names)
    return {address: name for address, name in addresses if address}


def parse(devices: List[Device], slots: Mapping[str, str]) -> Rows:
    """Return domain:bus:device.function -> ids in hexadecimal, class, revision, driver, slot.

    A device that went away while it was read has no identity, and is left out.
    """
    return {device.name: _row(device, slots) for device in devices if "uevent" in device.attributes}


def _row(device: Device, slots: Mapping[str, str]) -> Row:
    event = uevent(device.attributes["uevent"])
    vendor, _, identity = event["PCI_ID"].lower().partition(":")
    subsystem_vendor, _, subsystem = event.get("PCI_SUBSYS_ID", "").lower().partition(":")
    row: Row = {
        "vendor": vendor,
        "device": identity,
        "subsystem_vendor": subsystem_vendor,
        "subsystem_device": subsystem,
        "class": event["PCI_CLASS"].lower().zfill(6),
        "revision": device.attributes.get("revision", "").replace("0x", ""),
        "driver": event.get("DRIVER"),
    }
    slot = slots.get(device.name.partition(".")[0])
    if slot is not None:
        row["slot"] = slot
    return row


COLLECTOR = Collector(
    "hardware.pci",
    key="domain:bus:device.function",
    collect=collect,
    deadline=5,
    fields={
        "vendor": "vendor id, four hexadecimal digits",
        "device": "device id",
        "subsystem_vendor": "id of the maker of the card",
        "subsystem_device": "the card's id",
        "class": "class, subclass and programming interface, six hexadecimal digits",
        "revision": "revision of the chip",
        "driver": "the driver that is bound to it, or null",
        "slot": "the slot it sits in, as the firmware names it, where it has one",
    },
)
