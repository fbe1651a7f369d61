"""The hardware of a host, and changing it.

Disks and interfaces come and go at once.  Memory, serial numbers and modules change as they do in a machine room:
they are seen after the host's next start.
"""

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import smbios
from .commands import LabError, run
from .smbios import Board, Dimm

DISK_PLACE = "ata{n}/host{n}/target{n}:0:0/{n}:0:0:0"


class Hardware:
    """What is screwed into one host.  Everything is kept in one folder, which boot.py mounts into place."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._disks: dict[str, tuple[int, int]] = {}
        self._loops: list[str] = []
        dimms = (Dimm(8192, f"{name}-D1", "A1"), Dimm(8192, f"{name}-D2", "A2"))
        self._factory = Board(f"LAB-{name}", uuid.uuid4(), dimms)
        self.board = self._factory
        for part in ("raw", "work", "sys/devices/lab", "disks/devices", "disks/block", "disks/class/block"):
            (folder / part).mkdir(parents=True)
        self.undo()

    @property
    def disk_nodes(self) -> Path:
        """The device numbers of every disk by name, for the next boot."""
        return self.folder / "disk-nodes.json"

    @property
    def partitions(self) -> Path:
        return self.folder / "partitions"

    @property
    def meminfo(self) -> Path:
        return self.folder / "meminfo"

    def add_disk(self, megabytes: int, serial: str, model: str, live_dev: Path | None) -> str:
        """Plug in a disk of zeroes that is really there; return its name.  `live_dev` is the /dev of a running host."""
        name = f"sd{chr(ord('a') + len(self._disks))}"
        backing = self.folder / f"{name}.img"
        with backing.open("wb") as file:
            file.truncate(megabytes << 20)
        loop = run(["losetup", "--find", "--show", backing]).stdout.strip()
        self._loops.append(loop)
        device = Path(loop).stat().st_rdev
        self._disks[name] = (os.major(device), os.minor(device))
        self._write_nodes()
        self._show_disk(name, megabytes, serial, model)
        if live_dev:
            os.mknod(live_dev / name, 0o060660, device)
        return name

    def set_memory(self, megabytes: int) -> None:
        """Let /proc/meminfo tell of another size, all of its figures in proportion."""
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        wanted, total = megabytes * 1024, int(lines[0][1])
        text = [f"{name:<16}{int(value) * wanted // total if unit else int(value):>8}{' kB' if unit else ''}"
                for name, value, *unit in lines]  # fmt: skip
        self.meminfo.write_text("\n".join(text) + "\n")

    def set_smbios(self, **changes: str | int | uuid.UUID | Sequence[Dimm]) -> None:
        """Change fields of the board: see smbios.Board."""
        try:
            self.board = replace(self.board, **changes)  # type: ignore[arg-type]
        except TypeError as e:
            raise LabError(f"no such field of an SMBIOS board: {e}") from e
        smbios.write(self.board, self.folder / "sys")

    def undo(self, live_dev: Path | None = None) -> None:
        """As it left the factory."""
        for name in self._disks:
            if live_dev:
                (live_dev / name).unlink(missing_ok=True)
            (self.folder / "disks/block" / name).unlink(missing_ok=True)
            (self.folder / "disks/class/block" / name).unlink(missing_ok=True)
            (self.folder / f"{name}.img").unlink(missing_ok=True)
        for entry in (self.folder / "disks/devices").iterdir():
            shutil.rmtree(entry)
        for loop in self._loops:
            run(["losetup", "--detach", loop])
        self._disks.clear()
        self._loops.clear()
        self._write_nodes()
        self.meminfo.unlink(missing_ok=True)
        self.board = self._factory
        smbios.write(self.board, self.folder / "sys")

    def _write_nodes(self) -> None:
        self.disk_nodes.write_text(json.dumps(self._disks))
        sizes = ((name, (self.folder / f"{name}.img").stat().st_size >> 10) for name in self._disks)
        rows = (f"{self._disks[name][0]:4} {self._disks[name][1]:8} {size:10} {name}\n" for name, size in sizes)
        self.partitions.write_text(f"major minor  #blocks  name\n\n{''.join(rows)}")  # in place: it may be mounted

    def _show_disk(self, name: str, megabytes: int, serial: str, model: str) -> None:
        """The files that a SCSI disk has below /sys."""
        place = DISK_PLACE.format(n=len(self._disks) - 1)
        device = self.folder / "disks/devices" / place
        major, minor = self._disks[name]
        files = {
            "vendor": "ATA     ",
            "model": f"{model:<16}",
            "rev": "1.0 ",
            "type": "0",
            "state": "running",
            "serial": serial,
            "wwid": f"t10.ATA     {model:<40}{serial:>20}",
            f"block/{name}/size": str(megabytes << 11),
            f"block/{name}/dev": f"{major}:{minor}",
            f"block/{name}/ro": "0",
            f"block/{name}/removable": "0",
            f"block/{name}/queue/rotational": "0",
            f"block/{name}/queue/logical_block_size": "512",
            f"block/{name}/queue/physical_block_size": "4096",
            f"block/{name}/uevent": f"MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\nDEVTYPE=disk",
        }
        for path, text in files.items():
            (device / path).parent.mkdir(parents=True, exist_ok=True)
            (device / path).write_text(f"{text}\n")
        (device / "vpd_pg80").write_bytes(b"\0\x80" + len(serial).to_bytes(2, "big") + serial.encode())
        (device / f"block/{name}/device").symlink_to("../..")
        target = f"devices/lab/{place}/block/{name}"
        (self.folder / "disks/block" / name).symlink_to(f"../{target}")
        (self.folder / "disks/class/block" / name).symlink_to(f"../../{target}")
