"""Images and containers of containerd, from its metadata database: no daemon has to run, and none is asked.

Sources of the format: containerd's core/metadata/buckets.go (v1/NAMESPACE/images and containers), images.go and
containers.go beside it; bolt.py for the file.

What Kubernetes keeps here is shown and never compared: the kubelet pulls and removes images, and makes containers, as
pods come and go.  Docker's own containers are here only while they run: software.docker has them.
"""

import re
import time
from typing import Dict, Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.colon_separated import unused
from . import containers
from .bolt import Bucket, read
from .json_tree import Tree, load, plain
from .oci import parse_spec

ROOT = "/var/lib/containerd"
SETTINGS = "/etc/containerd/config.toml"
OTHERS = (
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/lib/rancher/rke2/agent/containerd",
    "/var/lib/docker/containerd/daemon",
)
DATABASE = "io.containerd.metadata.v1.bolt/meta.db"
RUNNING = "/run/containerd/io.containerd.runtime.v2.task"
PASSING = {"k8s.io": "of Kubernetes", "moby": "of Docker"}  # namespaces
EPOCH = 62135596800  # seconds from the year 1 to 1970
LATEST = 253402300799  # 9999-12-31
KUBELET = "of an image of Kubernetes: the kubelet pulls and removes such images by itself"
NAME, RESTART, PASSES = "nerdctl/name", "containerd.io/restart.policy", "nerdctl/auto-remove"

Labels = Dict[str, str]
Found = Tuple[List[Tuple[str, str, Row]], List[Tuple[str, str, Row, Labels]]]  # of namespaces: images, and containers


def collect(host: Host) -> Section:
    """Absent where containerd keeps nothing; failed where its database cannot be read."""
    reader = Reader(host)
    rows: Rows = {}
    volatile: Rows = {}
    bad: List[str] = []
    stores = [store for store in (root(reader),) + OTHERS if host.exists("%s/%s" % (store, DATABASE))]
    if not stores:
        return absent("containerd keeps nothing here")
    for store in stores:
        kind = containers.elsewhere(host, store) if store != ROOT else None
        if kind is not None:
            return failed("%s is on %s: not looked at" % (printable(store), kind))
        bad_here: List[str] = []
        images, found = read(host, "%s/%s" % (store, DATABASE), lambda bucket: parse(bucket, bad_here))  # noqa: B023
        bad += bad_here
        for namespace, name, row in images:
            kept = volatile if namespace == "k8s.io" else rows
            kept[unused("image %s/%s" % (namespace, name), kept)] = row
        _place(found, _running(reader), rows, volatile)
    return Section(OK, rows, volatile, together(reader.error(), missing("not understood", sorted(set(bad)))))


def root(reader: Reader) -> str:
    """Return where containerd is set to keep its things."""
    settings = (reader.text(SETTINGS) or "").partition("\n[")[0]
    stated = re.search(r"""^\s*root\s*=\s*["'](/[^"']+)["']""", settings, re.MULTILINE)
    return stated.group(1).rstrip("/") or ROOT if stated else ROOT


def _running(reader: Reader) -> Dict[str, List[str]]:
    return {namespace: reader.names("%s/%s" % (RUNNING, namespace)) for namespace in reader.names(RUNNING)}


def _place(
    found: List[Tuple[str, str, Row, Labels]], running: Dict[str, List[str]], rows: Rows, volatile: Rows
) -> None:
    """Put containers where they belong: what comes and goes by itself is not compared."""
    for namespace, identity, row, labels in found:
        why = PASSING.get(namespace)
        if why is None and (containers.POD in labels or labels.get(PASSES) == "true"):
            why = "of Kubernetes" if containers.POD in labels else "removed when it ends"
        state: Row = {"state": "running" if identity in running.get(namespace, ()) else "not running"}
        key = unused("container %s/%s" % (namespace, plain(labels.get(NAME) or identity)), volatile)
        volatile[key] = state if why is None else dict(state, **containers.passing(row, why))
        if why is None:
            rows[key] = row


def parse(database: Bucket, bad: List[str]) -> Found:
    """Return the images and containers of every namespace; what is not understood is added to `bad`.

    Raises Corrupt where the database is broken.
    """
    images: List[Tuple[str, str, Row]] = []
    found: List[Tuple[str, str, Row, Labels]] = []
    bad.clear()
    for namespace, kind, name, item in _objects(database):
        if kind == b"images":
            images.append((namespace, name, parse_image(item)))
        elif kind == b"containers":
            found.append((namespace, name) + parse_container(name, item, bad))
    return images, found


