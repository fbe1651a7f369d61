"""What version runs where, computed from what audits saw: hosts by what they have, components by environment.  Pure.

Hosts that have the same content, and of which the same is expected, are looked at once: a fleet has many hosts and few
contents.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from verdelta_agent.model import ABSENT, FAILED, Digested, Row, Rows

from .versions import NoVersion, compare_versions

SECTIONS = {"deb": "software.dpkg", "rpm": "software.rpm", "pip": "software.pip"}
NAMES = tuple(SECTIONS.values())
UNSTATED = "unstated"  # a version that the package's own metadata does not give

Versions = tuple[str, ...]


class Component(NamedTuple):
    """A package of a manager, in whatever version."""

    manager: str
    package: str


Contents = Mapping[str, Mapping[Component, Versions]]  # by the digest of a section
Sections = tuple[Digested | None, ...]  # one for each of NAMES; None where the host never reported it


class Proof(NamedTuple):
    """A verified deployment on a host: of which package, what that is made of, and the audit's sections after it."""

    package: str
    components: Mapping[Component, str]
    after: Sections


class HostSeen(NamedTuple):
    """A host as it was audited last; None where it never was.  `proofs` are its verified deployments, oldest first."""

    name: str
    environment: str
    audited_at: datetime | None
    sections: Sections
    proofs: tuple[Proof, ...] = ()


class State(StrEnum):
    """What an audit says of a component on a host."""

    FOUND = "found"
    NOT_THERE = "not_there"
    NOT_APPLICABLE = "not_applicable"  # the host has no such package manager
    UNKNOWN = "unknown"  # never audited, or the section could not be read, or not wholly


class Finding(NamedTuple):
    """A component on a host: the versions found, and the one that the last verified release says ("" for none)."""

    state: State
    versions: Versions = ()
    expected: str = ""
    drift: bool = False


class HostCell(NamedTuple):
    """A component on one host."""

    host: str
    audited_at: datetime | None
    finding: Finding


class Cell(NamedTuple):
    """A component in an environment: how many hosts have what, and the hosts in question, by name.

    `common` is what most of the hosts have of which it is known; `exceptions` are the others, those that drift, and
    those of which it is unknown.
    """

    counts: Counter[tuple[State, Versions]]
    drift: int
    common: Versions | None
    exceptions: list[HostCell]
    all: list[HostCell]


def versions_in(section: str, rows: Rows, wanted: Collection[Component]) -> dict[Component, Versions]:
    """Return the versions of the components wanted that these rows of a section have, each once."""
    manager, name_of = _READERS[section]
    packages = {component.package for component in wanted if component.manager == manager}
    found: dict[Component, list[str]] = defaultdict(list)
    for key, row in rows.items():
        if (name := name_of(key)) in packages:
            found[Component(manager, name)] += _versions_of(row)
    return {component: tuple(sorted(set(versions))) for component, versions in found.items() if versions}


def _versions_of(row: Row) -> Iterator[str]:
    """Yield the versions of a row.  Of a package that dpkg has removed its configuration may be left: it is not there.

    A state in which a package does not work, or may not, is said with the version.
    """
    state = str(row.get("state", "installed"))
    if state == "config-files":
        return
    works = state == "installed" or state.startswith("triggers-")
    for version in (row.get("version"), *_listed(row.get("other_versions"))):
        yield (str(version) if version else UNSTATED) + ("" if works else f" ({state})")


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


_READERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "software.dpkg": ("deb", lambda key: key.partition(":")[0]),  # name:architecture
    "software.rpm": ("rpm", lambda key: key.rpartition(".")[0]),  # name.architecture
    "software.pip": ("pip", lambda key: key.rpartition(":")[2]),  # directory:name
}


def expectations(proofs: Iterable[Proof], contents: Contents) -> dict[Component, str]:
    """Return the version that the last verified release says of each component, where the audit after it had it.

    So a component for another kind of host (the rpm on a Debian) is not expected.
    """
    expected: dict[Component, str] = {}
    for proof in proofs:
        for component, version in proof.components.items():
            seen = _section(component, proof.after)
            if seen is not None and component in contents.get(seen.digest, {}):
                expected[component] = version
    return expected


def finding(component: Component, sections: Sections, contents: Contents, expected: str) -> Finding:
    """Return what an audit says of a component.  Unreadable, whole or in part, is unknown: never "not there"."""
    seen = _section(component, sections)
    if seen is None or seen.status == FAILED or (seen.status != ABSENT and seen.digest not in contents):
        return Finding(State.UNKNOWN, (), expected)
    if found := contents.get(seen.digest, {}).get(component):
        return Finding(State.FOUND, found, expected, bool(expected) and not _has(component, found, expected))
    if seen.error is not None and seen.status != ABSENT:
        return Finding(State.UNKNOWN, (), expected)
    if seen.status == ABSENT and not expected:
        return Finding(State.NOT_APPLICABLE)
    return Finding(State.NOT_THERE, (), expected, bool(expected))


def _section(component: Component, sections: Sections) -> Digested | None:
    return sections[NAMES.index(SECTIONS[component.manager])] if sections else None


def _has(component: Component, found: Versions, expected: str) -> bool:
    return expected in found or any(_same(SECTIONS[component.manager], version, expected) for version in found)


def _same(section: str, one: str, other: str) -> bool:
    """Return whether two versions are equal in their manager's order; an rpm's has a release that a manifest may lack.

    What has no place in the order is equal to its like alone.
    """
    try:
        return compare_versions(section, one, other) == 0
    except NoVersion:
        return one == other


def matrix(
    components: Iterable[Component], hosts: Iterable[HostSeen], contents: Contents
) -> dict[Component, dict[str, Cell]]:
    """Return for each component what each environment has of it."""
    alike: dict[Hashable, list[HostSeen]] = defaultdict(list)
    for host in hosts:
        proved = tuple((proof.package, proof.after) for proof in host.proofs)
        alike[host.environment, host.sections, proved].append(host)
    groups = [(group[0], expectations(group[0].proofs, contents), group) for group in alike.values()]
    table: dict[Component, dict[str, Cell]] = {}
    for component in components:
        found: dict[str, list[tuple[Finding, list[HostSeen]]]] = defaultdict(list)
        for first, expected, group in groups:
            said = finding(component, first.sections, contents, expected.get(component, ""))
            found[first.environment].append((said, group))
        table[component] = {environment: _cell(said) for environment, said in found.items()}
    return table


def _cell(found: Iterable[tuple[Finding, list[HostSeen]]]) -> Cell:
    counts: Counter[tuple[State, Versions]] = Counter()
    hosts: list[HostCell] = []
    for said, group in found:
        counts[said.state, said.versions] += len(group)
        hosts += [HostCell(host.name, host.audited_at, said) for host in group]
    hosts.sort(key=lambda cell: cell.host)
    known = Counter({what: count for what, count in counts.items() if what[0] in (State.FOUND, State.NOT_THERE)})
    common = max(
        known, key=lambda what: (known[what], what[1]), default=None
    )  # the versions settle a tie, always alike
    exceptions = [cell for cell in hosts if _is_exception(cell.finding, common)]
    drift = sum(cell.finding.drift for cell in hosts)
    return Cell(counts, drift, common[1] if common else None, exceptions, hosts)


def _is_exception(said: Finding, common: tuple[State, Versions] | None) -> bool:
    if said.state is State.NOT_APPLICABLE:
        return False
    return said.drift or said.state is State.UNKNOWN or (said.state, said.versions) != common
