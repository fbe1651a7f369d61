"""Memory controllers that detect errors, and the memory modules behind them, as the kernel's EDAC drivers see them.

Source of the format: Documentation/ABI/testing/sysfs-devices-edac of the Linux kernel.

A module is known by its place (channel and slot), since its label may be given anew by a service after the start.  A
driver counts by modules or, where it cannot, by their ranks.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section, absent
from .sysfs import has, number, read_attributes

DRIVERS = "/sys/devices/system/edac"
CONTROLLERS = DRIVERS + "/mc"

_CONTROLLER = ("mc_name", "size_mb", "max_location", "ce_count", "ue_count", "ce_noinfo_count", "ue_noinfo_count")
_MODULE = (
    "dimm_location",
    "dimm_label",
    "size",
    "dimm_mem_type",
    "dimm_dev_type",
    "dimm_edac_mode",
    "dimm_ce_count",
    "dimm_ue_count",
)
_NAME = re.compile(r"mc[0-9]+$")
_MODULE_NAME = re.compile(r"(?:dimm|rank)[0-9]+$")


class Controller(NamedTuple):
    """One directory mc0: its name, its files, and the files of the directories dimm0 or rank0 in it, by name."""

    name: str
    files: Dict[str, str]
    modules: Dict[str, Dict[str, str]]


def collect(host: Host) -> Section:
    """Absent where no driver for a memory controller is loaded."""
    if not (has(host, DRIVERS) and has(host, CONTROLLERS)):
        return absent()
    controllers = [_read(host, name) for name in host.listdir(CONTROLLERS) if _NAME.match(name)]
    return Section(OK, *parse(controllers)) if controllers else absent("no driver has found a memory controller")


def _read(host: Host, name: str) -> Controller:
    directory = "%s/%s" % (CONTROLLERS, name)
    inside = [module for module in host.listdir(directory) if _MODULE_NAME.match(module)]
    modules = {module: read_attributes(host, "%s/%s" % (directory, module), _MODULE) for module in inside}
    return Controller(name, read_attributes(host, directory, _CONTROLLER), modules)


def parse(controllers: Sequence[Controller]) -> Tuple[Rows, Rows]:
    """Return the stable rows and the counts of errors: mc0, and "mc0 channel 0 slot 1" for what is behind it."""
    rows: Rows = {}
    volatile: Rows = {}
    for name, files, modules in controllers:
        rows[name] = {
            "model": files.get("mc_name"),
            "size": _bytes(files.get("size_mb")),
            "last_slot": files.get("max_location"),
        }
        volatile[name] = {
            "corrected": number(files.get("ce_count")),
            "uncorrected": number(files.get("ue_count")),
            "corrected_elsewhere": number(files.get("ce_noinfo_count")),
            "uncorrected_elsewhere": number(files.get("ue_noinfo_count")),
        }
        for key, found in _placed(modules):
            rows["%s %s" % (name, key)] = _module(found)
            volatile["%s %s" % (name, key)] = {
                "corrected": number(found.get("dimm_ce_count")),
                "uncorrected": number(found.get("dimm_ue_count")),
            }
    return rows, volatile


def _placed(modules: Dict[str, Dict[str, str]]) -> List[Tuple[str, Dict[str, str]]]:
    """Return the modules with their places, or with their names where a driver gives several one place."""
    places = {name: " ".join(found.get("dimm_location", "").split()) for name, found in modules.items()}
    seen = list(places.values())
    return [
        (places[name] if places[name] and seen.count(places[name]) == 1 else name, found)
        for name, found in modules.items()
    ]


def _module(found: Dict[str, str]) -> Row:
    return {
        "label": found.get("dimm_label"),
        "size": _bytes(found.get("size")),
        "type": found.get("dimm_mem_type"),
        "chips": found.get("dimm_dev_type"),
        "error_correction": found.get("dimm_edac_mode"),
    }


def _bytes(megabytes: Optional[str]) -> Optional[int]:
    count = number(megabytes)
    return None if count is None else count << 20


COLLECTOR = Collector(
    "hardware.edac",
    key="the controller's name, with channel and slot (or rank) of a module after it",
    collect=collect,
    deadline=5,
    fields={
        "model": "memory controller, as its driver calls it",
        "size": "bytes behind a controller, or of a module or rank",
        "last_slot": "place of the last slot that a controller can have",
        "label": "name of the slot on the board, where somebody has told the kernel",
        "type": "of the memory: Registered-DDR4, Unbuffered-DDR5 …",
        "chips": "width of the chips: x4, x8 …",
        "error_correction": "how errors are corrected: None, SECDED, S4ECD4ED …",
    },
    volatile={
        "corrected": "errors that were corrected: counts since the driver was loaded",
        "uncorrected": "errors that were not corrected: counts since the driver was loaded",
        "corrected_elsewhere": "corrected errors in a place that is not known: counts since the driver was loaded",
        "uncorrected_elsewhere": "the same of errors that were not corrected: counts since the driver was loaded",
    },
)
