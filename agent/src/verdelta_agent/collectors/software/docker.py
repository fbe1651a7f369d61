"""Images and containers of Docker, from its files: no daemon has to run, and none is asked.

Sources of the format: moby's image/fs.go and reference/store.go (image/DRIVER/imagedb, repositories.json),
container/container.go and api/types/container (config.v2.json, hostconfig.json), dockerd(8) for daemon.json.

Each file is replaced as a whole by Docker, so that one read is one state; what vanishes meanwhile is looked for again.
A newer Docker may leave its images to containerd: then software.containerd has them, and this section says so.
"""

from typing import Dict, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent, failed
from ..configuration import Reader
from ..incomplete import missing, together
from ..system.colon_separated import unused
from . import containers
from .json_tree import Tree, load, mapping, number, objects, plain, text, texts, value

ROOT = "/var/lib/docker"
SETTINGS = "/etc/docker/daemon.json"
CONTAINERD = ("overlayfs", "native", "stargz", "nydus", "erofs")  # snapshotters, in the place of a driver's name
NEVER = "0001-01-01T00:00:00Z"
REPOSITORIES = 16 << 20  # bytes
IN_CONTAINERD = "images are kept by containerd: see software.containerd, namespace moby"


def collect(host: Host) -> Section:
    """Absent where Docker keeps nothing; partial where a file of one image or container cannot be read."""
    found = _Found(Reader(host))
    root = found.root()
    kind = containers.elsewhere(host, root) if root != ROOT else None
    if kind is not None:
        return failed("%s is on %s: not looked at" % (printable(root), kind))
    drivers = containers.names(host, root + "/image")
    for driver in sorted(drivers, key=lambda name: (name != "overlay2", name)):
        found.images("%s/image/%s" % (root, driver), driver)
    for identity in containers.names(host, root + "/containers"):
        found.container("%s/containers/%s" % (root, identity))
    if not drivers and not found.volatile and found.error() is None:
        return absent("Docker keeps nothing in %s" % printable(root))
    return Section(OK, found.rows, found.volatile, found.error())


