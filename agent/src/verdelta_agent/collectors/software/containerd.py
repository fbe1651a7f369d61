"""containerd's images and containers, from its metadata on disk.

Sources of the format: containerd's core/metadata/buckets.go: v1 / namespace / images, containers; bolt.go for the
file.  The database is changed in place: where it is being written while it is read, it is read once more.

Kubernetes' containers come and go by themselves, and its images are collected by the kubelet: those of the namespace
k8s.io are in the volatile rows.  Docker keeps its images in the namespace moby.
"""

import time
from typing import Dict, Mapping, Optional

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from .bolt import Bucket, Database, Value
from .containers import CONTAINER_FIELDS, IMAGE_FIELDS, empty_is_none, labels

ROOTS = ("/var/lib/containerd", "/var/lib/rancher/k3s/agent/containerd", "/run/k3s/containerd")
FILE = "io.containerd.metadata.v1.bolt/meta.db"
SIZE = 64 << 20  # bytes of the database
KUBERNETES = b"k8s.io"
OF_KUBERNETES = "of what Kubernetes makes and collects: it comes and goes by itself"
YEAR_1, YEAR_3000 = 62135596800, 32503680000  # seconds before, and after, 1970


def collect(host: Host) -> Section:
    """Absent where containerd never ran."""
    rows: Rows = {}
    volatile: Rows = {}
    paths = [path for path in ("%s/%s" % (root, FILE) for root in ROOTS) if host.exists(path)]
    if not paths:
        return absent("there is no %s/%s" % (ROOTS[0], FILE))
    for path in paths:
        _read(_open(host, path), rows, volatile)
    return Section(OK, rows, volatile)


def _open(host: Host, path: str) -> Database:
    """Return the database.  One that is not whole may have been in the middle of a change."""
    try:
        return Database(host.read_bytes(path, SIZE))
    except ValueError:
        return Database(host.read_bytes(path, SIZE))


def _read(database: Database, rows: Rows, volatile: Rows) -> None:
    for namespace, bucket in database.path(b"v1").items():
        if not isinstance(bucket, Bucket):
            continue
        into = volatile if namespace == KUBERNETES else rows
        prefix = _text(namespace)
        content = database.bucket(bucket)
        for name, found in _buckets(database, content.get(b"images")).items():
            into["image %s/%s" % (prefix, _text(name))] = _image(database, found)
        for name, found in _buckets(database, content.get(b"containers")).items():
            into["container %s/%s" % (prefix, _text(name))] = _container(database, found)


def _buckets(database: Database, value: Optional[Value]) -> Dict[bytes, Dict[bytes, Value]]:
    """Return name -> content of the buckets in a bucket."""
    if not isinstance(value, Bucket):
        return {}
    return {name: database.bucket(one) for name, one in database.bucket(value).items() if isinstance(one, Bucket)}


def _image(database: Database, found: Mapping[bytes, Value]) -> Row:
    target = found.get(b"target")
    described = database.bucket(target) if isinstance(target, Bucket) else {}
    return empty_is_none({"id": _value(described.get(b"digest")), "media_type": _value(described.get(b"mediatype"))})


def _container(database: Database, found: Mapping[bytes, Value]) -> Row:
    runtime = found.get(b"runtime")
    named = database.bucket(runtime) if isinstance(runtime, Bucket) else {}
    labelled = found.get(b"labels")
    told = database.bucket(labelled) if isinstance(labelled, Bucket) else {}
    row: Row = {
        "image": _value(found.get(b"image")),
        "created": _time(found.get(b"createdat")),
        "runtime": _value(named.get(b"name")),
        "labels": labels({_text(name): _value(value) or "" for name, value in told.items()}),
    }
    return empty_is_none(row)


def _text(data: bytes) -> str:
    return printable(data.decode("utf-8", "backslashreplace"))


def _value(value: Optional[Value]) -> Optional[str]:
    return _text(value) if isinstance(value, bytes) else None


def _time(value: Optional[Value]) -> Optional[str]:
    """Return the time that Go's MarshalBinary wrote: version, seconds since the year 1, nanoseconds, offset."""
    if not isinstance(value, bytes) or len(value) < 15:
        return None
    seconds = int.from_bytes(value[1:9], "big") - YEAR_1
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if 0 <= seconds < YEAR_3000 else None


COLLECTOR = Collector(
    "software.containerd",
    key="image namespace/name, container namespace/id",
    collect=collect,
    deadline=10,
    fields=dict(IMAGE_FIELDS, media_type="what its name leads to: an index or a manifest", **CONTAINER_FIELDS),
    volatile=dict.fromkeys(
        ("id", "media_type", "image", "created", "runtime", "labels"), "of Kubernetes: comes and goes by itself"
    ),
)
