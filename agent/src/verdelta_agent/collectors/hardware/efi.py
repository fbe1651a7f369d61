"""The variables of UEFI firmware that say what a machine starts, and whose signature that needs.

Source of the format: UEFI specification 2.10, sections 3.1.3 (load options), 3.3 (variables), 10.3 (device paths) and
32.4.1 (signature databases); Documentation/filesystems/efivarfs.rst of the Linux kernel.
"""

import hashlib
import re
from typing import List, NamedTuple, Optional, Tuple

from ...model import Row

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"

BOOT_ENTRY = re.compile(r"Boot([0-9A-F]{4})-%s$" % GLOBAL)
ATTRIBUTES = 4  # bytes that efivarfs puts before a variable's content

_ACTIVE, _HIDDEN = 1, 8
_MEDIA, _HARD_DRIVE, _FILE_PATH = 4, 1, 4
_GPT = 2
_END = 0x7F
_CERTIFICATE = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
_LISTS = 10000  # in one database; the largest real one has some hundreds


class LoadOption(NamedTuple):
    """What a Boot#### variable says: its name for people, and what is started from where."""

    attributes: int
    description: str
    path: bytes
    partition: Optional[str]
    loader: Optional[str]


def parse_flag(data: Optional[bytes]) -> Optional[bool]:
    """Return the content of a variable of one byte, or None where the firmware has no such variable."""
    return data[0] == 1 if data else None


def parse_order(data: bytes) -> List[str]:
    """Return the numbers of the boot entries, as they are written in their names, in the order of BootOrder."""
    return ["%04X" % int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data) - 1, 2)]


def parse_load_option(data: bytes) -> LoadOption:
    """Return what a Boot#### variable says.  Raises ValueError when it breaks off."""
    length = int.from_bytes(data[4:6], "little")
    end = next((at for at in range(6, len(data) - 1, 2) if data[at : at + 2] == b"\0\0"), -1)
    path = data[end + 2 : end + 2 + length]
    if end < 0 or len(path) != length:
        raise ValueError("a load option of %d bytes breaks off" % len(data))
    nodes = _nodes(path)
    return LoadOption(
        int.from_bytes(data[:4], "little"),
        text(data[6:end]),
        path,
        next((_partition(node[4:]) for node in nodes if node[:2] == bytes((_MEDIA, _HARD_DRIVE))), None),
        "".join(text(node[4:]) for node in nodes if node[:2] == bytes((_MEDIA, _FILE_PATH))) or None,
    )


def _nodes(path: bytes) -> List[bytes]:
    """Return the nodes of the first device path: type, subtype, two bytes of length, content."""
    nodes = []
    while len(path) >= 4 and path[0] != _END:
        length = int.from_bytes(path[2:4], "little")
        if not 4 <= length <= len(path):
            raise ValueError("a device path breaks off")
        nodes.append(path[:length])
        path = path[length:]
    return nodes


def _partition(node: bytes) -> Optional[str]:
    """Return the GUID of a partition of a GPT disk."""
    return guid(node[20:36]) if len(node) >= 38 and node[37] == _GPT else None


def text(data: bytes) -> str:
    """Return text of 16-bit characters up to its end; what is no UTF-16 becomes an escape."""
    return data.decode("utf-16-le", "backslashreplace").partition("\0")[0].strip()


def guid(data: bytes) -> str:
    """Return 16 bytes as a GUID is written: its first three fields are little-endian."""
    digits = (data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:]).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def boot_entry(data: bytes) -> Row:
    """Return the row of a Boot#### variable; of one that breaks off it has the digest alone."""
    try:
        option = parse_load_option(data)
    except ValueError:
        return {"description": None, "path_sha256": hashlib.sha256(data).hexdigest()}
    return {
        "description": option.description,
        "active": bool(option.attributes & _ACTIVE),
        "hidden": bool(option.attributes & _HIDDEN),
        "partition": option.partition,
        "loader": option.loader,
        "path_sha256": hashlib.sha256(option.path).hexdigest(),
    }


def key_database(data: bytes) -> Row:
    """Return the row of PK, KEK, db, dbx or one of shim's lists.

    A database that does not follow the standard has its digest, and no counts.
    """
    row: Row = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    row["certificates"], row["hashes"] = _count_signatures(data) or (None, None)
    return row


def _count_signatures(data: bytes) -> Optional[Tuple[int, int]]:
    """Return how many certificates and hashes the signature lists hold, or None where these are broken."""
    certificates = hashes = at = 0
    for _ in range(_LISTS):
        if at == len(data):
            return certificates, hashes
        length, header, size = (int.from_bytes(data[at + field : at + field + 4], "little") for field in (16, 20, 24))
        if not 28 + header <= length <= len(data) - at or not size:
            return None
        count = (length - 28 - header) // size
        if guid(data[at : at + 16]) == _CERTIFICATE:
            certificates += count
        else:
            hashes += count
        at += length
    return None
