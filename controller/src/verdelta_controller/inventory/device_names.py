"""Names of PCI and USB devices, from the lists of ids that Linux systems carry: shown beside a row, never in it.

Source of the format: the heads of pci.ids (https://pci-ids.ucw.cz) and usb.ids (http://www.linux-usb.org/usb-ids.html).
Names are looked up when a row is shown, so that a newer list changes no digest, no delta and no evidence.  An id that
is not in the list, or in one that is not understood, has no name: a wrong one would be worse.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

Names = dict[str, str]  # field of a row -> the name of its value

PCI, USB = "pci.ids", "usb.ids"
LISTS = {"hardware.pci": PCI, "hardware.gpu": PCI, "hardware.usb": USB}
SIZE = 16 << 20  # bytes of a list; pci.ids has 1.5 million, usb.ids half of that
ENTRIES = 100_000  # vendors and classes of a list; there are some 4,000
KEPT = 4_096  # names that were looked for: hosts have the same devices again and again
LENGTH = 200  # characters of a name

_TOP = re.compile(rb"^[^\t#\r\n][^\n]*\n", re.MULTILINE)
_NEXT = re.compile(rb"\n\t?[^\t#\r\n]")  # what ends the entries below a device: another device, or another vendor
_ID = re.compile(r"[0-9a-f]{4}")
_CLASS = re.compile(r"[0-9a-f]{6}")
_NO_VENDOR = "0000"  # of the subsystem of a device that has none

Block = tuple[int, int]  # where an entry begins, and where what is below it ends
Stamp = tuple[int, int, int]


class IdList:
    """One list: its bytes, and where each vendor and class is in them.  What is below is looked for when asked for.

    To read pci.ids takes 12 ms and 2 MB that way, and to find the five names of a row a tenth of a millisecond, once.
    """

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what has more entries than any list of ids."""
        self._data = data
        tops = [(top[0].partition(b"  ")[0], top.start()) for top in islice(_TOP.finditer(data), ENTRIES + 1)]
        if len(tops) > ENTRIES:
            raise ValueError("this is no list of ids")
        ends = [*(start for _, start in tops[1:]), len(data)]
        self._blocks: dict[bytes, Block] = {}
        for (code, start), end in zip(tops, ends, strict=False):
            self._blocks.setdefault(code, (start, end))
        self._known = lru_cache(KEPT)(self._find)

    def name(self, *codes: str) -> str:
        """Return the name of an entry by the codes on the way to it, or "".

        A vendor is "8086", a device of it "8086", "10d3", a subsystem of that "8086", "10d3", "8086 a01f"; a class is
        "C 02", and a subclass of it "C 02", "00".
        """
        return self._known(*codes)

    def _find(self, *codes: str) -> str:
        block = self._blocks.get(codes[0].encode())
        for depth, code in enumerate(codes[1:], 1):
            block = self._below(block, depth, code) if block else None
        return self._text(block[0] + len(codes) - 1 + len(codes[-1])) if block else ""

    def _below(self, block: Block, depth: int, code: str) -> Block | None:
        found = self._data.find(b"\n%s%s  " % (b"\t" * depth, code.encode()), *block)
        if found < 0:
            return None
        following = _NEXT.search(self._data, found + 1, block[1])
        return found + 1, following.start() + 1 if following else block[1]

    def _text(self, start: int) -> str:
        """Return the rest of a line.  One that does not end was cut off, and its name perhaps with it."""
        end = self._data.find(b"\n", start)
        said = self._data[start : min(end, start + 4 * LENGTH)] if end >= 0 else b""
        try:
            text = said.decode("utf-8")
        except UnicodeDecodeError:
            text = said.decode("latin-1")
        return text.strip()[:LENGTH]


def names_of(ids: IdList, section: str, row: Mapping[str, Any]) -> Names:
    """Return the names that a list has for the ids in a row."""
    found = _pci(ids, row) if LISTS[section] == PCI else _usb(ids, row)
    return {field: name for field, name in found if name}


def _pci(ids: IdList, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names as lspci has them: of a card that is sold as the chip itself, the subsystem is the device."""
    vendor, device = _code(row, "vendor"), _code(row, "device")
    maker, card = _code(row, "subsystem_vendor"), _code(row, "subsystem_device")
    kind = _code(row, "class", _CLASS)
    chip = ids.name(vendor, device)
    yield "vendor", ids.name(vendor)
    yield "device", chip
    if maker != _NO_VENDOR:
        itself = chip if (maker, card) == (vendor, device) else ""
        yield "subsystem_vendor", ids.name(maker)
        yield "subsystem_device", ids.name(vendor, device, f"{maker} {card}") or itself
    yield "class", ids.name(f"C {kind[:2]}", kind[2:4]) or ids.name(f"C {kind[:2]}")


def _usb(ids: IdList, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    vendor, device = _code(row, "vendor"), _code(row, "device")
    yield "vendor", ids.name(vendor)
    yield "device", ids.name(vendor, device)
    yield "class", ids.name(f"C {_code(row, 'class', _CLASS)[:2]}")


def _code(row: Mapping[str, Any], field: str, form: re.Pattern[str] = _ID) -> str:
    """Return an id of a row, or what no list has in its place: hosts say what they like."""
    said = row.get(field)
    return said if isinstance(said, str) and form.fullmatch(said) else "?"


class DeviceNames:
    """The lists of this system, each read when first asked for, and again when another one is in its place."""

    def __init__(self, folders: str) -> None:
        """The first of the folders, which have colons between them, that has a usable list is where it is read."""
        self._folders = [Path(folder) for folder in folders.split(":") if folder]
        self._read: dict[Path, tuple[Stamp, IdList | None]] = {}

    def of(self, section: str, row: Mapping[str, Any] | None) -> Names:
        """Return the names for the ids in a row; none for a section without ids, and where there is no list."""
        return self.of_rows(section, {"": row}).get("", {}) if row is not None else {}

    def of_rows(self, section: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Names]:
        """Return the names for the rows of a section that have any, by their keys."""
        ids = self._ids(LISTS[section]) if section in LISTS else None
        found = ((key, names_of(ids, section, row)) for key, row in rows.items()) if ids else ()
        return {key: names for key, names in found if names}

    def place(self, name: str) -> Path | None:
        """Return where a list is read, or None where there is no usable one."""
        return next((folder / name for folder in self._folders if self._list(folder / name)), None)

    def _ids(self, name: str) -> IdList | None:
        return next((ids for folder in self._folders if (ids := self._list(folder / name))), None)

    def _list(self, path: Path) -> IdList | None:
        """Return the list in a file, or None for what is none: not there, not readable, too large, not a file."""
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._read.get(path)
            if known is None or known[0] != stamp:
                ids = _load(path) if stat.S_ISREG(found.st_mode) else None
                known = self._read[path] = (stamp, ids)
            return known[1]
        except (OSError, ValueError):  # ValueError: a folder's name with a NUL in it
            return None


def _load(path: Path) -> IdList | None:
    with path.open("rb") as file:
        data = file.read(SIZE + 1)
    try:
        return IdList(data) if len(data) <= SIZE else None
    except ValueError:
        return None
