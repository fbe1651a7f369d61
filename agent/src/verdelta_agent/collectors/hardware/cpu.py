"""Processors: one row a package (socket), one for the machine, one for each known vulnerability.

Source of the format: proc(5) "/proc/cpuinfo", which each architecture writes in its own words, and
Documentation/ABI/testing/sysfs-devices-system-cpu of the Linux kernel.  Clock rates and BogoMIPS move all the time and
are left out.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ...host import Host
from ...model import OK, Collector, Row, Rows, Section
from .sysfs import read_attributes

SYSTEM = "/sys/devices/system"
VULNERABILITIES = SYSTEM + "/cpu/vulnerabilities"

# field -> what x86, ARM, POWER, s390x, RISC-V and LoongArch call it
_NAMES: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("vendor", ("vendor_id", "CPU implementer", "mvendorid")),
    ("model", ("model name", "Model Name", "cpu", "uarch")),
    ("family", ("cpu family", "CPU Family", "CPU architecture")),
    ("model_number", ("model", "CPU part", "marchid")),
    ("stepping", ("stepping", "CPU revision", "revision", "mimpid")),
    ("variant", ("CPU variant",)),
    ("microcode", ("microcode",)),
    ("flags", ("flags", "Features", "features", "isa")),
)
_NUMBER = ("processor", "cpu number")
_PACKAGE = ("physical id", "package")
_CORE = ("core id", "core")


class Processor(NamedTuple):
    """One logical processor: what /proc/cpuinfo says of it, and where it sits."""

    number: str
    package: str
    core: str
    text: str


def collect(host: Host) -> Section:
    """Always there; without sysfs, only what /proc/cpuinfo says."""
    cpuinfo = host.read("/proc/cpuinfo")
    places = {} if _has_places(cpuinfo) else _places(host, cpuinfo)
    names = ("cpu/present", "cpu/offline", "cpu/smt/control", "node/online")
    system = read_attributes(host, SYSTEM, names)
    return Section(OK, parse(cpuinfo, places, system, _vulnerabilities(host)), {})


def _vulnerabilities(host: Host) -> Dict[str, str]:
    try:
        names = host.listdir(VULNERABILITIES)
    except FileNotFoundError:
        return {}
    return read_attributes(host, VULNERABILITIES, names)


def _has_places(cpuinfo: str) -> bool:
    return any(_line("\n" + cpuinfo, name) for name in _PACKAGE)


def _places(host: Host, cpuinfo: str) -> Dict[str, Tuple[str, str]]:
    """Return number -> (package, core) from sysfs, where /proc/cpuinfo does not say it: two files a processor."""
    places = {}
    for number in (processor.number for processor in _processors(cpuinfo, {})):
        directory = "%s/cpu/cpu%s/topology" % (SYSTEM, number)
        found = read_attributes(host, directory, ("physical_package_id", "core_id"))
        places[number] = (found.get("physical_package_id", "0"), found.get("core_id", number))
    return places


def parse(
    cpuinfo: str, places: Mapping[str, Tuple[str, str]], system: Mapping[str, str], vulnerabilities: Mapping[str, str]
) -> Rows:
    """Return "package N" -> the processor in that socket, "machine" -> sums, "vulnerability NAME" -> its state.

    `places` gives package and core of the processors of which cpuinfo does not say it.
    """
    processors = _processors(cpuinfo, places)
    if not processors:
        raise ValueError("/proc/cpuinfo has no processor in it")
    packages: Dict[str, List[Processor]] = {}
    for processor in processors:
        packages.setdefault(processor.package, []).append(processor)
    common = "\n%s\n" % cpuinfo.partition("\n\n")[0]  # s390x says there, once, what is true of all of them
    rows = {"package %s" % package: _package(members, common) for package, members in packages.items()}
    rows["machine"] = {
        "packages": len(packages),
        "cores": sum(row["cores"] for row in rows.values()),
        "threads": len(processors),
        "present": system.get("cpu/present"),
        "offline": system.get("cpu/offline"),
        "smt": system.get("cpu/smt/control"),
        "numa_nodes": system.get("node/online"),
    }
    rows.update(("vulnerability %s" % name, {"state": state}) for name, state in vulnerabilities.items())
    return rows


def _processors(cpuinfo: str, places: Mapping[str, Tuple[str, str]]) -> List[Processor]:
    processors = []
    for text in ("\n%s\n" % block for block in cpuinfo.split("\n\n")):
        number = _first(text, _NUMBER)
        if number is not None:
            package, core = places.get(number, ("0", number))
            package, core = _first(text, _PACKAGE) or package, _first(text, _CORE) or core
            processors.append(Processor(number, package, core, text))
    return processors


def _package(members: Sequence[Processor], common: str) -> Row:
    row: Row = {"cores": len({member.core for member in members}), "threads": len(members)}
    for field, names in _NAMES:
        values = _values(members, names) or [value for value in [_first(common, names)] if value]
        if field == "flags":
            shared = [set(value.split()) for value in values]
            row["flags"] = sorted(set.intersection(*shared)) if shared else []
        elif values:
            row[field] = ", ".join(values)  # more than one: big and little cores, or a microcode update half done
    return row


def _values(members: Sequence[Processor], names: Sequence[str]) -> List[str]:
    """Return the different values that the processors have, sorted.

    Hundreds of processors say the same: to look for the first one's line in the others costs a tenth of reading theirs.
    """
    lines = (_line(members[0].text, name) for name in names)
    line = next((line for line in lines if line), None)
    if line is not None and all(line in member.text for member in members):
        values = {line.partition(":")[2].strip()}
    else:
        values = {_first(member.text, names) or "" for member in members}
    return sorted(value for value in values if value)


def _first(text: str, names: Sequence[str]) -> Optional[str]:
    lines = (_line(text, name) for name in names)
    values = (line.partition(":")[2].strip() for line in lines if line)
    return next((value for value in values if value), None)


def _line(text: str, name: str) -> Optional[str]:
    """Return the line, with its line ends, that starts with `name`, white space and a colon, or None."""
    start = text.find("\n" + name)
    while start >= 0:
        end = text.find("\n", start + 1)
        line = text[start : end + 1] if end >= 0 else text[start:]
        label, colon, _ = line.partition(":")
        if colon and label.strip() == name:
            return line
        start = text.find("\n" + name, end) if end >= 0 else -1
    return None


COLLECTOR = Collector(
    "hardware.cpu",
    key='"package" number, "machine", or "vulnerability" name',
    collect=collect,
    deadline=5,
    fields={
        "vendor": "vendor's name, or its number where the architecture knows numbers only",
        "model": "model name",
        "family": "family, or architecture version",
        "model_number": "model or part number within the family",
        "stepping": "stepping or revision",
        "variant": "variant, on ARM",
        "microcode": "microcode version in use",
        "cores": "cores that are online",
        "threads": "logical processors that are online",
        "flags": "features that all processors of the package have, sorted",
        "packages": "sockets with a processor that is online",
        "present": "numbers of the logical processors that are plugged in",
        "offline": "numbers of those that are switched off",
        "smt": "simultaneous multithreading: on, off, forceoff, notsupported",
        "numa_nodes": "numbers of the memory nodes",
        "state": "what the kernel says of the vulnerability: Not affected, Vulnerable, Mitigation …",
    },
)
