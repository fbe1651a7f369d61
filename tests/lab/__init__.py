"""A lab of real hosts on one machine: systemd, sshd, package managers, hardware that changes, power that fails."""

from .commands import LabError
from .host import LabHost
from .lab import Lab
from .requirements import why_not
from .smbios import Dimm

__all__ = ["Dimm", "Lab", "LabError", "LabHost", "why_not"]
