"""Where a package is proved already, and what of it the hosts were last proved to have: a few queries."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlmodel import col

from ..fleet.environment_rules import Stage, may_enter
from ..fleet.environments import Environments
from ..foundation.database import Database
from ..foundation.errors import GateClosed
from ..releases.passed_rehearsals import passed_rehearsals
from .states import HostState
from .tables import Deployment, Rollout


class Verified(NamedTuple):
    """The newest verified deployment of a package on a host, and the snapshot after it."""

    host_id: str
    package: str
    snapshot: int


class Promotion:
    """Answers about verified deployments."""

    def __init__(self, database: Database, environments: Environments) -> None:
        self._database = database
        self._environments = environments

    def verified_in(self, digest: str) -> set[str]:
        """Return the environments in which the package with this digest is proved.

        That is where it was installed on a host at least, and the newest of its deployments that began is good on every
        such host: one that varies, fails or is silent leaves the environment unproved.  Good is verified; and a
        rehearsal that passed, also after its hosts were taken back: people review what it changed, and that is frozen.
        A host counts for the environment that it is in now.  For `fleet.environment_rules.may_enter`.
        """
        with self._database.reading() as session:
            newest = session.execute(_newest_of(digest)).all()
            passed = passed_rehearsals(session, digest)
        good = {row.host_id: row.state == HostState.VERIFIED or row.rollout_id in passed for row in newest}
        found: dict[str, list[bool]] = defaultdict(list)
        for host in self._environments.places(good):
            found[host.environment].append(good[host.id])
        return {name for name, hosts in found.items() if name and all(hosts)}

    def check(self, digest: str, environments: Collection[str], required: Collection[Stage]) -> None:
        """Raise GateClosed when a package may not go to one of these environments yet.

        `required` are the stages that it has to be proved in first.
        """
        way, verified = self._environments.way(), self.verified_in(digest)
        for name in sorted(environments):
            reason = may_enter(name, way, verified, required)
            if reason:
                raise GateClosed(f"package {digest[:12]} is {reason}", mend="verdelta environment matrix")

    def check_rehearsal(self, environments: Collection[str]) -> None:
        """Raise GateClosed when one of these environments is live: nothing is rehearsed where people work."""
        for step in self._environments.way():
            if step.name in environments and step.stage is Stage.LIVE:
                raise GateClosed(
                    f"{step.name} is live, and nothing is rehearsed there", mend="Name hosts of a test environment."
                )

    def last_verified(self) -> list[Verified]:
        """Return the newest verified deployment of each package on each host, those concluded first going first."""
        with self._database.reading() as session:
            return [Verified(*row) for row in session.execute(_LAST_VERIFIED)]


def _newest_of(digest: str) -> Select[Any]:
    """Return the query for the newest deployment of a package that began, on each host."""
    place = func.row_number().over(partition_by=col(Deployment.host_id), order_by=col(Deployment.id).desc())
    wanted = (Deployment.host_id, Deployment.state, Deployment.rollout_id)
    begun = (
        select(*map(col, wanted), place.label("place"))
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .where(col(Rollout.package) == digest, col(Deployment.began_at).is_not(None))
        .subquery()
    )
    return select(begun).where(begun.c.place == 1)


def _last_verified() -> Select[Any]:
    place = func.row_number().over(
        partition_by=(col(Deployment.host_id), col(Rollout.package)),
        order_by=(col(Deployment.concluded_at).desc(), col(Deployment.id).desc()),
    )
    wanted = (Deployment.id, Deployment.host_id, Deployment.after_snapshot, Deployment.concluded_at)
    every = (
        select(*map(col, wanted), col(Rollout.package), place.label("place"))
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .where(col(Deployment.state) == HostState.VERIFIED.value, col(Deployment.after_snapshot).is_not(None))
        .subquery()
    )
    return (
        select(every.c.host_id, every.c.package, every.c.after_snapshot)
        .where(every.c.place == 1)
        .order_by(every.c.concluded_at, every.c.id)
    )


_LAST_VERIFIED = _last_verified()
