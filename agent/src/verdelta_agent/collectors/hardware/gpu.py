"""Graphics and compute adapters, and what their drivers say of them.

Sources of the format: Documentation/gpu/amdgpu/driver-misc.rst of the Linux kernel for amdgpu's attributes; NVIDIA's
driver documentation, "The /proc interface".  Load, clocks and temperatures move all the time and are left out.
"""

from typing import Dict, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import Device, has, number, read_attributes, uevent

DEVICES = "/sys/bus/pci/devices"
NVIDIA = "/proc/driver/nvidia"
CLASSES = ("03", "12")  # display controllers, processing accelerators
ATTRIBUTES = ("uevent", "vbios_version", "mem_info_vram_total", "unique_id", "product_name", "serial_number")
LABELS = {"Model": "model", "GPU UUID": "uuid", "Video BIOS": "vbios", "GPU Firmware": "firmware"}


def collect(host: Host) -> Section:
    """Absent where there is no such adapter."""
    if not has(host, DEVICES):
        return absent()
    rows: Rows = {}
    for address in host.listdir(DEVICES):
        path = "%s/%s" % (DEVICES, address)
        event = uevent(host.read_or_none(path + "/uevent"))
        if event.get("PCI_CLASS", "").zfill(6)[:2] in CLASSES:
            device = Device(address, path, read_attributes(host, path, ATTRIBUTES))
            rows[address] = parse(event, device, host.read_or_none("%s/gpus/%s/information" % (NVIDIA, address)))
    if not rows:
        return absent("there is no graphics or compute adapter")
    version = _nvidia_version(host.read_or_none(NVIDIA + "/version"))
    if version is not None:
        rows["nvidia driver"] = {"version": version}
    return Section(OK, rows, {})


def parse(event: Dict[str, str], device: Device, information: Optional[str]) -> Row:
    """Return ids, driver, and what the driver of the adapter says."""
    vendor, _, identity = event.get("PCI_ID", "").lower().partition(":")
    row: Row = {"vendor": vendor, "device": identity, "driver": event.get("DRIVER")}
    found = device.attributes
    amd = (("vbios", "vbios_version"), ("uuid", "unique_id"), ("model", "product_name"), ("serial", "serial_number"))
    row.update((field, printable(found[name])) for field, name in amd if name in found)
    if number(found.get("mem_info_vram_total")) is not None:
        row["memory"] = number(found["mem_info_vram_total"])
    row.update(_labelled(information or ""))
    return row


def _labelled(information: str) -> List[Tuple[str, str]]:
    pairs = (line.partition(":")[::2] for line in information.split("\n"))
    named = ((LABELS.get(label.strip()), printable(value.strip())) for label, value in pairs)
    return [(field, value) for field, value in named if field and value.strip("?-. ")]


def _nvidia_version(text: Optional[str]) -> Optional[str]:
    """Return 550.90.07 of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri May 31 …"."""
    words = (text or "").partition("\n")[0].split()
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


COLLECTOR = Collector(
    "hardware.gpu",
    key='PCI address, or "nvidia driver"',
    collect=collect,
    deadline=5,
    fields={
        "vendor": "vendor id, four hexadecimal digits",
        "device": "device id",
        "driver": "the driver that is bound to it, or null",
        "model": "model, as its driver says it",
        "uuid": "its own lasting id, as its driver says it",
        "serial": "serial number, as its driver says it",
        "vbios": "version of its BIOS",
        "firmware": "version of its firmware",
        "memory": "bytes of its own memory",
        "version": "of the driver",
    },
)