class _Found:
    """What was found so far, and what was wrong with the rest."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.rows: Rows = {}
        self.volatile: Rows = {}
        self.bad: List[str] = []
        self.images_elsewhere = False

    def error(self) -> Optional[str]:
        elsewhere = IN_CONTAINERD if self.images_elsewhere else None
        return together(self.reader.error(), missing("not understood", self.bad), elsewhere)

    def root(self) -> str:
        """Return where Docker keeps its things, and note whether its images are elsewhere."""
        settings = self.tree(SETTINGS) or {}
        stated = text(settings, "data-root") or text(settings, "graph")
        root = stated.rstrip("/") if stated.startswith("/") and stated.strip("/") else ROOT
        # Docker mounts what containerd keeps for its containers below rootfs/.
        self.images_elsewhere = value(settings, "features", "containerd-snapshotter") is True or (
            root == ROOT and self.reader.host.exists(root + "/rootfs")
        )
        return root

    def tree(self, path: str) -> Optional[Tree]:
        """Return what a file says, or None where there is none, or nothing can be understood in it."""
        content = self.reader.bytes(path)
        try:
            return None if content is None else load(content)
        except ValueError as error:
            self.bad.append("%s (%s)" % (printable(path), plain(str(error)[:80])))
            return None

    def images(self, store: str, driver: str) -> None:
        """Take in the images of one storage driver.

        Raises OSError or ValueError where it is not to be known which image a name leads to: each would look like
        another one.
        """
        host, content = self.reader.host, store + "/imagedb/content/sha256"
        for _ in range(2):  # an image that is named, but not there, is one that came since it was looked for
            stored = set(containers.names(host, content))
            path = store + "/repositories.json"
            named = parse_repositories(load(host.read_bytes(path, REPOSITORIES)) if host.exists(path) else {})
            lost = sorted(key for key, (identity, _) in named.items() if identity.partition(":")[2] not in stored)
            if not lost:
                break
        self.bad += ["image %s (there is none)" % key for key in lost]
        known: Dict[str, Row] = {}
        for name in sorted(stored):
            tree = self.tree("%s/%s" % (content, name))
            if tree is not None:
                known["sha256:" + printable(name)] = parse_image(tree)
        for key, row in image_rows(named, known).items():
            self.rows[unused(key, self.rows)] = dict(row, driver=printable(driver))

    def container(self, directory: str) -> None:
        """Take in one container."""
        troubles = len(self.bad), len(self.reader.problems)
        config = self.tree(directory + "/config.v2.json")
        if config is None:
            if troubles == (len(self.bad), len(self.reader.problems)) and self.reader.host.exists(directory):
                self.bad.append("%s (no config.v2.json)" % printable(directory))
            return
        limits = self.tree(directory + "/hostconfig.json") or {}
        name = text(config, "Name").lstrip("/") or text(config, "ID")
        key = unused("container " + name, self.volatile)
        row, moving = parse_container(config, limits), parse_state(config)
        why = ephemeral(config, limits)
        if why is None:
            self.rows[key], self.volatile[key] = row, moving
        else:
            self.volatile[key] = dict(moving, **containers.passing(row, why))
        if text(config, "Driver") in CONTAINERD:
            self.images_elsewhere = True


# -- images


def parse_repositories(tree: Tree) -> Dict[str, Tuple[str, str]]:
    """Return reference -> id and repository; a reference is name:tag, or name@digest."""
    named = {}
    for repository, references in mapping(tree, "Repositories").items():
        for reference in mapping(references):
            named[plain(reference)] = text(references, reference), plain(repository)
    return named


def parse_image(tree: Tree) -> Row:
    """Return created, architecture and os of an image's configuration."""
    return dict(containers.made_for(tree), created=text(tree, "created"))


def image_rows(named: Dict[str, Tuple[str, str]], known: Dict[str, Row]) -> Rows:
    """Return "image name:tag" -> row, and "image id" of the images that no tag leads to.

    So a tag that was pulled anew is one changed row; the image that it led to before is one without a tag from then on.
    """
    digests: Dict[str, List[str]] = {}
    for reference, (identity, _) in named.items():
        if "@" in reference:
            digests.setdefault(identity, []).append(reference)
    rows: Rows = {}
    tagged = set()
    for reference, (identity, repository) in named.items():
        if "@" not in reference:
            tagged.add(identity)
            here = [digest for digest in digests.get(identity, []) if digest.startswith(repository + "@")]
            rows["image " + reference] = _image(identity, here, known)
    for identity in set(known) - tagged:
        rows["image " + identity] = _image(identity, digests.get(identity, []), known)
    return rows


def _image(identity: str, digests: List[str], known: Dict[str, Row]) -> Row:
    row = dict(known.get(identity, {}), id=identity, digests=sorted(digests))
    return containers.stated(row)


# -- containers


def parse_container(config: Tree, limits: Tree) -> Row:
    """Return what stays the same of a container; `limits` is hostconfig.json."""
    mode = text(limits, "NetworkMode")
    policy = text(limits, "RestartPolicy", "Name")
    retries = number(limits, "RestartPolicy", "MaximumRetryCount")
    return containers.stated(
        {
            "id": text(config, "ID"),
            "created": text(config, "Created"),
            "image": text(config, "Config", "Image"),
            "image_id": text(config, "Image"),
            "command": containers.shown_command([text(config, "Path")] + texts(config, "Args")),
            "restart": "%s:%d" % (policy, retries) if retries else policy or "no",
            "ports": _ports(mapping(limits, "PortBindings"), value(limits, "PublishAllPorts") is True),
            "mounts": _mounts(config, limits),
            "network": "bridge" if mode in ("", "default") else mode,
            "networks": sorted(texts(config, "NetworkSettings", "Networks")),
            "user": text(config, "Config", "User"),
            "privileged": value(limits, "Privileged") is True,
            "environment": containers.shown_variables(texts(config, "Config", "Env")),
            "labels": containers.shown_labels(mapping(config, "Config", "Labels")),
            "capabilities": _capabilities(limits),
            "devices": sorted(text(device, "PathOnHost") for device in objects(limits, "Devices")),
            "host_namespaces": [
                name
                for name, mode in (("pid", "PidMode"), ("ipc", "IpcMode"), ("uts", "UTSMode"), ("user", "UsernsMode"))
                if text(limits, mode) == "host"
            ],
            "security": sorted(map(_security, texts(limits, "SecurityOpt"))),
            "runtime": text(limits, "Runtime"),
        }
    )


