"""The names that the SMBIOS standard gives to numbers.

Source of the format: DMTF DSP0134 (SMBIOS reference specification) 3.7, sections 7.4.1, 7.5, 7.8, 7.10.3, 7.17 and
7.18.
"""

from typing import List, Optional, Sequence


def named(names: Sequence[str], number: Optional[int]) -> Optional[str]:
    """Return the name of a value from 1 on, the value itself where it is newer than this list, or None for none."""
    if not number:
        return None
    return names[number - 1] if number <= len(names) else "0x%02x" % number


def _list(text: str) -> List[str]:
    return text.split(", ")


CHASSIS = _list(
    "Other, Unknown, Desktop, Low Profile Desktop, Pizza Box, Mini Tower, Tower, Portable, Laptop, Notebook, "
    "Hand Held, Docking Station, All In One, Sub Notebook, Space-saving, Lunch Box, Main Server Chassis, "
    "Expansion Chassis, Sub Chassis, Bus Expansion Chassis, Peripheral Chassis, RAID Chassis, Rack Mount Chassis, "
    "Sealed-case PC, Multi-system, CompactPCI, AdvancedTCA, Blade, Blade Enclosing, Tablet, Convertible, Detachable, "
    "IoT Gateway, Embedded PC, Mini PC, Stick PC"
)
FORM_FACTOR = _list(
    "Other, Unknown, SIMM, SIP, Chip, DIP, ZIP, Proprietary Card, DIMM, TSOP, Row Of Chips, RIMM, SODIMM, SRIMM, "
    "FB-DIMM, Die, CAMM"
)
MEMORY_TYPE = _list(
    "Other, Unknown, DRAM, EDRAM, VRAM, SRAM, RAM, ROM, Flash, EEPROM, FEPROM, EPROM, CDRAM, 3DRAM, SDRAM, SGRAM, "
    "RDRAM, DDR, DDR2, DDR2 FB-DIMM, 0x15, 0x16, 0x17, DDR3, FBD2, DDR4, LPDDR, LPDDR2, LPDDR3, LPDDR4, "
    "Logical non-volatile device, HBM, HBM2, DDR5, LPDDR5, HBM3"
)
ERROR_CORRECTION = _list("Other, Unknown, None, Parity, Single-bit ECC, Multi-bit ECC, CRC")
ARRAY_USE = _list("Other, Unknown, System Memory, Video Memory, Flash Memory, Non-volatile RAM, Cache Memory")
SLOT_USAGE = _list("Other, Unknown, Available, In Use, Unavailable")
PROCESSOR_STATUS = _list(  # from 0, unlike the others
    "Unknown, Enabled, Disabled By User, Disabled By BIOS, Idle, Reserved, Reserved, Other"
)
CACHE_TYPE = _list("Other, Unknown, Instruction, Data, Unified")
CACHE_ERROR_CORRECTION = _list("Other, Unknown, None, Parity, Single-bit ECC, Multi-bit ECC")
ASSOCIATIVITY = _list(
    "Other, Unknown, Direct Mapped, 2-way Set-associative, 4-way Set-associative, Fully Associative, "
    "8-way Set-associative, 16-way Set-associative, 12-way Set-associative, 24-way Set-associative, "
    "32-way Set-associative, 48-way Set-associative, 64-way Set-associative, 20-way Set-associative"
)
