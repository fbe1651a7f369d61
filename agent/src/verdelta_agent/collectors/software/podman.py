"""Images and containers of Podman (and Buildah and CRI-O, which keep theirs in the same place), from their files.

Sources of the format: containers-storage.conf(5); containers/storage's images.go and containers.go (DRIVER-images/
images.json, DRIVER-containers/containers.json); Podman's libpod/container_config.go, kept by boltdb_state.go in
bolt_state.db or, from Podman 5 on, by sqlite_state.go in db.sql.

A container of a systemd unit is made anew whenever the unit starts: it is compared without its id and time.  The stores
of users in their homes are not looked at.
"""

import re
from binascii import b2a_base64
from typing import Any, Dict, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.colon_separated import unused
from . import containers
from .bolt import Bucket, read
from .json_tree import Tree, load, load_list, mapping, number, objects, plain, text, texts, value
from .oci import parse_spec

ROOT = "/var/lib/containers/storage"
SETTINGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
BOLT = "libpod/bolt_state.db"
SQLITE = ("db.sql", "libpod/db.sql")
LISTED = 32 << 20  # bytes of images.json
UNIT = "PODMAN_SYSTEMD_UNIT"  # label
STATES = ("unknown", "created", "created", "running", "stopped", "paused", "exited", "removing", "stopping")
NEVER = "0001-01-01T00:00:00Z"

Databases = Tuple[
    Dict[str, Tree], Dict[str, Tree], Dict[str, str]
]  # id -> configuration, id -> state, id -> pod's name


def collect(host: Host) -> Section:
    """Absent where nothing is kept; failed where a list of what is kept cannot be read."""
    reader = Reader(host)
    root = _root(reader)
    kind = containers.elsewhere(host, root) if root != ROOT else None
    if kind is not None:
        return failed("%s is on %s: not looked at" % (printable(root), kind))
    kept = containers.names(host, root)
    bad: List[str] = []
    rows: Rows = {}
    for name in kept:
        if name.endswith("-images"):
            for key, row in _images(reader, "%s/%s" % (root, name), bad).items():
                rows[unused(key, rows)] = row
    stored: List[Tree] = []
    for name in kept:
        if name.endswith("-containers"):
            stored += _listed(host, "%s/%s/containers.json" % (root, name))
            stored += _listed(host, "%s/%s/volatile-containers.json" % (root, name))
    databases = _databases(host, root, bad)
    if not rows and not stored and not databases[0] and not bad:
        return absent("nothing is kept in %s" % printable(root))
    volatile = _place(stored, databases, rows)
    return Section(OK, rows, volatile, together(reader.error(), missing("not understood", sorted(set(bad)))))


def _root(reader: Reader) -> str:
    for path in SETTINGS:
        settings = reader.text(path)
        if settings is not None:
            stated = re.search(r"""^\s*graphroot\s*=\s*["'](/[^"']+)["']""", settings, re.MULTILINE)
            return stated.group(1).rstrip("/") or ROOT if stated else ROOT
    return ROOT


def _listed(host: Host, path: str) -> List[Tree]:
    return load_list(host.read_bytes(path, LISTED)) if host.exists(path) else []


# -- images


def _images(reader: Reader, store: str, bad: List[str]) -> Rows:
    rows: Rows = {}
    for image in _listed(reader.host, store + "/images.json"):
        identity = text(image, "id")
        row = dict(_made_for(reader, store, identity, bad), **parse_image(image))
        names = texts(image, "names")
        tags = [name for name in names if "@" not in name]
        row["digests"] = sorted(name for name in names if "@" in name)
        for name in tags or [identity]:
            rows["image " + name] = containers.stated(row)
    return rows


def parse_image(image: Tree) -> Row:
    """Return id, digest and created of an image."""
    return {"id": text(image, "id"), "digest": text(image, "digest"), "created": text(image, "created")}


def _made_for(reader: Reader, store: str, identity: str, bad: List[str]) -> Row:
    """Return what an image's configuration says of architecture and system; lists of images have none."""
    if not re.match(r"[0-9a-f]{64}\Z", identity):
        return {}
    name = "=" + b2a_base64(b"sha256:" + identity.encode("ascii")).decode("ascii").strip()
    content = reader.bytes("%s/%s/%s" % (store, identity, name))
    try:
        tree = {} if content is None else load(content)
    except ValueError as error:
        bad.append("image %s (%s)" % (identity, plain(str(error)[:80])))
        return {}
    return containers.made_for(tree)


