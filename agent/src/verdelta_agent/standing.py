"""How this host stands with its controller: who it is, what was accepted last, what waits in the spool."""

import os
import time
from typing import Any, Dict, List

from . import identity as state
from . import kept
from .host import Host
from .spool import Spool


def standing(directory: str) -> Dict[str, Any]:
    """Return what `verdelta-agent status` shows.  Raises IdentityError where nobody enrolled."""
    identity = state.load_identity(directory)
    history = state.load_history(directory)
    waiting = Spool(directory).waiting()
    made = os.stat(os.path.join(directory, "history.json")).st_mtime
    return {
        "host_id": identity.host_id,
        "controller": identity.controller or None,
        "key": identity.epoch,
        "messages": history.sequence,
        "last_message_at": _time(made),
        "unanswered": len(history.pending),
        "spooled": waiting.messages,
        "spooled_bytes": waiting.bytes,
        "spooled_since": _time(waiting.since) if waiting.messages else None,
        "dropped": waiting.dropped,
        "watched": list(kept.load_watched(directory) or Host.watched),
    }


def as_lines(found: Dict[str, Any]) -> List[str]:
    """Return it for a person."""
    spool = "%d waiting, %d dropped so far" % (found["spooled"], found["dropped"])
    if found["spooled"]:
        spool += "; %d bytes, the oldest from %s" % (found["spooled_bytes"], found["spooled_since"])
    accepted = "%d unanswered" % found["unanswered"] if found["unanswered"] else "all accepted"
    shown = (
        ("host", "%s, key %d" % (found["host_id"], found["key"])),
        ("controller", found["controller"] or "none to call: this host answers when it is asked"),
        ("messages", "%d, the last one %s; %s" % (found["messages"], found["last_message_at"], accepted)),
        ("spool", spool),
        ("watched", " ".join(found["watched"])),
    )
    return ["%-10s  %s" % line for line in shown]


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
