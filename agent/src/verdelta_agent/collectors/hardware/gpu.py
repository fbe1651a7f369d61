"""Graphics and compute adapters, and what their drivers say of them without being asked by a command.

Source of the format: gpu/amdgpu/driver-misc.rst and Documentation/ABI/testing/sysfs-bus-pci of the Linux kernel; the
sources of the drivers for the rest: kernel-open/nvidia/nv-procfs.c of NVIDIA's open modules, and
drivers/gpu/drm/xe/xe_tile_sysfs.c.

On PCI, an adapter is what says so by its class, with or without a driver; what is built into a chip or plugged in by
USB is known by its driver alone.  NVIDIA's driver knows the version of the video BIOS and the adapter's id while
something keeps the adapter in use (nvidia-persistenced does); without, the section says that they are missing.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Set, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from . import pci
from .sysfs import Device, class_devices, has, read_attributes, read_present, seat, uevent

PCI = pci.BUS + "/devices"
DRM = "/sys/class/drm"
NVIDIA = "/proc/driver/nvidia/gpus"
_CLASSES = ("0x03", "0x12")  # display controllers, processing accelerators
_IDENTITY = ("uevent", "revision")
_PLACE = "pci-"  # in front of an address, in a place
_MADE_UP = ("/sys/devices/virtual/", "/sys/devices/faux/")  # by the kernel, with nothing behind them
_BY_DRIVER = {
    "amdgpu": (
        "mem_info_vram_total",
        "vbios_version",
        "unique_id",
        "product_name",
        "product_number",
        "serial_number",
    ),
    "xe": ("tile0/physical_vram_size_bytes", "tile1/physical_vram_size_bytes"),
}
_MEMORY = ("mem_info_vram_total",) + _BY_DRIVER["xe"]
_TEXTS = (
    ("model", "product_name"),
    ("part_number", "product_number"),
    ("serial", "serial_number"),
    ("unique_id", "unique_id"),
    ("vbios", "vbios_version"),
)
_NVIDIA_TEXTS = (("model", "Model"), ("unique_id", "GPU UUID"), ("vbios", "Video BIOS"))
_UNKNOWN = "??"  # what NVIDIA's driver writes for each digit that it does not know


class Adapters(NamedTuple):
    """What there is: on PCI, and elsewhere by place; NVIDIA's texts by PCI address; the kernel's names by place."""

    on_pci: Sequence[Device]
    elsewhere: Sequence[Device]
    nvidia: Mapping[str, str]
    names: Mapping[str, Sequence[str]]


def collect(host: Host) -> Section:
    """Absent where there is none; partial where a driver does not know what it should."""
    on_pci = _on_pci(host) if has(host, pci.BUS) else []
    known = {_PLACE + device.name for device in on_pci}
    elsewhere, names = _cards(host, known) if has(host, DRM) else ([], {})
    if not on_pci and not elsewhere:
        return absent()
    nvidia = _nvidia(host) if any(_driver(device) == "nvidia" for device in on_pci) else {}
    rows, volatile, unknown = parse(Adapters(on_pci, elsewhere, nvidia, names))
    return Section(OK, rows, volatile, missing("not known to the driver while nothing uses the adapter", unknown))


def _on_pci(host: Host) -> List[Device]:
    devices = []
    for address in host.listdir(PCI):
        directory = "%s/%s" % (PCI, address)
        kind = read_present(host, directory + "/class")
        if kind is not None and kind.startswith(_CLASSES):
            device = Device(address, directory, read_attributes(host, directory, _IDENTITY))
            device.attributes.update(read_attributes(host, directory, _BY_DRIVER.get(_driver(device), ())))
            devices.append(device)
    return devices


def _driver(device: Device) -> str:
    return uevent(device.attributes.get("uevent")).get("DRIVER", "")


def _cards(host: Host, known: Set[str]) -> Tuple[List[Device], Dict[str, List[str]]]:
    """Return the devices of cards that sit elsewhere than at the known places, and the kernel's names by place."""
    elsewhere: Dict[str, Device] = {}
    names: Dict[str, List[str]] = {}
    for name, path in class_devices(host, DRM).items():
        device_path, drm, _ = path.partition("/drm/")
        if not drm or "-" in name or path.startswith(_MADE_UP):  # "-": a connector
            continue
        where = seat(device_path)
        names.setdefault(where, []).append(name)
        if where not in known and where not in elsewhere:
            elsewhere[where] = Device(where, device_path, read_attributes(host, device_path, ("uevent",)))
    return list(elsewhere.values()), names


def _nvidia(host: Host) -> Dict[str, str]:
    if not host.exists(NVIDIA):
        return {}
    texts = ((name, read_present(host, "%s/%s/information" % (NVIDIA, name))) for name in host.listdir(NVIDIA))
    return {name: text for name, text in texts if text is not None}


def parse(adapters: Adapters) -> Tuple[Rows, Rows, List[str]]:
    """Return the stable and the volatile rows by PCI address or place; and what is not known of which."""
    rows = pci.parse(list(adapters.on_pci), {})
    unknown: List[str] = []
    for device in adapters.on_pci:
        if device.name in rows:
            text = adapters.nvidia.get(device.name)
            found = _from_sysfs(device) if text is None else _from_nvidia(text)
            unknown += ["%s of %s" % (field, device.name) for field, value in found.items() if value is None]
            rows[device.name].update((field, value) for field, value in found.items() if value is not None)
    volatile: Rows = {key: {"names": sorted(adapters.names.get(_PLACE + key, []))} for key in rows}
    for device in adapters.elsewhere:
        rows[device.name] = _elsewhere(device)
        volatile[device.name] = {"names": sorted(adapters.names.get(device.name, []))}
    return rows, volatile, unknown


def _from_sysfs(device: Device) -> Row:
    found = device.attributes
    row: Row = {field: found[name] for field, name in _TEXTS if name in found}
    sizes = [device.number(name) or 0 for name in _MEMORY if name in found]
    if sum(sizes):
        row["memory"] = sum(sizes)
    return row


def _from_nvidia(text: str) -> Row:
    """Return the fields of a file of "Name: value" lines, None for those that the driver does not know now."""
    pairs = (line.partition(":") for line in text.split("\n"))
    found = {name.strip(): value.strip() for name, _, value in pairs}
    values = ((field, found.get(name, "")) for field, name in _NVIDIA_TEXTS)
    return {field: None if _UNKNOWN in value or not value else value for field, value in values}


def _elsewhere(device: Device) -> Row:
    event = uevent(device.attributes.get("uevent"))
    row: Row = {"driver": event.get("DRIVER")}
    if "OF_COMPATIBLE_0" in event:
        row["model"] = event["OF_COMPATIBLE_0"]
    return row


COLLECTOR = Collector(
    "hardware.gpu",
    key="PCI address (domain:bus:device.function), or the place of what is built in or on USB",
    collect=collect,
    deadline=5,
    fields=dict(
        {name: text for name, text in pci.COLLECTOR.fields.items() if name != "slot"},
        model="model, as the driver knows it; of what is built in, as the device tree calls it",
        part_number="the maker's part number",
        serial="serial number of the card",
        unique_id="the chip's own id",
        vbios="version of the video BIOS",
        memory="bytes of the adapter's own memory; of one in a processor: what the firmware has set aside for it",
    ),
    volatile={"names": "what the kernel calls it: given anew at each start"},
)
