"""Run a command beside a file system that never answers: python -m tests.support.dead_mount KIND DIRECTORY… -- COMMAND…

A FUSE mount at all the directories, in a mount namespace of its own.  Needs root and /dev/fuse; ends as the command
ends, or with 124 after PATIENCE seconds.  Of KIND
  deaf: its server reads no request.  Whoever touches it sleeps until the mount is torn down or a signal ends him, as
        with a dead NFS server.
  mute: its server takes every request and answers none.  Whoever touches it sleeps until the mount is torn down: no
        signal ends him, SIGKILL included.  A FUSE program that was stopped at its work is like that.
"""

import ctypes
import os
import struct
import subprocess
import sys
import threading

CLONE_NEWNS = 0x20000
MS_BIND, MS_PRIVATE, MS_REC = 1 << 12, 1 << 18, 1 << 14
MNT_FORCE, MNT_DETACH = 1, 2
PATIENCE = 100.0
KINDS = ("deaf", "mute")

REQUEST = struct.Struct("<IIQ")  # the beginning of fuse_in_header of linux/fuse.h: length, operation, number
ANSWER = struct.Struct("<IiQ")  # fuse_out_header: length, error, number
WELCOME = struct.Struct("<IIIIHHII9I")  # fuse_init_out
INIT, LARGEST = 26, 1 << 18


def why_not() -> str | None:
    """Return the reason why this machine can have no dead mount, or None."""
    if os.geteuid() != 0:
        return "only root can mount"
    return None if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


def main() -> int:
    """Mount, run the command, unmount."""
    kind, *rest = sys.argv[1:]
    end = rest.index("--")
    directories, command = list(map(os.fsencode, rest[:end])), rest[end + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS))
    _check(libc.mount(b"none", b"/", None, MS_PRIVATE | MS_REC, None))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    _check(libc.mount(b"dead", directories[0], b"fuse.dead", 0, options))
    for directory in directories[1:]:
        _check(libc.mount(directories[0], directory, None, MS_BIND, None))
    if kind == "mute":
        threading.Thread(target=_take_and_keep, args=[device], daemon=True).start()
    process = subprocess.Popen(command)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        for directory in reversed(directories):
            libc.umount2(directory, MNT_FORCE | MNT_DETACH)  # whoever sleeps in it wakes up with an error
        process.kill()
        process.wait()


def _take_and_keep(device: int) -> None:
    """Take requests until the mount is gone, and answer none but the first, without which nobody asks."""
    while True:
        try:
            _, operation, number = REQUEST.unpack_from(os.read(device, LARGEST))
        except OSError:
            return
        if operation == INIT:
            body = WELCOME.pack(7, 31, 0, 0, 12, 10, 4096, 1, *[0] * 9)
            os.write(device, ANSWER.pack(ANSWER.size + len(body), 0, number) + body)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main())
