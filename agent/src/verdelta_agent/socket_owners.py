"""Which programs hold sockets: found by looking through the open files of every process.

Source of the format: proc_pid_fd(5): a link to "socket:[inode]".
"""

import os
from typing import List, Sequence, Set, Tuple

PROC = "/proc"
REMOVED = " (deleted)"  # behind the path of a program that was upgraded since it started
PROCESSES = 100000
DESCRIPTORS = 2000000  # of all processes together

Owner = Tuple[int, str]  # inode of a socket, path of a program


def find(inodes: Sequence[int]) -> Tuple[List[Owner], bool]:
    """Return the program that holds each socket, and whether every process could be looked at.

    Of several processes that share a socket the one with the lowest number counts: the server itself, or systemd where
    it holds the socket for one.  A socket that nobody here holds has no owner (the kernel's own, another namespace's).
    """
    wanted = {"socket:[%d]" % inode: inode for inode in inodes}
    owners: List[Owner] = []
    complete, left = True, DESCRIPTORS
    for process in sorted(int(name) for name in os.listdir(PROC) if name.isdigit())[:PROCESSES]:
        if not wanted:
            break
        folder = "%s/%d" % (PROC, process)
        try:
            held = _sockets(folder + "/fd", left)
            left -= len(held)
            mine = held & set(wanted)
            if mine:
                program = os.readlink(folder + "/exe")
                program = program[: -len(REMOVED)] if program.endswith(REMOVED) else program
                owners += [(wanted.pop(link), program) for link in mine]
        except FileNotFoundError:
            continue  # it has ended
        except PermissionError:
            complete = False
    return sorted(owners), complete or not wanted


def _sockets(folder: str, most: int) -> Set[str]:
    """Return the links of a process that lead to sockets."""
    links = set()
    for name in os.listdir(folder)[: max(most, 0)]:
        try:
            link = os.readlink("%s/%s" % (folder, name))
        except FileNotFoundError:
            continue  # closed meanwhile
        if link[:8] == "socket:[":
            links.add(link)
    return links
