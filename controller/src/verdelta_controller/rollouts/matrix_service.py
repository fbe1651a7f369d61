"""What version runs where: fetched from what audits saw, and held against what roll-outs proved."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from ..fleet.environments import Described, Environments
from ..foundation.clock import now
from ..inventory.contents import Contents
from ..releases import matrix as rules
from ..releases.audited_components import Released, ReleasedComponents
from ..releases.matrix import NAMES, Cell, Component, HostSeen, Proof, Versions
from .promotion import Promotion

MOST = 500  # components in one answer; a release is named to see others


class Column(NamedTuple):
    """An environment, or (with an empty name) the hosts that are in none, and how fresh the audits there are."""

    name: str
    stage: str
    hosts: int
    never_audited: int
    oldest_audit: datetime | None
    newest_audit: datetime | None


class Line(NamedTuple):
    """A component, the releases that it is part of, and what each environment has of it."""

    component: Component
    releases: list[str]
    cells: Mapping[str, Cell]


class Matrix(NamedTuple):
    """What version runs where at a moment; `left_off` is how many components were too many."""

    at: datetime
    columns: list[Column]
    lines: list[Line]
    left_off: int


class MatrixService:
    """The use-case: one answer for every environment at once."""

    def __init__(
        self,
        environments: Environments,
        contents: Contents,
        releases: ReleasedComponents,
        promotion: Promotion,
    ) -> None:
        self._environments = environments
        self._contents = contents
        self._releases = releases
        self._promotion = promotion

    def matrix(self, release: str = "") -> Matrix:
        """Return what runs where of the components of every release, or of one.  Raises NotFound.

        The components are those of the newest version of a release.
        """
        made_of: dict[Component, list[str]] = defaultdict(list)
        for released in self._releases.newest(release):
            for component in released.components:
                made_of[component].append(released.name)
        wanted = sorted(made_of)[:MOST]
        hosts = self._hosts()
        contents = self._read(hosts, wanted)
        table = rules.matrix(wanted, hosts, contents)
        lines = [Line(component, made_of[component], table[component]) for component in wanted]
        return Matrix(now(), _columns(self._environments.all(), hosts), lines, len(made_of) - len(wanted))

    def _hosts(self) -> list[HostSeen]:
        newest = self._contents.newest(NAMES)
        proofs = self._proofs()
        hosts = []
        for place in self._environments.places():
            audited_at, sections = newest.get(place.id, (None, ()))
            proved = tuple(proofs.get(place.id, ()))
            hosts.append(HostSeen(place.name, place.environment, audited_at, sections, proved))
        return hosts

    def _proofs(self) -> dict[str, list[Proof]]:
        """Return the verified deployments of each host, those concluded first going first."""
        verified = self._promotion.last_verified()
        packages: dict[str, Released] = self._releases.of({one.package for one in verified})
        after = self._contents.of_snapshots({one.snapshot for one in verified}, NAMES)
        proofs: dict[str, list[Proof]] = defaultdict(list)
        for one in verified:
            components = packages[one.package].components
            if components:
                proofs[one.host_id].append(Proof(one.package, components, after[one.snapshot]))
        return proofs

    def _read(self, hosts: Collection[HostSeen], wanted: Collection[Component]) -> rules.Contents:
        """Return what each distinct section has of the components; the rows themselves are not kept."""
        section_of: dict[str, str] = {}
        for sections in {host.sections for host in hosts} | {proof.after for host in hosts for proof in host.proofs}:
            section_of.update(
                (seen.digest, name) for seen, name in zip(sections, NAMES, strict=False) if seen is not None
            )
        read: dict[str, Mapping[Component, Versions]] = {}
        for digest, rows in self._contents.rows(section_of):
            read[digest] = rules.versions_in(section_of[digest], rows, wanted)
        return read


def _columns(environments: Collection[Described], hosts: Collection[HostSeen]) -> list[Column]:
    inside: dict[str, list[HostSeen]] = defaultdict(list)
    for host in hosts:
        inside[host.environment].append(host)
    known = [(one.environment.name, one.environment.stage) for one in environments]
    return [
        _column(name, stage, inside[name])
        for name, stage in [*known, ("", "")]
        if name or inside[name]  # a column for those that are in none where there are any
    ]


def _column(name: str, stage: str, hosts: Collection[HostSeen]) -> Column:
    audits = [host.audited_at for host in hosts if host.audited_at is not None]
    never = len(hosts) - len(audits)
    return Column(name, stage, len(hosts), never, min(audits, default=None), max(audits, default=None))
