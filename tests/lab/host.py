"""One host of the lab, as a test sees it."""

import os
import secrets
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from . import cgroups, kernel, network
from .beside import Beside
from .commands import LabError, run
from .hardware import Hardware
from .image import SNMP
from .instance import Instance
from .power import Power
from .smbios import Dimm


class LabHost:
    """A host with its own processes, network, package database and hardware.

    Its identity (host key, machine id, serial number) outlives reboots and reset().
    """

    def __init__(self, instance: Instance, name: str, family: str, address: str, lower: Path, beside: Beside) -> None:
        self.name = name
        self.family = family
        self.address = address
        self.machine_id = uuid.uuid4().hex
        self._lower = lower
        self._beside = beside
        self._folder = instance.state / "hosts" / name
        self._folder.mkdir(parents=True)
        self._disk = self._folder / "root"
        self._cgroup = instance.cgroup / name
        self._cable = network.Cable(instance.name, name, address)
        self._hardware = Hardware(self._folder / "hardware", name)
        key = self._folder / "host_key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key])
        self.host_key = " ".join(key.with_suffix(".pub").read_text().split()[:2])
        self._power = Power(name, self._spec(), self._folder / "console.log", self._cable.power)

    def _spec(self) -> dict[str, str]:
        return {
            "name": self.name,
            "owner": str(os.getpid()),
            "root": str(self._disk),
            "netns": str(network.path(self._cable.namespace)),
            "cgroup": str(self._cgroup),
            "hardware": str(self._hardware.folder),
            "disk_nodes": str(self._hardware.disk_nodes),
            "partitions": str(self._hardware.partitions),
            "meminfo": str(self._hardware.meminfo),
            "notify": str(self._folder / "notify"),
            "pid_file": str(self._folder / "pid"),
        }

    # Reaching it

    def ssh(
        self, command: str, *, user: str = "root", check: bool = True, timeout: float = 60, input: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell command by real SSH."""
        return self._beside.ssh(self.name, command, user=user, check=check, timeout=timeout, input=input)

    def answers(self, *, within: int = 1) -> bool:
        """Whether its sshd answers within so many seconds, with the host key that it should have."""
        scan = ["ssh-keyscan", "-T", str(within), "-t", "ed25519", self.address]
        return self.host_key in self._beside.run(scan, check=False).stdout

    def console(self, command: str, *, check: bool = True, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a shell command as root at the host itself: works while it is cut off the network, and is quick."""
        pid = self._power.pid
        if pid is None:
            raise LabError(f"{self.name} is not up")
        inside = [*cgroups.wrapper(self._cgroup / "init.scope"), "nsenter", "--target", str(pid), "--all", "--"]
        return run([*inside, "/bin/sh", "-c", command], check=check, timeout=timeout)

    @property
    def root(self) -> Path:
        """Its root filesystem seen from the machine, without what the host mounts over it (/proc, /sys, /dev, /run).

        Absolute symbolic links lead astray from here: use read_file() and write_file().
        """
        return self._disk

    def read_file(self, path: str) -> str:
        """Read a file of the host, whether it runs or not."""
        return run(["chroot", self._view(), "cat", "--", path]).stdout

    def write_file(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file of the host, whether it runs or not; folders on the way are made."""
        script = 'mkdir -p "$(dirname "$0")" && cat > "$0" && chmod "$1" "$0"'
        with tempfile.TemporaryFile() as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.seek(0)
            run(["chroot", self._view(), "/bin/sh", "-c", script, path, f"{mode:o}"], stdin=file, capture_output=True)

    def _view(self) -> Path:
        pid = self._power.pid
        return Path(f"/proc/{pid}/root") if pid else self._disk

    # Power

    @property
    def is_on(self) -> bool:
        """Whether it has power; poweroff inside ends that too."""
        return self._power.is_on

    @property
    def boots(self) -> int:
        """How many times it has been started."""
        return self._power.boots

    def start(self, *, wait: bool = True) -> None:
        """Switch it on, and by default wait until systemd has finished booting."""
        cgroups.create(self._cgroup)
        self._power.on()
        if wait:
            self._power.wait_until_up()

    def power_cut(self) -> None:
        """Pull the plug."""
        self._power.cut()

    def reboot(self) -> None:
        """Reboot in order, and wait until it is up again."""
        self._power.restart()

    def wait_until_up(self, *, boots: int = 0, timeout: float = 60) -> None:
        """Wait until it is up, in its n-th boot or a later one (for reboots that someone else asks for)."""
        self._power.wait_until_up(boots=boots, timeout=timeout)

    def wait_until_off(self, timeout: float = 60) -> None:
        """Wait until it is off."""
        self._power.wait_until_off(timeout)

    def reset(self, *, wait: bool = True) -> None:
        """Back to a freshly installed system on the hardware it came with, the same identity, up."""
        self.power_cut()
        self._cable.cut(False)
        self.undo_hardware()
        kernel.unmount(self._disk)
        self.install()
        self.start(wait=wait)

    def install(self) -> None:
        """Lay an empty layer over the image, and write into it what tells this host from the others."""
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work, self._disk):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        kernel.mount("lab", self._disk, "overlay", options=f"lowerdir={self._lower},upperdir={upper},workdir={work}")
        key = (self._folder / "host_key").read_text()
        for path, text, mode in (
            ("etc/hostname", f"{self.name}\n", 0o644),
            ("etc/machine-id", f"{self.machine_id}\n", 0o444),
            ("etc/hosts", f"127.0.0.1 localhost\n{self.address} {self.name}\n{network.GATEWAY} controller\n", 0o644),
            ("etc/ssh/ssh_host_ed25519_key", key, 0o600),
            ("etc/ssh/ssh_host_ed25519_key.pub", f"{self.host_key}\n", 0o644),
            ("etc/snmp/snmpd.conf", f"engineID {self.machine_id[:24]}\n{SNMP}", 0o600),
        ):
            file = self._disk / path
            file.write_text(text)
            file.chmod(mode)

    # Network

    def partition(self) -> None:
        """Cut it off the network; it runs on."""
        self._cable.cut(True)

    def heal(self) -> None:
        """Mend what partition() cut."""
        self._cable.cut(False)

    def connect(self) -> None:
        """Lay its cable to the bridge (once, when the lab is made)."""
        self._cable.lay()

    # Hardware

    def add_disk(self, megabytes: int, *, serial: str = "", model: str = "LABDISK") -> str:
        """Plug in a disk of zeroes; return its name, such as sda.  Seen at once."""
        serial = serial or f"LD{secrets.token_hex(4).upper()}"
        return self._hardware.add_disk(megabytes, serial, model, self._live_dev())

    def add_nic(self) -> str:
        """Plug in a network interface; return its name.  Seen at once."""
        return self._cable.add()

    def set_memory(self, megabytes: int) -> None:
        """Change the size of the memory.  Seen after the next start."""
        self._hardware.set_memory(megabytes)

    def set_smbios(
        self, *, dimms: Sequence[Dimm | tuple[int, str] | tuple[int, str, str]] | None = None, **fields: str | int
    ) -> None:
        """Change what the firmware says: serial=, dimms=[(megabytes, serial, slot)], product=, bios= and the other
        fields of smbios.Board.  Seen after the next start."""
        if dimms is not None:
            modules = [dimm if isinstance(dimm, Dimm) else Dimm(*dimm) for dimm in dimms]
            self._hardware.set_smbios(dimms=modules, **fields)
        else:
            self._hardware.set_smbios(**fields)

    def undo_hardware(self) -> None:
        """The hardware as it came: disks and interfaces at once, the rest after the next start."""
        self._cable.remove_added()
        self._hardware.undo(self._live_dev())

    def _live_dev(self) -> Path | None:
        pid = self._power.pid
        return Path(f"/proc/{pid}/root/dev") if pid else None
