"""What the agent keeps beside its identity: the state it saw last, and what from; the paths it watches; the invitation
it answers.

Losing the first two is no loss: without them, all rows are sent instead of a patch, and all is collected anew.
"""

import json
import os
from typing import Any, Callable, Dict, List, Optional, Sequence

from .host import Host
from .memory import Memory, dump, load
from .model import Rows

Cache = Dict[str, Rows]  # section -> rows: what this agent saw last, the base of patches

LIMIT = 128 << 20  # bytes of a file


def save_cache(directory: str, root: str, make: Callable[[], Cache]) -> None:
    """Keep what was seen, as `make` returns it, as the base of the next patch; `root` is its digest.

    Most nights nothing has changed, and nothing is written: the file's first line is the root of what is in it.
    """
    path = os.path.join(directory, "last")
    first_line = root.encode("ascii") + b"\n"
    if _read(path, len(first_line)) != first_line:
        _replace(path, first_line + json.dumps(make(), separators=(",", ":")).encode("ascii"))


def load_cache(directory: str) -> Cache:
    """Return what was seen last, as far as it is to be had.  It may be damaged: who uses rows compares their digest."""
    try:
        found = json.loads((_read(os.path.join(directory, "last"), LIMIT) or b"").partition(b"\n")[2].decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: rows for name, rows in found.items() if _are_rows(rows)} if isinstance(found, dict) else {}


def _are_rows(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(row, dict) for row in value.values())


def save_told(directory: str, digests: Dict[str, str]) -> None:
    """Keep the digests of the sections that the controller was told last, or will be by what waits in the spool."""
    if load_told(directory) != digests:
        _replace(os.path.join(directory, "told.json"), json.dumps(digests, indent=1).encode("ascii") + b"\n")


def load_told(directory: str) -> Dict[str, str]:
    """Return what `save_told` kept, or nothing: then all rows are sent."""
    try:
        found = json.loads((_read(os.path.join(directory, "told.json"), LIMIT) or b"{}").decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def save_memory(directory: str, memory: Memory, host: Host) -> None:
    """Keep what was read for each section, where that is anything new."""
    if memory.changed:
        _replace(os.path.join(directory, "memory"), dump(memory, host))


def load_memory(directory: str, host: Host) -> Memory:
    """Return what was read for each section last time, as far as it is to be had and of use."""
    try:
        return load(_read(os.path.join(directory, "memory"), LIMIT), host)
    except OSError:
        return Memory()


def save_watched(directory: str, paths: Sequence[str]) -> None:
    """Keep which paths are watched."""
    _replace(os.path.join(directory, "watched.json"), json.dumps(list(paths), indent=1).encode("ascii") + b"\n")


def load_watched(directory: str) -> Optional[List[str]]:
    """Return which paths are watched, or None when nobody chose any.

    Raises OSError when the choice is damaged or cannot be read: to watch something else would look like a change.
    """
    path = os.path.join(directory, "watched.json")
    content = _read(path, LIMIT)
    if content is None:
        return None
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(item, str) and item.startswith("/") for item in found):
        raise OSError("%s is damaged: expected a list of absolute paths" % path)
    return found


def save_invitation(directory: str, invitation: str) -> None:
    """Keep for which invitation a key is made: a key is good for one enrolment alone."""
    _replace(os.path.join(directory, "invitation"), invitation.encode("utf-8") + b"\n")


def load_invitation(directory: str) -> Optional[str]:
    """Return the invitation that the key here was made for, if any."""
    content = _read(os.path.join(directory, "invitation"), LIMIT)
    return None if content is None else content.decode("utf-8", "replace").rstrip("\n")


def _replace(path: str, content: bytes) -> None:
    from .identity import replace  # which who only reads can do without

    replace(path, content)


def _read(path: str, limit: int) -> Optional[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return None