def _security(option: str) -> str:
    """Return an option's name and value; of a seccomp profile, which stands there as a whole, that it is one."""
    return option if len(option) < 100 else option.partition("=")[0] + "=(a profile)"


def _ports(bindings: Tree, every_other: bool) -> List[str]:
    ports = ["*->every exposed port"] if every_other else []
    for inner in bindings:
        ports += [
            containers.shown_port(text(binding, "HostIp"), text(binding, "HostPort"), plain(inner))
            for binding in objects(bindings, inner)
        ]
    return sorted(ports)


def _mounts(config: Tree, limits: Tree) -> List[str]:
    mounts = ["tmpfs:" + path for path in texts(limits, "Tmpfs")]
    points = mapping(config, "MountPoints")
    for destination in points:
        point = points[destination]
        source = text(point, "Name") or text(point, "Source") or text(point, "Type")
        mounts.append(containers.shown_mount(source, plain(destination), value(point, "RW") is False))
    return sorted(mounts)


def _capabilities(limits: Tree) -> List[str]:
    added, dropped = texts(limits, "CapAdd"), texts(limits, "CapDrop")
    signed = [("+", name) for name in added] + [("-", name) for name in dropped]
    return sorted(sign + containers.bare(name) for sign, name in signed)


def ephemeral(config: Tree, limits: Tree) -> Optional[str]:
    """Return why a container comes and goes by itself, if it does."""
    labels = mapping(config, "Config", "Labels")
    if containers.POD in labels:
        return "of Kubernetes"
    if containers.TASK in labels:
        return "of Swarm"
    return "removed when it ends" if value(limits, "AutoRemove") is True else None


def parse_state(config: Tree) -> Row:
    """Return what moves: state, pid, exit code, times, restarts and addresses."""
    state = mapping(config, "State")
    networks = mapping(config, "NetworkSettings", "Networks")
    addresses = [text(networks, name, kind) for name in networks for kind in ("IPAddress", "GlobalIPv6Address")]
    times = {"started": text(state, "StartedAt"), "finished": text(state, "FinishedAt")}
    moving: Row = {name: time for name, time in times.items() if time != NEVER}
    moving.update(addresses=sorted(filter(None, addresses)), pid=number(state, "Pid"))
    moving.update(restarts=number(config, "RestartCount"), exit_code=number(state, "ExitCode"))
    return dict(containers.stated(moving), state=_state(state))


def _state(state: Tree) -> str:
    for name, word in (("Restarting", "restarting"), ("Paused", "paused"), ("Running", "running"), ("Dead", "dead")):
        if value(state, name) is True:
            return word
    return "created" if text(state, "StartedAt") in ("", NEVER) else "exited"


COLLECTOR = Collector(
    "software.docker",
    key='"image name:tag", "image id" where no tag leads to it, "container name"',
    collect=collect,
    deadline=15,
    fields=dict(
        containers.CONTAINER_FIELDS,
        digests="of an image: name@digest by which it was pulled, sorted",
        driver="of an image: storage driver that keeps it",
        **{name: containers.IMAGE_FIELDS[name] for name in ("architecture", "os")},
    ),
    volatile=containers.MOVING,
)
