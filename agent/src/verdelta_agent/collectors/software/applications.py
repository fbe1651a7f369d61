"""Where applications keep libraries of their own: virtual environments, node_modules, bundles of gems.

They are looked for below a few roots and below what somebody chose to have watched, five levels deep (search.py says
what else bounds it).  The sections that look for them share one search.  No file system is entered that another machine
or a program serves, and no link is followed: a release directory and the "current" that leads to it are one.
"""

import posixpath
import re
from typing import Iterator, List, Mapping, NamedTuple

from ...host import Host, printable
from ..system.files import foreign, outermost, read_mounts

ROOTS: Mapping[str, int] = {  # and how many levels of each are listed
    "/opt": 5,
    "/srv": 5,
    "/usr/local": 5,
    "/var/lib": 5,
    "/var/www": 5,
    "/root/.local/pipx/venvs": 3,
    "/root/.local/share/pipx/venvs": 3,
    "/root/.local/share/uv/python": 3,
    "/root/.local/share/uv/tools": 3,
}
WATCHED = 5

PYTHON = r"/lib(?:64)?/(?:python|pypy)[0-9.]+"
NODE = "/node_modules"
RUBY = "/(?:lib(?:64)?|bundle)/ruby"
GEMS = "/specifications"
WANTED = "(?s).*(?:%s)" % "|".join((PYTHON, NODE, RUBY, GEMS))
WITHOUT = (  # names of directories in which there are no applications, but much else
    r"\.(?!venv)[^/]*",
    "__pycache__|(?:site|dist)-packages",
    r"lost\+found",
    "overlay2",
)
DATA = (  # names below /var/lib: databases, what is being built, and containers, which are systems of their own
    "apt|cni|containerd|containers|couchdb|docker|dpkg|elasticsearch|etcd|flatpak|gitlab-runner|influxdb|ipa"
    "|jenkins|kubelet|libvirt|lxc|lxcfs|lxd|machines|mlocate|mongo|mongodb|mysql|neo4j|opensearch|pacman"
    "|pgsql|plocate|portables|postgresql|prometheus|rabbitmq|rancher|redis|rpm|snapd|swtpm|systemd|ucf"
    "|waydroid"
)
CLOSED = "(?s).*/(?:%s)|/var/lib/(?:%s)" % ("|".join(WITHOUT), DATA)


class Applications(NamedTuple):
    """What was found below all roots."""

    paths: List[str]
    unread: List[str]

    def like(self, ending: str) -> Iterator[str]:
        """Yield the paths that end as one of the expressions above says."""
        return filter(re.compile("(?s).*(?:%s)" % ending).fullmatch, self.paths)


def find(host: Host) -> Applications:
    """Return the directories of libraries below the roots, and the directories that could not be looked into."""
    mounts = read_mounts(host)
    foreign_points = sorted(point for point in mounts if foreign(point, mounts) is not None)
    found = Applications([], [])
    for root, depth in _roots(host).items():
        if foreign(_target(host, root), mounts) is not None:
            continue
        closed = [CLOSED] + [re.escape(point) for point in foreign_points if point.startswith(root.rstrip("/") + "/")]
        paths, unread = host.find(root, WANTED, "|".join(closed), depth)
        found.paths.extend(paths)
        found.unread.extend(map(printable, unread))
    return found


def _roots(host: Host) -> Mapping[str, int]:
    """Return the roots and what is watched beside /etc, none below another one."""
    roots = dict(ROOTS)
    roots.update((path, WATCHED) for path in outermost(host.watched) if path not in Host.watched)
    return {path: roots[path] for path in outermost(list(roots))}


def _target(host: Host, root: str) -> str:
    """Return where a root leads that may itself be a link, without looking there."""
    try:
        return posixpath.normpath(posixpath.join(posixpath.dirname(root), host.readlink(root)))
    except OSError:
        return root
