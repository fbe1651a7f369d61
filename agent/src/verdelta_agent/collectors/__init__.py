"""Every section that the agent collects, in the order in which they are read."""

from typing import Tuple

from ..model import Collector
from .hardware import block, cpu, memory, network, pci, smbios
from .software import dpkg, pip, rpm
from .system import files, groups, kernel, modules, mounts, operating_system, sockets, sysctl, units, users

COLLECTORS: Tuple[Collector, ...] = (
    cpu.COLLECTOR,
    memory.COLLECTOR,
    block.COLLECTOR,
    network.COLLECTOR,
    pci.COLLECTOR,
    smbios.COLLECTOR,
    dpkg.COLLECTOR,
    rpm.COLLECTOR,
    pip.COLLECTOR,
    operating_system.COLLECTOR,
    kernel.COLLECTOR,
    modules.COLLECTOR,
    sysctl.COLLECTOR,
    mounts.COLLECTOR,
    sockets.COLLECTOR,
    users.COLLECTOR,
    groups.COLLECTOR,
    units.COLLECTOR,
    files.COLLECTOR,
)