# -- containers


def _databases(host: Host, root: str, bad: List[str]) -> Databases:
    """Return what Podman's databases say; an old one may lie beside a newer one.

    Raises OSError or ValueError where one cannot be read.
    """
    configurations: Dict[str, Tree] = {}
    states: Dict[str, Tree] = {}
    pods: Dict[str, str] = {}
    found: List[Databases] = []
    path = "%s/%s" % (root, BOLT)
    if host.exists(path):
        found.append(read(host, path, lambda bucket: parse_bolt(bucket, bad)))
    for name in SQLITE:
        if host.exists("%s/%s" % (root, name)):
            from .libpod_sqlite import read_tables  # few hosts have it, and sqlite is dear to import

            found.append(parse_tables(*read_tables(host, "%s/%s" % (root, name)), bad=bad))
    for database in found:
        configurations.update(database[0])
        states.update(database[1])
        pods.update(database[2])
    return configurations, states, pods


def parse_bolt(database: Bucket, bad: List[str]) -> Databases:
    """Return what bolt_state.db says."""
    configurations: Dict[str, bytes] = {}
    states: Dict[str, bytes] = {}
    pods: Dict[str, bytes] = {}
    for name, items in database.buckets():
        if name not in (b"ctr", b"pod"):
            continue
        for key, item in items.buckets():
            values, identity = item.values(), plain(key.decode("utf-8", "backslashreplace"))
            if name == b"ctr":
                configurations[identity] = values.get(b"config", b"")
                states[identity] = values.get(b"state", b"{}")
            else:
                pods[identity] = values.get(b"config", b"")
    return parse_tables(configurations, states, pods, bad=bad)


def parse_tables(
    configurations: Dict[str, bytes], states: Dict[str, bytes], pods: Dict[str, bytes], bad: List[str]
) -> Databases:
    """Return the documents of a database, parsed; what is not understood is added to `bad`."""

    def trees(documents: Dict[str, bytes]) -> Dict[str, Tree]:
        parsed = {}
        for identity, document in documents.items():
            try:
                parsed[identity] = load(document)
            except ValueError as error:
                bad.append("%s (%s)" % (identity, plain(str(error)[:80])))
        return parsed

    return trees(configurations), trees(states), {key: text(pod, "name") for key, pod in trees(pods).items()}


def _place(stored: List[Tree], databases: Databases, rows: Rows) -> Rows:
    """Add the containers to the rows, and return what is volatile.

    A container of which Podman's database knows, but the store does not, is one of an older database, unless it has a
    directory of its own as its root.
    """
    configurations, states, pods = databases
    volatile: Rows = {}
    by_id = {text(container, "id"): container for container in stored}
    for identity in sorted(set(by_id) | set(configurations)):
        configuration = configurations.get(identity)
        if configuration is None:
            name, row, why = parse_stored(by_id[identity])
        elif identity in by_id or text(configuration, "rootfs"):
            name, row, why = parse_configuration(configuration, pods, configurations)
        else:
            continue
        key = unused("container " + name, volatile)
        moving = parse_state(states.get(identity, {})) if configuration is not None else {}
        if why is None:
            if UNIT in mapping(configuration, "labels"):
                moving.update(id=row.pop("id", ""), created=row.pop("created", ""))
            rows[key] = row
            volatile[key] = moving
        else:
            volatile[key] = dict(moving, **containers.passing(row, why))
    return volatile


def parse_stored(container: Tree) -> Tuple[str, Row, Optional[str]]:
    """Return name, row and why it passes of a container of which Podman does not know: of Buildah, or of CRI-O."""
    try:
        about = load(text(container, "metadata"))
    except ValueError:
        about = {}
    names = texts(container, "names")
    row = {
        "id": text(container, "id"),
        "created": text(container, "created"),
        "image": text(about, "image-name"),
        "image_id": text(container, "image"),
    }
    why = "of Kubernetes" if text(about, "pod-name") else None
    return names[0] if names else text(container, "id"), containers.stated(row), why


