"""Snaps, from snapd's state; where that may not be read, from the links to the revisions in use.

Source of the format: snapd's overlord/snapstate/snapmgr.go (SnapState) and snap/info.go (SideInfo), as JSON in
state.json; the layout of /snap is in snapd's documentation.  The state knows a revision by its number alone: its
version stands in meta/snap.yaml of what is mounted.
"""

import json
import re
from typing import Any, Dict, List, Optional

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing, together
from ..system.files import foreign, read_mounts

STATE = "/var/lib/snapd/state.json"
MOUNTED = ("/snap", "/var/lib/snapd/snap")
SIZE = 32 << 20  # bytes of the state
YAML = 1 << 20  # bytes of a snap.yaml
VERSION = re.compile(r"^version:[ \t]*([\"']?)(.*?)\1[ \t]*(?:#.*)?$", re.MULTILINE)


def collect(host: Host) -> Section:
    """Absent where the host has no snaps; without the right to read snapd's state, partial."""
    error = None
    try:
        rows = parse(host.read(STATE, SIZE)) if host.exists(STATE) else None
    except PermissionError:
        rows, error = _links(host), "channels: no permission to read %s" % STATE
    if rows is None:
        rows, error = _links(host), missing("channels: not there", [STATE])
        if not rows:
            return absent("there are no snaps")
    return Section(OK, rows, {}, together(error, missing("versions: not read", _add_versions(host, rows))))


def parse(state: str) -> Rows:
    """Return name -> revision, channel and how it is confined.  Raises ValueError where the state is none."""
    try:
        snaps: Dict[str, Any] = json.loads(state).get("data", {}).get("snaps") or {}
        return {printable(name): _row(snap) for name, snap in snaps.items()}
    except (RecursionError, AttributeError, TypeError, KeyError, IndexError) as error:
        raise ValueError("not snapd's state: %s" % error) from error


def _row(snap: Dict[str, Any]) -> Row:
    current = str(snap["current"])
    sequence: List[Dict[str, Any]] = [side.get("snap", side) for side in snap["sequence"]]
    used = next((side for side in sequence if str(side.get("revision")) == current), {})
    return {
        "revision": current,
        "channel": str(snap.get("channel") or ""),  # not where the revision came from, which is of no account any more
        "type": str(snap.get("type") or "app"),
        "enabled": bool(snap.get("active", False)),
        "devmode": bool(snap.get("devmode", False)),
        "classic": bool(snap.get("classic", False)),
        "snap_id": str(used.get("snap-id") or ""),
    }


def _links(host: Host) -> Rows:
    rows: Rows = {}
    for folder in filter(host.exists, MOUNTED):
        for name in host.listdir(folder):
            link = "%s/%s/current" % (folder, name)
            if name != "bin" and host.exists(link) and host.lstat(link).kind == "symlink":
                rows.setdefault(printable(name), {"revision": printable(host.readlink(link))})
    return rows


def _add_versions(host: Host, rows: Rows) -> List[str]:
    """Add to each row the version that its revision states, if it is mounted; return what could not be read.

    Where the kernel may not mount it, as in a container, a program does: that one is not asked, for it may not answer.
    """
    mounts = read_mounts(host) if rows else {}
    folders = [folder for folder in MOUNTED if host.exists(folder)] if rows else []
    unread: List[str] = []
    for name, row in rows.items():
        for folder in folders:
            path = "%s/%s/%s" % (folder, name, row["revision"])
            try:
                kind = foreign(path, mounts)
                version = version_in(host.read(path + "/meta/snap.yaml", YAML)) if kind is None else None
            except (FileNotFoundError, NotADirectoryError):
                continue  # not mounted, because it is disabled, or the system does not run
            except OSError as error:
                kind, version = error.strerror or "unreadable", None
            if kind is not None:
                unread.append("%s (%s)" % (path, kind))
            if version is not None:
                row["version"] = version
            break
    return unread


def version_in(yaml: str) -> Optional[str]:
    """Return the version that a snap.yaml states, or None."""
    stated = VERSION.search(yaml)
    return stated.group(2) if stated else None


COLLECTOR = Collector(
    "software.snap",
    key="name",
    collect=collect,
    deadline=5,
    fields={
        "revision": "revision in use; x1 and so on where it was installed from a file",
        "version": "version that the revision states, where it is mounted",
        "channel": "channel that it follows",
        "type": "app, base, os, kernel, gadget, snapd",
        "enabled": "whether it can be run",
        "devmode": "whether its confinement only warns",
        "classic": "whether it is not confined at all",
        "snap_id": "the store's id of it; empty where it was installed from a file",
    },
)
