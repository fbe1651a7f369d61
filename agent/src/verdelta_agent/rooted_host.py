"""The door to a system that does not run: an image, a chroot, a mounted disk."""

import errno
import os
from typing import Dict, List, Optional, Sequence

from .host import LIMIT, FileStatus, Host, LocalHost
from .paths import anywhere, os_error, walk


class RootedHost(LocalHost):
    """A system that does not run: an image, a chroot, a mounted disk, below a directory of this machine.

    Its links lead nowhere out of it, and no command is run: whose would it be?
    """

    running = False

    def __init__(self, root: str, watched: Sequence[str] = Host.watched) -> None:
        super().__init__(watched)
        self.root = os.path.realpath(root)
        self._directories: Dict[str, str] = {}  # as asked for -> without links: they are asked for again and again

    def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
        return super().read_bytes(self._outside(path), limit)

    def lstat(self, path: str) -> FileStatus:
        return super().lstat(self._outside(path, follow=path.endswith("/")))

    def listdir(self, path: str) -> List[str]:
        return super().listdir(self._outside(path))

    def subdirectories(self, path: str, limit: int) -> List[str]:
        return super().subdirectories(self._outside(path), limit)

    def readlink(self, path: str) -> str:
        return super().readlink(self._outside(path, follow=False))

    def resolve(self, path: str) -> str:
        return walk(path, True, self._link_at, anywhere)

    def run(self, command: Sequence[str], timeout: float = 10) -> str:
        raise os_error(errno.ENOENT, command[0])

    def local_path(self, path: str) -> str:
        return self._outside(path)

    def netlink(self, protocol: int, kind: int, body: str = "") -> bytes:
        raise os_error(errno.EPROTONOSUPPORT, "netlink")

    def ethtool(self, interface: str, request: str) -> bytes:
        raise os_error(errno.ENODEV, interface)

    def xtables(self, family: str, table: str) -> bytes:
        raise os_error(errno.ENOPROTOOPT, table)

    def _outside(self, path: str, follow: bool = True) -> str:
        """Return the path on this machine.  Raises OSError where the links of the tree go round in a circle."""
        directory, _, name = path.rpartition("/")
        if directory not in self._directories:
            self._directories[directory] = self.resolve(directory)
        here = "%s/%s" % (self._directories[directory].rstrip("/"), name)
        return self.root + (self.resolve(here) if follow or name in (".", "..") else here)

    def _link_at(self, here: str) -> Optional[str]:
        try:
            return super().readlink(self.root + here)
        except OSError:
            return None
