"""The lab as a whole: hosts on a bridge, a package repository, and a place in their network for the controller."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from . import cgroups, image, instance, network
from .beside import Beside
from .commands import LabError
from .host import LabHost
from .image import Image
from .instance import Instance
from .requirements import why_not

REPOSITORY_PORT = 8080
REPOSITORY_URL = f"http://{network.GATEWAY}:{REPOSITORY_PORT}"
LIMITS = {"debian": 140, "rpm": 100}


class Lab:
    """Real hosts that see one another and nothing else."""

    gateway = network.GATEWAY
    repository_url = REPOSITORY_URL

    def __init__(self, owned: Instance, built: Image) -> None:
        """Use Lab.up()."""
        self._beside = Beside(owned)
        self.id = owned.id
        self.namespace = owned.name
        self.state = owned.state
        self.hosts: dict[str, LabHost] = {}
        self.repository = self.state / "repository"
        self.private_key = self.state / "key"
        self.known_hosts = self.state / "known_hosts"
        self.ssh_config = self._beside.ssh_config
        self._instance = owned
        self._image = built

    @classmethod
    def up(cls, debian: int = 3, rpm: int = 1) -> "Lab":
        """Bring up hosts h1..hN and r1..rN; return when systemd is up and sshd answers on all of them."""
        if reason := why_not():
            raise LabError(reason)
        counts = {"debian": debian, "rpm": rpm}
        if any(not 0 <= count <= LIMITS[family] for family, count in counts.items()):
            raise LabError(f"a lab has at most {LIMITS['debian']} Debian and {LIMITS['rpm']} rpm hosts")
        built = image.ensure(REPOSITORY_URL)
        lab = cls(instance.claim(), built)
        try:
            lab._bring_up(counts)
        except BaseException:
            lab.down()
            raise
        return lab

    def down(self) -> None:
        """Take everything away.  Harmless when there is nothing any more."""
        cgroups.kill(self._instance.cgroup)  # all at once; what follows finds most of it done
        for host in self.hosts.values():
            host.power_cut()
        instance.release(self._instance)

    def reset(self) -> None:
        """Every host back to a freshly installed system, all at the same time."""
        for host in self.hosts.values():
            host.reset(wait=False)
        self._wait_until_up()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def run(self, argv: Sequence[str | Path], **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command inside the lab's network to its end: check=True, timeout=120 and captured text unless told
        otherwise, else as subprocess.run."""
        return self._beside.run(argv, **options)

    def popen(self, argv: Sequence[str | Path], **options: Any) -> "subprocess.Popen[Any]":
        """Start a command inside the lab's network, as subprocess.Popen does.  It ends with the lab at the latest."""
        return self._beside.popen(argv, **options)

    def _bring_up(self, counts: dict[str, int]) -> None:
        self._beside.make()
        self._write_keys()
        self._serve_repository()
        for family, count in counts.items():
            for number in range(1, count + 1):
                self._add_host(family, number)
        self._write_ssh_files()
        for host in self.hosts.values():
            host.start(wait=False)
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        for host in self.hosts.values():
            host.wait_until_up(timeout=30 + 2 * len(self.hosts))

    def _write_keys(self) -> None:
        shutil.copy(self._image.private_key, self.private_key)
        self.private_key.chmod(0o600)

    def _add_host(self, family: str, number: int) -> None:
        name = f"{family[0] if family == 'rpm' else 'h'}{number}"
        address = network.address(family, number)
        host = LabHost(self._instance, name, family, address, self._image.root(family), self._beside)
        host.connect()
        host.install()
        self.hosts[name] = host

    def _serve_repository(self) -> None:
        """A copy: the image belongs to every lab of the machine."""
        shutil.copytree(self._image.repository, self.repository)
        where = ["--bind", self.gateway, "--directory", str(self.repository), str(REPOSITORY_PORT)]
        with (self.state / "repository.log").open("wb") as log:
            server = [sys.executable, "-m", "http.server", *where]
            self._server = self.popen(server, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        threading.Thread(target=self._server.wait, daemon=True).start()  # reaps it when the lab goes

    def _write_ssh_files(self) -> None:
        hosts = self.hosts.values()
        self.known_hosts.write_text("".join(f"{host.name},{host.address} {host.host_key}\n" for host in hosts))
        common = (
            f"IdentityFile {self.private_key}\nIdentitiesOnly yes\nUserKnownHostsFile {self.known_hosts}\n"
            "StrictHostKeyChecking yes\nBatchMode yes\nConnectTimeout 5\nLogLevel ERROR\nUser root\n"
        )
        names = "".join(f"Host {host.name}\nHostName {host.address}\n" for host in hosts)
        self.ssh_config.write_text(f"{names}Host *\n{common}")
