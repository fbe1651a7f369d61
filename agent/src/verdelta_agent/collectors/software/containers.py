"""What Docker, Podman and containerd have in common: how an image and a container are shown.

An environment's and a label's values may hold secrets, so names alone are shown; of labels, a few that say what a
container belongs to.
"""

from typing import Any, Dict, Iterable, List, Mapping, Optional

from ...host import printable
from ...model import Row

LABELS = (
    "com.docker.compose.project",
    "com.docker.compose.service",
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.source",
    "org.opencontainers.image.version",
)

IMAGE_FIELDS: Dict[str, str] = {
    "id": "digest of the image's configuration, or of what its name leads to: another one after each build",
    "created": "when it was built",
    "architecture": "architecture",
    "digest": "digest of the manifest that was pulled, where the store keeps it",
}
CONTAINER_FIELDS: Dict[str, str] = {
    "image": "name of the image that it was made of",
    "image_id": "digest of that image",
    "created": "when it was made",
    "command": "what is run in it",
    "restart": "whether it is started again: no, always, on-failure, unless-stopped",
    "network": "how it reaches the network",
    "ports": "published ports: address:port->port/protocol, sorted",
    "mounts": "source:destination:mode, sorted",
    "user": "as whom it runs; empty for the image's own",
    "privileged": "whether it may do nearly all that root may",
    "capabilities": "capabilities that it has beside the usual ones, sorted",
    "environment": "names of its variables, sorted; their values may be secrets",
    "labels": "names of its labels, sorted, with the values of those that say what it belongs to",
    "runtime": "what runs it",
}


def labels(found: Optional[Mapping[str, Any]]) -> List[str]:
    """Return the labels as they are shown."""
    named = (printable(str(name)) for name in found or {})
    return sorted("%s=%s" % (name, printable(str((found or {})[name]))) if name in LABELS else name for name in named)


def variables(environment: Optional[Iterable[Any]]) -> List[str]:
    """Return the names of the variables in NAME=value texts."""
    return sorted({printable(str(entry).partition("=")[0]) for entry in environment or ()})


def words(value: Any) -> List[str]:
    """Return a command, which may be one text, a list of words, or nothing."""
    return [printable(str(word)) for word in ([value] if isinstance(value, str) else value or ())]


def short_time(text: Any) -> Optional[str]:
    """Return a time to the second, without its fraction."""
    found = str(text or "")
    return found[:19] + "Z" if len(found) >= 19 else None


def empty_is_none(row: Row) -> Row:
    """Return the row without the fields that say nothing."""
    return {name: value for name, value in row.items() if value not in (None, "", [])}