def _objects(database: Bucket) -> Iterator[Tuple[str, bytes, str, Bucket]]:
    """Yield namespace, kind, name and bucket of every image and container."""
    for version, namespaces in database.buckets():
        for namespace, kinds in namespaces.buckets() if version == b"v1" else ():
            for kind, items in kinds.buckets():
                for name, item in items.buckets() if kind in (b"images", b"containers") else ():
                    yield _text(namespace), kind, _text(name), item


def parse_image(image: Bucket) -> Row:
    """Return the row of an image."""
    values, below = _values(image)
    target = below.get("target", {})
    return containers.stated(
        {
            "digest": _text(target.get("digest", b"")),
            "media_type": _text(target.get("mediatype", b"")),
            "created": moment(values.get("createdat", b"")),
            "labels": containers.shown_labels({name: _text(value) for name, value in below.get("labels", {}).items()}),
        }
    )


def parse_container(identity: str, container: Bucket, bad: List[str]) -> Tuple[Row, Labels]:
    """Return the row of a container, and its labels."""
    values, below = _values(container)
    labels = {name: _text(value) for name, value in below.get("labels", {}).items()}
    try:
        spec: Tree = load(_of_any(values["spec"])) if "spec" in values else {}
    except ValueError as error:
        spec = {}
        bad.append("specification of %s (%s)" % (identity, plain(str(error)[:80])))
    row: Row = dict(
        parse_spec(spec),
        id=identity,
        created=moment(values.get("createdat", b"")),
        image=_text(values.get("image", b"")),
        runtime=_text(below.get("runtime", {}).get("name", b"")),
        labels=containers.shown_labels(labels),
        restart=plain(labels.get(RESTART, "")),
    )
    return containers.stated(row), labels


def _values(bucket: Bucket) -> Tuple[Dict[str, bytes], Dict[str, Dict[str, bytes]]]:
    """Return the values of a bucket, and those of the buckets in it."""
    values: Dict[str, bytes] = {}
    below: Dict[str, Dict[str, bytes]] = {}
    for item in bucket.items():
        if item.bucket is None:
            values[_text(item.key)] = item.value
        else:
            below[_text(item.key)] = {_text(key): value for key, value in item.bucket.values().items()}
    return values, below


def _of_any(message: bytes) -> bytes:
    """Return the value, field 2, of a protobuf message of type Any.  Raises ValueError."""
    position = 0
    while position < len(message):
        tag = message[position]
        size, start = _varint(message, position + 1)
        if tag == 0x12:
            return message[start : start + size]
        if tag != 0x0A:
            break
        position = start + size
    raise ValueError("no value in it")


def _varint(message: bytes, position: int) -> Tuple[int, int]:
    number = shift = 0
    for here in range(position, min(position + 5, len(message))):
        number |= (message[here] & 0x7F) << shift
        shift += 7
        if message[here] < 0x80:
            return number, here + 1
    raise ValueError("cut short")


def moment(stamp: bytes) -> Optional[str]:
    """Return a time as Go's Time.MarshalBinary writes it: a version, seconds since the year 1, nanoseconds, offset."""
    seconds = int.from_bytes(stamp[1:9], "big", signed=True) - EPOCH
    if len(stamp) < 15 or stamp[0] not in (1, 2) or not 0 <= seconds <= LATEST:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _text(value: bytes) -> str:
    return plain(value.decode("utf-8", "backslashreplace"))


COLLECTOR = Collector(
    "software.containerd",
    key='"image namespace/name", "container namespace/id", or its name where nerdctl gave it one',
    collect=collect,
    deadline=15,
    fields=dict(
        {
            name: containers.CONTAINER_FIELDS[name]
            for name in ("id", "image", "command", "restart", "mounts", "user", "privileged", "environment", "labels")
            + ("capabilities", "devices", "host_namespaces", "runtime")
        },
        created="when it was made; of an image, when its name was first kept here",
        digest="of an image: of the manifest that the name leads to",
        media_type="of an image: kind of that manifest, or index of several",
    ),
    volatile=dict(
        {name: containers.MOVING[name] for name in ("state", "image", "command", "ephemeral")},
        **dict.fromkeys(("digest", "media_type", "created", "labels"), KUBELET),
    ),
)
