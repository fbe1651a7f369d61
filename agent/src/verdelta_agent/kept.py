"""What the agent keeps beside its identity: the state it saw last, and the paths it watches.

Losing either is no loss: without the last state, all rows are sent instead of a patch.
"""

import json
import os
from typing import Any, List, Optional, Sequence

from .audit import Cache
from .identity import replace

LIMIT = 128 << 20  # bytes of a file


def save_cache(directory: str, cache: Cache) -> None:
    """Keep what was seen, as the base of the next patch."""
    replace(os.path.join(directory, "last.json"), json.dumps(cache, separators=(",", ":")).encode("ascii"))


def load_cache(directory: str) -> Cache:
    """Return what was seen last; nothing when that is not to be had."""
    found = _load(os.path.join(directory, "last.json"))
    return found if isinstance(found, dict) else {}


def save_watched(directory: str, paths: Sequence[str]) -> None:
    """Keep which paths are watched."""
    replace(os.path.join(directory, "watched.json"), json.dumps(list(paths), indent=1).encode("ascii") + b"\n")


def load_watched(directory: str) -> Optional[List[str]]:
    """Return which paths are watched, or None when nobody chose any.  Raises OSError when the choice is damaged."""
    path = os.path.join(directory, "watched.json")
    if not os.path.exists(path):
        return None
    found = _load(path)
    if not isinstance(found, list) or not all(isinstance(item, str) and item.startswith("/") for item in found):
        raise OSError("%s is damaged: expected a list of absolute paths" % path)
    return found


def _load(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return json.loads(file.read(LIMIT).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
