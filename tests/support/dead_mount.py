"""Run a command beside a file system that never answers: python -m tests.support.dead_mount DIRECTORY COMMAND…

A FUSE mount whose server reads no request, in a mount namespace of its own.  Whoever touches it sleeps until the mount
is torn down, as with a dead NFS server.  Needs root and /dev/fuse; ends as the command ends, or with 124 after
PATIENCE seconds.
"""

import ctypes
import os
import subprocess
import sys

CLONE_NEWNS = 0x20000
MS_PRIVATE, MS_REC = 1 << 18, 1 << 14
MNT_FORCE, MNT_DETACH = 1, 2
PATIENCE = 100.0


def why_not() -> str | None:
    """Return the reason why this machine can have no dead mount, or None."""
    if os.geteuid() != 0:
        return "only root can mount"
    return None if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


def main() -> int:
    """Mount, run the command, unmount."""
    directory, command = os.fsencode(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, MS_PRIVATE | MS_REC, None))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device
    _check(libc.mount(b"dead", directory, b"fuse.dead", 0, options))
    process = subprocess.Popen(command)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        libc.umount2(directory, MNT_FORCE | MNT_DETACH)  # whoever sleeps in it wakes up with an error
        process.kill()
        process.wait()


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main())
