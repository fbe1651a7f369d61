"""What stays the same of a container, from the OCI runtime specification that it was made with.

Source of the format: the Open Container Initiative's runtime-spec, config.md and config-linux.md.
"""

from typing import List

from ...model import Row
from . import containers
from .json_tree import Tree, number, objects, text, texts

USUAL_MOUNTS = ("/dev", "/dev/shm", "/run")  # noqa: S108 - of memory, in every container
SHARED = ("network", "pid", "ipc", "uts")


def parse_spec(spec: Tree) -> Row:
    """Return command, user, environment, mounts, capabilities, devices, host_namespaces and privileged."""
    capabilities = texts(spec, "process", "capabilities", "bounding")
    everything = "CAP_SYS_ADMIN" in capabilities and not texts(spec, "linux", "maskedPaths")
    return {
        "command": containers.shown_command(texts(spec, "process", "args")),
        "user": _user(spec),
        "environment": containers.shown_variables(texts(spec, "process", "env")),
        "mounts": sorted(set(_mounts(spec))),
        "privileged": everything,
        "capabilities": [] if everything else sorted(containers.bare(name) for name in capabilities),
        "devices": [] if everything else sorted(text(device, "path") for device in objects(spec, "linux", "devices")),
        "host_namespaces": _shared(spec),
    }


def _user(spec: Tree) -> str:
    name, uid, gid = text(spec, "process", "user", "username"), "uid", "gid"
    ids = number(spec, "process", "user", uid), number(spec, "process", "user", gid)
    return name or ("%d:%d" % ids if any(ids) else "")


def _mounts(spec: Tree) -> List[str]:
    mounts = []
    for mount in objects(spec, "mounts"):
        options, destination = texts(mount, "options"), text(mount, "destination")
        source = text(mount, "source")
        if "bind" in options or "rbind" in options or text(mount, "type") == "bind":
            mounts.append(containers.shown_mount(source, destination, "ro" in options))
        elif text(mount, "type") == "tmpfs" and destination not in USUAL_MOUNTS:
            mounts.append(containers.shown_mount("tmpfs", destination, "ro" in options))
    return mounts


def _shared(spec: Tree) -> List[str]:
    own = {text(namespace, "type") for namespace in objects(spec, "linux", "namespaces")}
    return [name for name in SHARED if name not in own] if own else []
