"""Where a path leads in a tree of its own: pure, but for the two questions that it asks."""

import errno
import os
from typing import Callable, Optional


def walk(path: str, follow: bool, link_at: Callable[[str], Optional[str]], enter: Callable[[str], None]) -> str:
    """Return where a path leads within a tree of its own, in which "/" is the tree's top, and ".." never leaves it.

    `link_at` returns the target of a path that is a symbolic link; `follow` says whether the last one is followed.
    `enter` is called with each directory on the way, and may raise.  Raises OSError where links go round in a circle.
    """
    done, followed = "/", 0
    todo = path.split("/")
    while todo:
        name = todo.pop(0)
        enter(done)
        here = _next(done, name)
        target = link_at(here) if here != done and (follow or any(todo)) else None
        if target is None:
            done = here
            continue
        followed += 1
        if followed > 40:  # as many as the kernel follows
            raise os_error(errno.ELOOP, path)
        done = "/" if target.startswith("/") else done
        todo = target.split("/") + todo
    return done


def anywhere(here: str) -> None:
    """Enter a directory, whether it is there or not."""


def _next(here: str, name: str) -> str:
    """Return where one more name of a path leads from a directory, before any link is followed."""
    if name in ("", "."):
        return here
    return os.path.dirname(here) if name == ".." else here.rstrip("/") + "/" + name


def os_error(number: int, path: str) -> OSError:
    """Return the error that the system raises under this number."""
    return OSError(number, os.strerror(number), path)
