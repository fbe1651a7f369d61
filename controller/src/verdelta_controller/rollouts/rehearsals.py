"""Rehearse a release, and review what that was observed to change: the way from a test to an authorised change."""

from collections.abc import Sequence
from typing import NamedTuple

from ..access.rules import Actor
from ..fleet.service import FleetService
from ..foundation.errors import GateClosed, InvalidInput
from ..inventory.service import InventoryService
from ..inventory.tables import Snapshot
from ..releases.expectations import Expectation
from ..releases.rehearsed import Line, Observed, class_of, propose
from ..releases.service import ReleaseService
from ..releases.tables import RehearsedChangeRow
from ..releases.test_service import TestService
from . import judging
from .records import Records
from .rehearsing import GOOD
from .states import HostState
from .tables import Deployment, Rollout
from .verdict import Outcome


class Review(NamedTuple):
    """What a test manager is offered: the rehearsal, its package, the lines, and what was declared and not seen."""

    rollout: int
    package: str
    lines: list[Line]
    missing: list[str]


class _Pair(NamedTuple):
    deployment: Deployment
    before: Snapshot
    after: Snapshot


class RehearsalService:
    """The use-cases around what a rehearsal changed."""

    def __init__(
        self,
        records: Records,
        fleet: FleetService,
        inventory: InventoryService,
        releases: ReleaseService,
        tests: TestService,
    ) -> None:
        self._records = records
        self._fleet = fleet
        self._inventory = inventory
        self._releases = releases
        self._tests = tests

    def review(self, name: str, version: str) -> Review:
        """Return what the newest rehearsal of a release was observed to change.  Raises NotFound, GateClosed."""
        rollout = self._newest(name, version)
        declared = self._releases.rehearsed(rollout.package).changes
        pairs = self._pairs(rollout)
        lines = propose([self._observed(pair) for pair in pairs], declared)
        missing = [
            f"{item['section']} {item['key']} on {pair.deployment.host_name}"
            for pair in pairs
            for item in pair.deployment.items
            if item["outcome"] == Outcome.MISSING
        ]
        return Review(rollout.id or 0, rollout.package, lines, missing)

    def accept(
        self, name: str, version: str, package: str, changes: Sequence[Expectation], actor: Actor
    ) -> RehearsedChangeRow:
        """Accept the reviewed lines as what the release may change.

        They have to explain the rehearsal wholly: each of its hosts, held against them, is verified.  A line that was
        struck out is a change that the release makes and must not: it has to be mended, not authorised.
        Raises InvalidInput, which names what is not explained; GateClosed, NotAllowed, OtherSide.
        """
        rollout = self._newest(name, version)
        if rollout.package != package:
            raise GateClosed(
                f"what you reviewed is package {package[:12]}, and {name} {version} is {rollout.package[:12]} now",
                mend=f"Review it again: verdelta release rehearsed {name} {version}",
            )
        if not changes:
            raise InvalidInput("a release that changes nothing cannot be verified anywhere", mend="Leave lines in.")
        complaints = [complaint for pair in self._pairs(rollout) for complaint in self._unexplained(pair, changes)]
        if complaints:
            more = [f"  and {len(complaints) - 20} more"] if len(complaints) > 20 else []
            raise InvalidInput(
                "\n".join(["the lines do not explain what the rehearsal changed", *complaints[:20], *more]),
                mend="Leave the line in, loosen it, or reject the release: verdelta release reject "
                f"{name} {version} --reason …",
            )
        return self._tests.accept_change(name, version, package, rollout.id or 0, changes, actor)

    def _newest(self, name: str, version: str) -> Rollout:
        number = self._tests.newest_rehearsal(name, version)
        command = f"verdelta release test {name} {version}"
        if number is None:
            raise GateClosed(f"this package of {name} {version} was not rehearsed", mend=command)
        rollout = self._records.rollout(number)
        if rollout.ended_at is None:
            raise GateClosed(
                f"rehearsal {number} has not come to its end: it is {rollout.state}",
                mend=f"verdelta rollout status {number} -w",
            )
        return rollout

    def _pairs(self, rollout: Rollout) -> list[_Pair]:
        """Return the hosts of a rehearsal with their audits.  Raises GateClosed when one of them has none."""
        pairs = []
        for deployment in self._records.deployments(rollout.id or 0):
            before, after = deployment.before_snapshot, deployment.after_snapshot
            if HostState(deployment.state) not in GOOD or before is None or after is None:
                raise GateClosed(
                    f"rehearsal {rollout.id} failed on {deployment.host_name}: it is {deployment.state}",
                    mend="Mend it, and rehearse again.",
                )
            pairs.append(_Pair(deployment, self._inventory.snapshot(before), self._inventory.snapshot(after)))
        return pairs

    def _observed(self, pair: _Pair) -> Observed:
        delta = self._inventory.compare(pair.before, pair.after)
        row = judging.os_row(self._inventory.sections_of(pair.before, ["system.host"]))
        return Observed(pair.deployment.host_name, class_of(row), delta.changes, row)

    def _unexplained(self, pair: _Pair, changes: Sequence[Expectation]) -> list[str]:
        host = self._fleet.host(pair.deployment.host_id)
        delta = self._inventory.compare(pair.before, pair.after)
        load = self._inventory.sections_of
        verdict = judging.judge(changes, host, pair.before, pair.after, delta, [], load)
        if verdict.state is HostState.VERIFIED:
            return []
        bad = [item for item in verdict.items if item.outcome not in (Outcome.MATCHED, Outcome.WAIVED)]
        said = [f"  {host.name}: {item.section} {item.key}: {item.outcome.value}, {item.detail}" for item in bad]
        return said + [f"  {host.name}: {reason}" for reason in verdict.reasons]