def parse_configuration(
    configuration: Tree, pods: Dict[str, str], others: Dict[str, Tree]
) -> Tuple[str, Row, Optional[str]]:
    """Return name, row and why it comes and goes by itself of a container of Podman.

    `pods` and `others` are all pods' names, and all containers, by id.
    """
    labels = mapping(configuration, "labels")
    policy, retries = text(configuration, "restart_policy"), number(configuration, "restart_retries")
    row = parse_spec(mapping(configuration, "spec"))
    row.update(
        id=text(configuration, "id"),
        created=text(configuration, "createdTime"),
        image=text(configuration, "rootfsImageName") or text(configuration, "rootfs"),
        image_id=text(configuration, "rootfsImageID"),
        restart="%s:%d" % (policy, retries) if retries else policy or "no",
        ports=_ports(configuration),
        mounts=sorted(row["mounts"] + _volumes(configuration)),
        network=_network_mode(configuration, row, pods, others),
        networks=sorted(texts(configuration, "networks")),
        user=text(configuration, "user") or row["user"],
        privileged=value(configuration, "privileged") is True,
        labels=containers.shown_labels(labels),
        runtime=text(configuration, "runtime").rpartition("/")[2],
        pod=pods.get(text(configuration, "pod"), text(configuration, "pod")),
    )
    removed = text(configuration, "spec", "annotations", "io.podman.annotations.autoremove") == "TRUE"
    passes = "removed when it ends" if removed and UNIT not in labels else None
    return _name(configuration, pods), containers.stated(row), passes


def _name(configuration: Tree, pods: Dict[str, str]) -> str:
    """Return a container's name; that of a pod's own one is made of the pod's id, unless somebody chose another."""
    pod = pods.get(text(configuration, "pod"))
    if pod and value(configuration, "pause") is True:
        return pod + "-infra"
    return text(configuration, "name") or text(configuration, "id")


def _network_mode(configuration: Tree, row: Row, pods: Dict[str, str], others: Dict[str, Tree]) -> str:
    other = text(configuration, "netNsCtr")
    if other:
        return "container:" + (_name(others[other], pods) if other in others else other)
    mode = text(configuration, "networkMode")
    if mode:
        return "bridge" if mode == "default" else mode
    return "host" if "network" in row["host_namespaces"] else "none"


def _ports(configuration: Tree) -> List[str]:
    ports = []
    for port in objects(configuration, "newPortMappings"):
        count = max(1, min(number(port, "range"), 65536))
        outer, inner = number(port, "host_port"), number(port, "container_port")
        for protocol in text(port, "protocol").split(","):
            shown = "%s/%s" % (_range(inner, count), protocol or "tcp")
            ports.append(containers.shown_port(text(port, "host_ip"), _range(outer, count) if outer else "", shown))
    for port in objects(configuration, "portMappings"):  # before Podman 4
        shown = "%d/%s" % (number(port, "containerPort"), text(port, "protocol"))
        ports.append(containers.shown_port(text(port, "hostIP"), str(number(port, "hostPort") or ""), shown))
    return sorted(ports)


def _range(first: int, count: int) -> str:
    return "%d-%d" % (first, first + count - 1) if count > 1 else str(first)


def _volumes(configuration: Tree) -> List[str]:
    return [
        containers.shown_mount(text(volume, "volumeName"), text(volume, "dest"), "ro" in texts(volume, "options"))
        for volume in objects(configuration, "namedVolumes")
    ]


def parse_state(state: Tree) -> Row:
    """Return what moves: state, pid, exit code and times."""
    kind = number(state, "state")
    moving: Dict[str, Any] = {"pid": number(state, "pid"), "exit_code": number(state, "exitCode")}
    times = {"started": text(state, "startedTime"), "finished": text(state, "finishedTime")}
    moving.update((name, time) for name, time in times.items() if time != NEVER)
    return dict(containers.stated(moving), state=STATES[kind] if 0 <= kind < len(STATES) else STATES[0])


_AGAIN = "of a container of a systemd unit: it is made anew whenever the unit starts"

COLLECTOR = Collector(
    "software.podman",
    key='"image name:tag", "image id" where no tag leads to it, "container name"',
    collect=collect,
    deadline=15,
    fields=dict(
        containers.CONTAINER_FIELDS,
        digest="of an image: of its manifest",
        digests="of an image: name@digest by which it was pulled, sorted",
        **{name: containers.IMAGE_FIELDS[name] for name in ("architecture", "os")},
    ),
    volatile=dict(
        {name: text for name, text in containers.MOVING.items() if name not in ("restarts", "addresses")},
        id=_AGAIN,
        created=_AGAIN,
    ),
)
