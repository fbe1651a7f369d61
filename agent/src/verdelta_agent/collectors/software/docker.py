"""Docker's images and containers, from the daemon's state on disk: it is not asked, and need not run.

Sources of the format: Docker's image/tarexport and image/store (repositories.json, imagedb), container/container.go
(config.v2.json) and api/types/container (hostconfig.json).  The daemon replaces each file by renaming.

Where the daemon keeps images in containerd (the default from Docker 29 on), software.containerd shows them, and this
section says that they are missing here.
"""

import json
from typing import Any, Dict, List, Mapping, Optional

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.colon_separated import unused
from .containers import CONTAINER_FIELDS, IMAGE_FIELDS, empty_is_none, labels, short_time, variables, words

ROOT = "/var/lib/docker"
DAEMON = "/etc/docker/daemon.json"
SIZE = 8 << 20  # bytes of one file
ENTRIES = 20000  # images or containers
CONTAINERD_STORE = "containerd/daemon"


def collect(host: Host) -> Section:
    """Absent where Docker never ran; partial where a part of its state cannot be read."""
    reader = Reader(host)
    root = _root(reader)
    if not host.exists(root):
        return absent("there is no %s" % root)
    store = _Store(reader, root)
    rows: Rows = {}
    volatile: Rows = {}
    store.images(rows)
    store.containers(rows, volatile)
    elsewhere = "images: in containerd's store" if store.drivers == [] and rows else None
    return Section(OK, rows, volatile, together(reader.error(), missing("not understood", store.bad), elsewhere))


def _root(reader: Reader) -> str:
    """Return where the daemon keeps its state."""
    try:
        settings = json.loads(reader.text(DAEMON) or "{}")
        root = settings.get("data-root") or settings.get("graph") or ROOT
    except (ValueError, AttributeError, RecursionError):
        reader.problem(DAEMON, "no JSON object")
        return ROOT
    return root if isinstance(root, str) and root.startswith("/") else ROOT


class _Store:
    """Docker's directory."""

    def __init__(self, reader: Reader, root: str) -> None:
        self.reader = reader
        self.root = root
        self.bad: List[str] = []
        folders = ["%s/image/%s" % (root, name) for name in reader.names(root + "/image")]
        self.drivers = [folder for folder in folders if reader.host.exists(folder + "/imagedb")]

    def images(self, rows: Rows) -> None:
        """Add a row for each tag, and for each image without one."""
        for folder in self.drivers:
            tagged = _tags(self._json(folder + "/repositories.json"))
            content = folder + "/imagedb/content/sha256"
            for identity in self._names(content):
                found = self._json("%s/%s" % (content, identity))
                if found is None:
                    continue
                names = tagged.get("sha256:" + identity) or {"image sha256:%s" % identity[:12]: None}
                for name, digest in names.items():
                    rows[unused(printable(name), rows)] = image("sha256:" + identity, found, digest)

    def containers(self, rows: Rows, volatile: Rows) -> None:
        """Add a row for each container."""
        folder = self.root + "/containers"
        for identity in self._names(folder):
            found = self._json("%s/%s/config.v2.json" % (folder, identity))
            settings = self._json("%s/%s/hostconfig.json" % (folder, identity)) or {}
            if found is None:
                continue
            try:
                key = unused("container %s" % printable(str(found.get("Name") or identity[:12]).lstrip("/")), rows)
                rows[key], volatile[key] = container(found, settings), state(found)
            except (AttributeError, TypeError) as error:
                self.bad.append("container %s (%s)" % (printable(identity[:12]), error))

    def _names(self, folder: str) -> List[str]:
        names = self.reader.names(folder)
        if len(names) > ENTRIES:
            raise ValueError("more than %d entries in %s" % (ENTRIES, folder))
        return names

    def _json(self, path: str) -> Optional[Dict[str, Any]]:
        """Return an object, or None where there is none; what is none is kept as not understood."""
        content = self.reader.bytes(path, SIZE)
        if content is None:
            return None
        try:
            found = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.bad.append(printable(path))
            return None
        return found


def _tags(repositories: Optional[Mapping[str, Any]]) -> Dict[str, Dict[str, Optional[str]]]:
    """Return image id -> "image name:tag" -> digest of the manifest that was pulled."""
    tags: Dict[str, Dict[str, Optional[str]]] = {}
    for name, references in ((repositories or {}).get("Repositories") or {}).items():
        digests = {identity: ref.partition("@")[2] for ref, identity in references.items() if "@" in ref}
        for reference, identity in references.items():
            if "@" not in reference:
                tags.setdefault(str(identity), {})["image %s" % reference] = digests.get(identity)
            elif not any("@" not in other for other in references):
                tags.setdefault(str(identity), {})["image %s" % name] = digests.get(identity)
    return tags


def image(identity: str, found: Mapping[str, Any], digest: Optional[str]) -> Row:
    """Return the row of an image from its configuration (OCI image-spec, config.md)."""
    row: Row = {"id": identity, "created": short_time(found.get("created")), "digest": digest}
    row["architecture"] = printable(str(found.get("architecture") or ""))
    return empty_is_none(row)


def container(found: Mapping[str, Any], settings: Mapping[str, Any]) -> Row:
    """Return the row of a container."""
    config = found.get("Config") or {}
    policy = (settings.get("RestartPolicy") or {}).get("Name")
    row: Row = {
        "image": printable(str(config.get("Image") or "")),
        "image_id": str(found.get("Image") or ""),
        "created": short_time(found.get("Created")),
        "command": words(found.get("Path")) + words(found.get("Args")),
        "restart": policy or "no",
        "network": printable(str(settings.get("NetworkMode") or "")),
        "ports": _ports(settings.get("PortBindings") or {}),
        "mounts": sorted(_mount(mount) for mount in (found.get("MountPoints") or {}).values()),
        "user": printable(str(config.get("User") or "")),
        "privileged": bool(settings.get("Privileged")),
        "capabilities": sorted(words(settings.get("CapAdd"))),
        "environment": variables(config.get("Env")),
        "labels": labels(config.get("Labels")),
        "runtime": printable(str(settings.get("Runtime") or "")),
    }
    return empty_is_none(row)


def _ports(bindings: Mapping[str, Any]) -> List[str]:
    return sorted(
        printable("%s:%s->%s" % (binding.get("HostIp") or "*", binding.get("HostPort") or "", port))
        for port, several in bindings.items()
        for binding in several or [{}]
    )


def _mount(mount: Mapping[str, Any]) -> str:
    source = mount.get("Source") or mount.get("Name") or ""
    return printable("%s:%s:%s" % (source, mount.get("Destination") or "", "rw" if mount.get("RW") else "ro"))


def state(found: Mapping[str, Any]) -> Row:
    """Return what comes and goes with each start."""
    running = found.get("State") or {}
    return {
        "running": bool(running.get("Running")),
        "started": short_time(running.get("StartedAt")),
        "exit_code": running.get("ExitCode") if isinstance(running.get("ExitCode"), int) else None,
        "restarts": found.get("RestartCount") if isinstance(found.get("RestartCount"), int) else None,
    }


VOLATILE = {
    "running": "programs end and are started again by themselves",
    "started": "changes with every start",
    "exit_code": "of the last run",
    "restarts": "counted by the daemon",
}

COLLECTOR = Collector(
    "software.docker",
    key="image name:tag (sha256:… without one), container name",
    collect=collect,
    deadline=10,
    fields=dict(IMAGE_FIELDS, **CONTAINER_FIELDS),
    volatile=VOLATILE,
)
