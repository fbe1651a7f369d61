"""Work in a child process that can be left behind, where a thread that is left behind is not enough.

A thread that sleeps in the kernel until a FUSE process answers ends for no signal, SIGKILL included.  Nor does its
process, then: whoever waits for the process, or for the end of its output, waits for ever.  So where there is a file
system that may fall silent, the agent goes on in a child, and ends itself when the child says that it is done.
"""

import os
import signal
from typing import Any, Callable

MOUNTINFO = "/proc/self/mountinfo"
LIMIT = 16 << 20  # bytes of it
# How the kinds of file systems begin behind which there is a program or another machine.
SILENT = (
    "fuse",
    "nfs",
    "cifs",
    "smb",
    "ceph",
    "9p",
    "afs",
    "autofs",
    "virtiofs",
    "lustre",
    "beegfs",
    "gpfs",
    "gfs2",
) + ("ocfs2", "orangefs", "pvfs2", "coda", "glusterfs", "vboxsf", "prl_fs", "vmhgfs")
NEVER_SILENT = ("fusectl", "nfsd")  # the kernel's own settings
BY_SYSTEMD = " /proc/sys/fs/binfmt_misc "  # an autofs on most hosts, behind which there is the kernel
ENDING = (signal.SIGTERM, signal.SIGHUP)
FATAL = 128  # a shell's exit code of a command that a signal ended: this and the signal's number


def may_fall_silent() -> bool:
    """Return whether anything is mounted here that another machine or a program has to answer for."""
    try:
        with open(MOUNTINFO, "rb") as file:
            lines = file.read(LIMIT).decode("utf-8", "replace").split("\n")
    except OSError:
        return False
    return any(map(_is_silent, lines))


def _is_silent(line: str) -> bool:
    left, _, right = line.partition(" - ")
    kind = right.partition(" ")[0]
    return kind.startswith(SILENT) and kind not in NEVER_SILENT and BY_SYSTEMD not in left


def step_aside() -> Callable[[int], Any]:
    """Go on in a child; return the function that ends it, and this process with the same exit code."""
    reader, writer = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until there is somebody to hand them on to
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reader)
        return lambda status: _end_both(writer, status)
    os.close(writer)
    _hand_on_signals(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        said = os.read(reader, 1)
    except KeyboardInterrupt:  # which the terminal sends to the child as well
        os._exit(FATAL + signal.SIGINT)
    os._exit(said[0] if said else _exit_code(child))


def _hand_on_signals(child: int) -> None:
    def end(number: int, _: Any) -> None:
        os.kill(child, number)
        os._exit(FATAL + number)

    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _exit_code(child: int) -> int:
    """Return the exit code of a child that ended without a word: something killed it."""
    _, status = os.waitpid(child, 0)
    return FATAL + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _end_both(writer: int, status: int) -> None:
    _close_standard_streams()
    try:
        os.write(writer, bytes([status]))
    except OSError:  # nobody waits any more
        pass
    os._exit(status)


def end(status: int) -> None:
    """End this process at once: the kernel frees what Python would take apart piece by piece, a twentieth of an audit.

    Whoever reads our output sees its end, though a thread that never wakes up may keep the process alive.
    """
    _close_standard_streams()
    os._exit(status)


def _close_standard_streams() -> None:
    for descriptor in range(3):
        try:
            os.close(descriptor)
        except OSError:  # closed by whoever started us
            pass
