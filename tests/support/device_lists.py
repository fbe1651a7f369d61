"""Lists of device ids as pci.ids and usb.ids are, a few entries of each: for tests of the names that are shown."""

from pathlib import Path

PCI = """\
#
#	List of PCI ID's
#

# Syntax:
# vendor  vendor_name
#	device  device_name				<-- single tab
#		subvendor subdevice  subsystem_name	<-- two tabs

1af4  Red Hat, Inc.
	1041  Virtio 1.0 network device
# A word in between ends nothing
	1042  Virtio 1.0 block device
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection
		103c 1785  NC112i 1-port Ethernet Server Adapter
		8086 a01f  Gigabit CT Desktop Adapter
	1521  I350 Gigabit Network Connection
		8086 0001  Ethernet Server Adapter I350-T4
c0de  Motorola

# List of known device classes, subclasses and programming interfaces

C 02  Network controller
	00  Ethernet controller
C 0c  Serial bus controller
	03  USB controller
		30  XHCI
C ff  Unassigned class
"""

USB = """\
# Version: 2025.07.26

046d  Logitech, Inc.
	c534  Nano Receiver
1d6b  Linux Foundation
	0002  2.0 root hub

C 09  Hub
	00  Unused
		01  Single TT
L 0009  English
	01  US
HUT 01  Generic Desktop Controls
	002  Mouse
"""

NETWORK_CARD = {
    "vendor": "8086",
    "device": "10d3",
    "subsystem_vendor": "8086",
    "subsystem_device": "a01f",
    "class": "020000",
    "revision": "00",
    "driver": "e1000e",
}
NAMES_OF_NETWORK_CARD = {
    "vendor": "Intel Corporation",
    "device": "82574L Gigabit Network Connection",
    "subsystem_vendor": "Intel Corporation",
    "subsystem_device": "Gigabit CT Desktop Adapter",
    "class": "Ethernet controller",
}


def write(folder: Path) -> str:
    """Write both lists into a new folder, and return its name."""
    folder.mkdir()
    (folder / "pci.ids").write_text(PCI)
    (folder / "usb.ids").write_text(USB)
    return str(folder)
