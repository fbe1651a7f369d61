"""A walk below a directory that ends soon, whatever lies there: a folder of a million files, or endless nesting."""

import re
from typing import Callable, List, NamedTuple

DIRECTORIES = 3000  # that are listed below one root
ENTRIES = 5000  # in one directory; in a larger one there are data


class Found(NamedTuple):
    """What a search has found."""

    paths: List[str]  # of directories, sorted
    unread: List[str]  # "path (reason)" of each directory that was not looked into, though it should have been


def below(list_inside: Callable[[str, int], List[str]], root: str, wanted: str, closed: str, depth: int) -> Found:
    """Return the directories below `root` whose paths match the expression `wanted`.

    Neither these are entered nor any that matches `closed`.  `depth` levels are listed, of which the root is the first;
    level by level, so that what lies near is found, whatever lies deep.  `list_inside` is Host.subdirectories.
    """
    is_wanted, is_closed = re.compile(wanted).fullmatch, re.compile(closed).fullmatch
    found: List[str] = []
    unread: List[str] = []
    level, listed = [root.rstrip("/")], 0
    for _ in range(depth):
        deeper: List[str] = []
        for path in level:
            if listed == DIRECTORIES:
                unread.append("%s (more than %d directories)" % (root, DIRECTORIES))
                return Found(sorted(found), unread)
            listed += 1
            for inner in _inside(list_inside, path, unread):
                if is_wanted(inner):
                    found.append(inner)
                elif len(deeper) <= DIRECTORIES and not is_closed(inner):
                    deeper.append(inner)
        level = deeper
    return Found(sorted(found), unread)


def _inside(list_inside: Callable[[str, int], List[str]], path: str, unread: List[str]) -> List[str]:
    try:
        return ["%s/%s" % (path, name) for name in list_inside(path or "/", ENTRIES)]
    except (FileNotFoundError, NotADirectoryError):
        return []  # gone since its parent was listed, as a directory may be
    except OSError as error:
        unread.append("%s (%s)" % (path, error.strerror or type(error).__name__))
        return []
