"""Python distributions of every interpreter and virtual environment, from the metadata directories beside the modules.

Sources of the format: the PyPA specifications "Recording installed projects" (name-version.dist-info), "Recording the
direct URL origin" (direct_url.json) and "Names and normalization"; setuptools' documentation of egg-info, egg and
egg-link.  A directory's name says both name and version, so that hardly a file is opened.

Beside the system's interpreters these are: what applications.py finds below /opt, /srv and the like (virtual
environments, other interpreters, conda), and the tools that root has installed by pipx and uv.
"""

import json
import re
from itertools import chain
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..incomplete import missing, together
from . import applications

PREFIXES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
INTERPRETER = re.compile(r"python[0-9][0-9.]*\Z")  # Debian's packages lie below python3, whatever the minor version
DIRECTORIES = ("dist-packages", "site-packages")
KINDS = (".dist-info", ".egg-info", ".egg", ".egg-link")  # the first goes before the others where a name has several
METADATA = ("METADATA", "PKG-INFO", "EGG-INFO/PKG-INFO")
DIRECT_URL = "direct_url.json"
SMALL = 1 << 20  # bytes of a metadata file


class Distribution(NamedTuple):
    """What the name of a metadata directory says; the version is empty where it says none."""

    entry: str
    kind: str
    name: str  # normalised
    version: str


def collect(host: Host) -> Section:
    """Absent where no interpreter has a directory for distributions."""
    private = applications.find(host)
    unread = list(private.unread)
    found = list(_directories(host, private, unread))
    if not found and not unread:
        return absent()
    rows: Rows = {}
    problems: List[str] = []
    for directory, entries in found:
        for name, distributions in by_name(entries).items():
            rows["%s:%s" % (printable(directory), name)] = _row(host, directory, distributions, problems)
    return Section(OK, rows, {}, together(missing("partial: not read", unread), missing("not understood", problems)))


def _directories(host: Host, private: applications.Applications, unread: List[str]) -> Iterator[Tuple[str, List[str]]]:
    """Yield the directories that distributions lie in and the names there.

    Each comes once, though /usr/lib64 may be a link to /usr/lib.
    """
    seen = set()
    for interpreter in chain(_interpreters(host), private.like(applications.PYTHON)):
        for path in ("%s/%s" % (interpreter, name) for name in DIRECTORIES):
            try:
                if host.exists(path) and host.resolve(path) not in seen:
                    seen.add(host.resolve(path))
                    yield path, host.listdir(path)
            except OSError as error:
                unread.append(printable("%s (%s)" % (path, error.strerror)))


def _interpreters(host: Host) -> Iterator[str]:
    """Yield the directories of the libraries of the system's interpreters."""
    for prefix in PREFIXES:
        for interpreter in filter(INTERPRETER.match, _names(host, prefix)):
            yield "%s/%s" % (prefix, interpreter)


def _names(host: Host, path: str) -> List[str]:
    return host.listdir(path) if host.exists(path) else []


def by_name(entries: Iterable[str]) -> Dict[str, List[Distribution]]:
    """Return the distributions among the names of a directory; of one name, the one that counts comes first."""
    together: Dict[str, List[Distribution]] = {}
    for distribution in filter(None, map(parse, entries)):
        together.setdefault(distribution.name, []).append(distribution)
    return {name: sorted(several, key=lambda each: KINDS.index(each.kind)) for name, several in together.items()}


def parse(entry: str) -> Optional[Distribution]:
    """Return the distribution that a name in a directory stands for, or None where it is no metadata.

    "~ame" is not: pip renames what it is about to remove, and leaves it behind when it is killed.
    """
    stem, dot, kind = entry.rpartition(".")
    kind = dot + kind
    if kind not in KINDS or not stem or stem.startswith(("~", ".")):
        return None
    if kind == ".dist-info":
        name, _, version = stem.rpartition("-")
        name, version = (name, version) if name else (stem, "")
    else:  # name-version-py3.9-platform, from the second on as far as known
        name, version = (stem.split("-") + [""])[:2]
    return Distribution(entry, kind, printable(re.sub(r"[-_.]+", "-", name).lower()), printable(version))


def _row(host: Host, directory: str, distributions: List[Distribution], problems: List[str]) -> Row:
    versions: List[str] = []
    row: Row = {}
    for distribution in distributions:
        path = "%s/%s" % (directory, distribution.entry)
        version = distribution.version
        try:
            version = version or _version(host, path, distribution.kind)
            row.update(_origin(host, path, distribution.kind))
        except (ValueError, OSError) as error:
            problems.append(printable("%s (%s)" % (path, getattr(error, "strerror", None) or error)))
        if version not in versions:
            versions.append(version)
    row["version"] = versions[0]
    if versions[1:]:
        row["other_versions"] = versions[1:]
    return row


def _version(host: Host, path: str, kind: str) -> str:
    """Return the version that the metadata states, or "" where there is none."""
    if kind == ".egg-link":
        return ""  # it is where the link leads, in somebody's home perhaps, and that is not looked at
    candidates = [path] if host.lstat(path).kind == "file" else ["%s/%s" % (path, name) for name in METADATA]
    for candidate in filter(host.exists, candidates):
        stated = re.search(r"^Version:(.*)$", host.read(candidate, SMALL), re.MULTILINE | re.IGNORECASE)
        return stated.group(1).strip() if stated else ""
    return ""


def _origin(host: Host, path: str, kind: str) -> Row:
    if kind == ".egg-link":
        return {"editable": True, "direct_url": "file://%s" % host.read(path, SMALL).partition("\n")[0].strip()}
    if kind == ".dist-info" and host.exists("%s/%s" % (path, DIRECT_URL)):
        return origin(host.read("%s/%s" % (path, DIRECT_URL), SMALL))
    return {}


def origin(direct_url: str) -> Row:
    """Return direct_url, and editable where it is.  Raises ValueError.

    Credentials are left out, and so is the query, in which tokens travel.
    """
    try:
        stated = json.loads(direct_url)
        url, commit = stated["url"], stated.get("vcs_info", {}).get("commit_id", "")
        editable = stated.get("dir_info", {}).get("editable", False) is True
        shown = re.sub(r"(?<=://)[^/@]*@", "", url.partition("?")[0])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no direct URL: %s" % error) from error
    row: Row = {"direct_url": "%s@%s" % (shown, commit) if commit else shown}
    if editable:
        row["editable"] = True
    return row


COLLECTOR = Collector(
    "software.pip",
    key="directory:normalised name",
    collect=collect,
    deadline=10,
    fields={
        "version": "installed version; empty where an editable install keeps it elsewhere",
        "other_versions": "versions of which metadata lies beside it, left by an upgrade that went wrong",
        "direct_url": "where it was installed from, if not from an index; with the commit, without credentials",
        "editable": "true where the modules are somebody's working copy",
    },
)
