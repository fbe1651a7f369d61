"""Every section that the agent collects, in the order in which they are read.

A section's name is the path of its file: software.dpkg is collectors/software/dpkg.py.  A file is imported when its
section is read, since imports are half of what an audit costs: what a host does not have costs a look at a path.
"""

from typing import NamedTuple, Tuple

from ..model import Collector


class Entry(NamedTuple):
    """One section.

    `needs` are the paths of which one has to be there for the section to be anything but absent; with none named, the
    collector itself finds out.  A `live` section shows the running system: an offline tree has no such thing.
    """

    name: str
    needs: Tuple[str, ...] = ()
    live: bool = False

    def load(self) -> Collector:
        """Return the collector, importing its file."""
        from importlib import import_module

        collector: Collector = import_module("%s.%s" % (__name__, self.name)).COLLECTOR
        return collector


SECTIONS: Tuple[Entry, ...] = (
    Entry("hardware.cpu", live=True),
    Entry("hardware.memory", live=True),
    Entry("hardware.numa", ("/sys/devices/system/node",), live=True),
    Entry("hardware.block", ("/sys/class/block",), live=True),
    Entry("hardware.filesystems", ("/sys/class/block",), live=True),
    Entry("hardware.network", ("/sys/class/net",), live=True),
    Entry("hardware.pci", ("/sys/bus/pci",), live=True),
    Entry("hardware.usb", ("/sys/bus/usb",), live=True),
    Entry("hardware.gpu", ("/sys/bus/pci", "/sys/class/drm"), live=True),
    Entry("hardware.display", ("/sys/class/drm",), live=True),
    Entry("hardware.sensors", ("/sys/class/hwmon",), live=True),
    Entry("hardware.smbios", ("/sys/firmware/dmi/tables", "/sys/class/dmi/id"), live=True),
    Entry(
        "hardware.firmware",
        ("/sys/firmware/efi", "/sys/firmware/dmi", "/sys/firmware/devicetree/base", "/sys/class/tpm"),
        live=True,
    ),
    Entry("hardware.edac", ("/sys/devices/system/edac/mc",), live=True),
    Entry("hardware.power", ("/sys/class/power_supply",), live=True),
    Entry("hardware.ipmi", ("/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0"), live=True),
    Entry("software.dpkg", ("/var/lib/dpkg/status",)),
    Entry("software.rpm", ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")),
    Entry("software.apk", ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")),
    Entry("software.pacman", ("/var/lib/pacman/local",)),
    Entry("software.snap", ("/var/lib/snapd/state.json", "/snap", "/var/lib/snapd/snap")),
    Entry("software.flatpak", ("/var/lib/flatpak", "/etc/flatpak/installations.d")),
    Entry("software.pip"),
    Entry("software.npm"),
    Entry("software.gem"),
    Entry("software.docker", ("/var/lib/docker", "/etc/docker/daemon.json")),
    Entry("software.podman", ("/var/lib/containers/storage", "/etc/containers/storage.conf")),
    Entry(
        "software.containerd",
        ("/var/lib/containerd", "/etc/containerd/config.toml", "/var/lib/rancher", "/var/lib/docker/containerd"),
    ),
    Entry("software.repositories"),
    Entry("software.certificates"),
    Entry("system.host"),
    Entry("system.kernel"),
    Entry("system.modules", ("/proc/modules",), live=True),
    Entry("system.sysctl", ("/proc/sys",), live=True),
    Entry("system.mounts"),
    Entry("system.fstab", ("/etc/fstab", "/etc/crypttab")),
    Entry("system.sockets", ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"), live=True),
    Entry("system.network", ("/proc/net/dev",), live=True),
    Entry(
        "system.firewall",
        ("/proc/net/netfilter", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names", "/sys/module/nf_tables"),
        live=True,
    ),
    Entry("system.users", ("/etc/passwd",)),
    Entry("system.groups", ("/etc/group",)),
    Entry("system.sudoers", ("/etc/sudoers", "/usr/etc/sudoers", "/etc/doas.conf", "/etc/doas.d")),
    Entry("system.authorized_keys", ("/etc/passwd",)),
    Entry("system.sshd", ("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")),
    Entry("system.limits"),
    Entry("system.cron"),
    Entry("system.units"),
    Entry("system.files"),
)
