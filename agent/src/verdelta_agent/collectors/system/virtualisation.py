"""What kind of machine this is: hardware, a virtual machine, a container.  In the words of systemd-detect-virt(1).

Source of the signs: systemd's src/basic/virt.c, as far as they can be read from files.
"""

from typing import Optional, Tuple

from ...host import Host

DMI = "/sys/class/dmi/id/"
DMI_FILES = ("product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version")
# How a firmware's text begins -> what made it; the first that fits.
DMI_MAKERS: Tuple[Tuple[str, str], ...] = (
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
)
DEVICE_TREE = "/proc/device-tree"  # instead of DMI, or beside it, on Arm, POWER and RISC-V
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
CLOCK_MAKERS = (("kvm-clock", "kvm"), ("hyperv_clocksource", "microsoft"), ("xen", "xen"))

NONE = "none"
UNNAMED = "vm-other"


def detect(host: Host) -> str:
    """Return the name of the container manager, else of the hypervisor, else "none"."""
    return _container(host) or _machine(host) or NONE


def _container(host: Host) -> Optional[str]:
    named = host.read_or_none("/run/systemd/container")
    if named:
        return named
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if host.exists(path):
            return name
    release = host.read_or_none("/proc/sys/kernel/osrelease") or ""
    return "wsl" if "Microsoft" in release or "WSL" in release else None


def _machine(host: Host) -> Optional[str]:
    """Return the hypervisor.  The clocks go first: they tell KVM from QEMU's own emulation, as firmware does not."""
    if "control_d" in (host.read_or_none("/proc/xen/capabilities") or ""):
        return None  # Xen's own domain runs on the hardware
    clocks = host.read_or_none(CLOCKS) or ""
    maker = _firmware(host)
    if maker in (None, "qemu"):
        maker = next((name for clock, name in CLOCK_MAKERS if clock in clocks), maker)
    return maker or host.read_or_none("/sys/hypervisor/type") or _unnamed(host)


def _firmware(host: Host) -> Optional[str]:
    texts = [text for text in (host.read_or_none(DMI + name) for name in DMI_FILES) if text]
    found = (name for text in texts for start, name in DMI_MAKERS if text.startswith(start))
    return next(found, None) or _device_tree(host)


def _device_tree(host: Host) -> Optional[str]:
    try:
        nodes = host.listdir(DEVICE_TREE)
    except OSError:
        return None
    hypervisor = host.read_or_none(DEVICE_TREE + "/hypervisor/compatible") or ""
    if "linux,kvm" in hypervisor or "xen" in hypervisor:
        return "kvm" if "linux,kvm" in hypervisor else "xen"
    if any("fw-cfg" in node for node in nodes):  # by which QEMU hands over what firmware would know
        return "qemu"
    return UNNAMED if "linux,dummy-virt" in (host.read_or_none(DEVICE_TREE + "/compatible") or "") else None


def _unnamed(host: Host) -> Optional[str]:
    """Return a name for a hypervisor that only the processor's flags betray."""
    return UNNAMED if " hypervisor" in (host.read_or_none("/proc/cpuinfo") or "") else None
