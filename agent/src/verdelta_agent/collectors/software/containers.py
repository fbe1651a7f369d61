"""What is shown of a container, whichever engine keeps it: nothing that is a secret, and nothing that moves.

Environment variables and labels are where passwords are handed over: their names are shown, and of few labels the
value.  Of a command, what follows an option or a name that sounds like a secret is hidden; a password that is given
without any such word cannot be told from another argument.
"""

import re
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ...host import Host
from ...model import Row
from ..system.files import MOUNTINFO, foreign, parse_mounts
from .json_tree import Tree, plain, text

HIDDEN = "(hidden)"
SHOWN_LABELS = (
    "com.docker.compose.project",
    "com.docker.compose.service",
    "io.podman.compose.project",
    "org.opencontainers.image.version",
    "PODMAN_SYSTEMD_UNIT",
)
POD = "io.kubernetes.pod.name"  # Kubernetes' own label: such a container comes and goes by itself
TASK = "com.docker.swarm.task.id"  # and so does a task of Swarm

WORD = r"pass|pwd|secret|token|cred|auth|private|key(?![a-z])"
OPTION = re.compile(r"--?[\w.-]*(?:%s)[\w.-]*\Z" % WORD, re.IGNORECASE)
ASSIGNED = re.compile(
    r"""([\w.-]*(?:%s)[\w.-]*["']?\s*[=:]\s*|-[\w.-]*(?:%s)[\w.-]*\s+)("[^"]*"|'[^']*'|\S+)""" % (WORD, WORD),
    re.IGNORECASE,
)
HEADER = re.compile(r"((?:authorization|bearer|basic)\b:?\s+).+", re.IGNORECASE | re.DOTALL)
LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
DATABASE = re.compile(r"(?:mysql|mariadb)[\w-]*\Z")  # its option -p has the password right behind it
ARGUMENTS = 64  # of a command; of more, the rest is counted
ARGUMENT = 512  # characters


def shown_command(words: Iterable[str]) -> str:
    """Return a command as one line, without the secrets that can be recognised."""
    listed = list(words)
    program = listed[0].rpartition("/")[2] if listed else ""
    shown: List[str] = []
    hide = False
    for word in listed[:ARGUMENTS]:
        shown.append(HIDDEN if hide and not word.startswith("-") else _argument(word, program))
        hide = OPTION.match(word) is not None
    if len(listed) > ARGUMENTS:
        shown.append("… and %d more" % (len(listed) - ARGUMENTS))
    return plain(" ".join(shown))


def _argument(word: str, program: str) -> str:
    if word[:2] == "-p" and len(word) > 2 and DATABASE.match(program):
        return "-p" + HIDDEN
    word = LOGIN.sub("", word[:ARGUMENT])
    return HEADER.sub(r"\1" + HIDDEN, ASSIGNED.sub(r"\1" + HIDDEN, word))


def shown_variables(environment: Iterable[str]) -> List[str]:
    """Return the names of NAME=value, sorted."""
    return sorted({plain(variable.partition("=")[0]) for variable in environment})


def shown_labels(labels: Mapping[str, Any]) -> List[str]:
    """Return the names of labels, sorted; of those that are known to hold no secret, name=value."""
    return sorted(
        plain("%s=%s" % (name, value) if name in SHOWN_LABELS and isinstance(value, str) else name)
        for name, value in labels.items()
    )


def shown_mount(source: str, destination: str, read_only: bool) -> str:
    """Return a mount as the engines' option --volume has it.  A volume without a name has an id as its name."""
    if re.match(r"[0-9a-f]{64}\Z", source):
        source = "(anonymous)"
    return "%s:%s%s" % (source, destination, ":ro" if read_only else "")


def shown_port(address: str, port: str, inner: str) -> str:
    """Return a published port as `docker ps` shows it; * for one that is chosen at each start."""
    address = "[%s]" % address if ":" in address else address
    return "%s%s->%s" % (address + ":" if address else "", port or "*", inner)


def bare(capability: str) -> str:
    """Return a capability's name as people type it: engines store it with CAP_ in front of it or without."""
    return capability[4:] if capability.startswith("CAP_") else capability


def made_for(configuration: Tree) -> Row:
    """Return architecture and os, as an image's configuration states them."""
    system, variant = text(configuration, "os"), text(configuration, "variant")
    architecture = text(configuration, "architecture") + ("/" + variant if variant else "")
    return {"architecture": architecture, "os": "" if system == "linux" else system}


def stated(row: Row) -> Row:
    """Return a row without the fields that say nothing: an empty list, text, or false."""
    return {name: value for name, value in row.items() if value not in (None, "", [], False)}


def names(host: Host, directory: str) -> List[str]:
    """Return the names in a directory, or none where there is none.  Raises OSError where it cannot be read."""
    try:
        return host.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def elsewhere(host: Host, path: str) -> Optional[str]:
    """Return the kind of file system that a store is on if it is another machine's, which may never answer."""
    mounts = parse_mounts(host.read(MOUNTINFO)) if host.exists(MOUNTINFO) else {}
    return foreign(path, mounts)


IMAGE_FIELDS: Dict[str, str] = {
    "created": "when it was made, by whoever made it",
    "architecture": "for which processors, with the variant",
    "os": "for which system, where that is not linux",
    "size": "bytes of what it is made of, as far as the engine knows",
}
CONTAINER_FIELDS: Dict[str, str] = {
    "id": "of an image or a container; a container that was made anew has another one",
    "created": "when it was made",
    "image": "name of the image that it was made from",
    "image_id": "id of the image that it was made from: the name may lead to another one by now",
    "command": "what runs in it; what sounds like a secret is hidden",
    "restart": "policy: no, always, unless-stopped, on-failure:3",
    "ports": "published ports, address:port->port in the container; * for one that is chosen at each start",
    "mounts": "source:destination, with :ro where it cannot be written to; sorted",
    "network": "bridge, host, none, or whose network it shares",
    "networks": "names of the networks that it is in, sorted",
    "user": "as whom it runs, where that is not root or the image's own",
    "privileged": "true where it may do anything to the host",
    "environment": "names of its environment variables, sorted, never a value",
    "labels": "names of its labels, sorted; with the value where that is known to be no secret",
    "capabilities": "of Docker: added (+) and dropped (-); of others: all that it may ever have; sorted",
    "devices": "devices of the host that it is given, sorted",
    "host_namespaces": "what of the host it sees: network, pid, ipc, uts, user",
    "security": "options of SELinux, AppArmor and seccomp, sorted",
    "runtime": "by which it is run",
    "pod": "name of the pod that it belongs to",
}
_MOVES = "changes whenever it is started or ends"
_PASSES = "such a container comes and goes by itself: of Kubernetes, of Swarm, or removed when it ends"
MOVING: Dict[str, str] = {
    "state": _MOVES,
    "pid": _MOVES,
    "exit_code": _MOVES,
    "started": _MOVES,
    "finished": _MOVES,
    "restarts": "counts by itself",
    "addresses": "given at each start",
    "image": _PASSES,
    "image_id": _PASSES,
    "command": _PASSES,
    "ephemeral": "why it is not compared",
}


def passing(row: Row, why: str) -> Row:
    """Return what is shown of a container that comes and goes by itself."""
    return dict({name: row[name] for name in ("image", "image_id", "command") if name in row}, ephemeral=why)
