"""Podman's images and containers of the whole system, from the store on disk; CRI-O keeps its own in the same form.

Sources of the format: containers/storage, images.go and containers.go (images.json, containers.json of each driver);
Podman's libpod/boltdb_state.go and container_config.go for how a container is to be run, with the OCI runtime-spec in
it.  From Podman 5 on that stands in db.sql, which is not read: the section says so.

Containers that Kubernetes makes come and go by themselves, and are in the volatile rows.
"""

import json
from typing import Any, Dict, List, Mapping

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.colon_separated import unused
from .bolt import Bucket, Database
from .containers import CONTAINER_FIELDS, IMAGE_FIELDS, empty_is_none, labels, short_time, variables, words

ROOT = "/var/lib/containers/storage"
CONFIGURATION = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
SIZE = 32 << 20  # bytes of one list
ENTRIES = 20000


def collect(host: Host) -> Section:
    """Absent where there is no store; partial where a part of it cannot be read."""
    reader = Reader(host)
    root = _root(reader)
    if not host.exists(root):
        return absent("there is no %s" % root)
    rows: Rows = {}
    volatile: Rows = {}
    bad: List[str] = []
    configurations = _configurations(reader, root + "/libpod", bad)
    for name in reader.names(root):
        if name.endswith("-images"):
            _images(_list(reader, "%s/%s/images.json" % (root, name), bad), rows)
        elif name.endswith("-containers"):
            for found in _list(reader, "%s/%s/containers.json" % (root, name), bad):
                _add(rows, volatile, found, configurations.get(str(found.get("id")), {}))
    unread = "how containers are run: %s/db.sql is not read" % root if host.exists(root + "/db.sql") else None
    return Section(OK, rows, volatile, together(reader.error(), missing("not understood", bad), unread))


def _root(reader: Reader) -> str:
    """Return the graphroot of storage.conf (TOML), or the usual place."""
    for path in CONFIGURATION:
        for line in (reader.text(path) or "").split("\n"):
            name, equals, value = line.partition("=")
            if equals and name.strip() == "graphroot":
                return value.partition("#")[0].strip().strip("\"'").rstrip("/") or ROOT
    return ROOT


def _list(reader: Reader, path: str, bad: List[str]) -> List[Dict[str, Any]]:
    content = reader.bytes(path, SIZE)
    if content is None:
        return []
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        bad.append(printable(path))
        return []
    if len(found) > ENTRIES:
        raise ValueError("more than %d entries in %s" % (ENTRIES, path))
    return found


def _configurations(reader: Reader, folder: str, bad: List[str]) -> Dict[str, Dict[str, Any]]:
    """Return container's id -> how it is to be run, as libpod keeps it; {} where there is no such database."""
    path = folder + "/bolt_state.db"
    content = reader.bytes(path, SIZE)
    if not content:
        return {}
    configurations: Dict[str, Dict[str, Any]] = {}
    try:
        database = Database(content)
        for identity, bucket in database.path(b"ctr").items():
            found = database.bucket(bucket).get(b"config") if isinstance(bucket, Bucket) else None
            if isinstance(found, bytes):
                configurations[identity.decode("ascii", "replace")] = json.loads(found.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        bad.append("%s (%s)" % (path, error))
    return {name: one for name, one in configurations.items() if isinstance(one, dict)}


def _images(found: List[Dict[str, Any]], rows: Rows) -> None:
    for one in found:
        identity = str(one.get("id") or "")
        names = words(one.get("names")) or ["sha256:" + identity[:12]]
        row: Row = {"id": "sha256:" + identity, "created": short_time(one.get("created"))}
        row["digest"] = one.get("digest") if isinstance(one.get("digest"), str) else None
        for name in names:
            rows[unused("image " + name, rows)] = empty_is_none(row)


def _add(rows: Rows, volatile: Rows, found: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    names = words(found.get("names")) or [printable(str(found.get("id") or ""))[:12]]
    told = _metadata(found)
    row = container(found, told, configuration)
    if names[0].startswith(("k8s_", "k8s:")) or "pod-name" in told:
        volatile["container " + names[0]] = {"image": row.get("image")}
    else:
        rows[unused("container " + names[0], rows)] = row


def _metadata(found: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what Podman or CRI-O noted of a container, which is JSON within JSON."""
    try:
        told = json.loads(found.get("metadata") or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def container(found: Mapping[str, Any], told: Mapping[str, Any], configuration: Mapping[str, Any]) -> Row:
    """Return the row of a container, from the store, from what was noted of it there, and from libpod."""
    spec = _mapping(configuration.get("spec"))
    process = _mapping(spec.get("process"))
    row: Row = {
        "image": printable(str(told.get("image-name") or "")),
        "image_id": "sha256:%s" % found.get("image") if found.get("image") else None,
        "created": short_time(found.get("created")),
    }
    if configuration:
        row.update(
            command=words(process.get("args")),
            environment=variables(process.get("env")),
            labels=labels(_mapping(configuration.get("labels"))),
            restart=printable(str(configuration.get("restart_policy") or "no")),
            network=printable(str(configuration.get("networkMode") or "")),
            ports=sorted(map(_port, _objects(configuration.get("newPortMappings")))),
            mounts=sorted(_mount(one) for one in _objects(spec.get("mounts")) if one.get("type") == "bind"),
            user=printable(str(configuration.get("user") or "")),
            privileged=configuration.get("privileged") is True,
            capabilities=sorted(words(_mapping(process.get("capabilities")).get("bounding"))),
        )
    return empty_is_none(row)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> List[Mapping[str, Any]]:
    return [one for one in value or () if isinstance(one, dict)] if isinstance(value, list) else []


def _port(found: Mapping[str, Any]) -> str:
    host = "%s:%s" % (found.get("host_ip") or "*", found.get("host_port"))
    return printable("%s->%s/%s" % (host, found.get("container_port"), found.get("protocol")))


def _mount(found: Mapping[str, Any]) -> str:
    mode = "ro" if "ro" in words(found.get("options")) else "rw"
    return printable("%s:%s:%s" % (found.get("source"), found.get("destination"), mode))


COLLECTOR = Collector(
    "software.podman",
    key="image name:tag (sha256:… without one), container name",
    collect=collect,
    deadline=10,
    fields=dict(IMAGE_FIELDS, **CONTAINER_FIELDS),
    volatile={"image": "of a container that Kubernetes made: it comes and goes by itself"},
)
