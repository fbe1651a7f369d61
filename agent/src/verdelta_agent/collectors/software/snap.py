"""Snaps, from snapd's state; where that may not be read, from the links to the revisions in use.

Source of the format: snapd's overlord/snapstate/snapmgr.go (SnapState) and snap/info.go (SideInfo), as JSON in
state.json; the layout of /snap is in snapd's documentation.  The version, which is for people, stands in the snap
itself, and is read where the kernel serves that (squashfs), not where a program does.
"""

import json
import re
from typing import Any, Dict, List, Optional

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing
from ..system.files import MOUNTINFO, foreign, parse_mounts

STATE = "/var/lib/snapd/state.json"
MOUNTED = ("/snap", "/var/lib/snapd/snap")
SIZE = 32 << 20  # bytes of the state
DESCRIPTION = 1 << 20  # bytes of one snap's
VERSION = re.compile(r"""^version:[ \t]*(["']?)(.*?)\1[ \t\r]*$""", re.MULTILINE)


def collect(host: Host) -> Section:
    """Absent where the host has no snaps; without the right to read snapd's state, partial."""
    try:
        if host.exists(STATE):
            return Section(OK, _with_versions(host, parse(host.read(STATE, SIZE))), {})
    except PermissionError:
        return Section(OK, _with_versions(host, _links(host)), {}, "channels: no permission to read %s" % STATE)
    rows = _with_versions(host, _links(host))
    return Section(OK, rows, {}, missing("channels: not there", [STATE])) if rows else absent("there are no snaps")


def _with_versions(host: Host, rows: Rows) -> Rows:
    """Return the rows with the version of each snap whose image is mounted."""
    folder = next(filter(host.exists, MOUNTED), None)
    if folder is None or not rows:
        return rows
    mounts = parse_mounts(host.read(MOUNTINFO) if host.exists(MOUNTINFO) else "")
    for name, row in rows.items():
        place = "%s/%s/%s" % (folder, name, row["revision"])
        if foreign(place, mounts) is None:
            version = _version(host, place + "/meta/snap.yaml")
            if version is not None:
                row["version"] = version
    return rows


def _version(host: Host, path: str) -> Optional[str]:
    try:
        stated = VERSION.search(host.read(path, DESCRIPTION))
    except OSError:  # it cannot be run: its image is not mounted
        return None
    return printable(stated.group(2)) if stated else None


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
        "channel": str(used.get("channel") or snap.get("channel") or ""),
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


COLLECTOR = Collector(
    "software.snap",
    key="name",
    collect=collect,
    deadline=5,
    fields={
        "revision": "revision in use; x1 and so on where it was installed from a file",
        "version": "version, where its image is mounted by the kernel",
        "channel": "channel that it follows",
        "type": "app, base, os, kernel, gadget, snapd",
        "enabled": "whether it can be run",
        "devmode": "whether its confinement only warns",
        "classic": "whether it is not confined at all",
        "snap_id": "the store's id of it; empty where it was installed from a file",
    },
)
