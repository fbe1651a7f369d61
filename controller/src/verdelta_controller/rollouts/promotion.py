"""Where a package is proved already, and what of it the hosts were last proved to have: a few queries."""

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlmodel import col

from ..fleet.environments import Environments
from ..foundation.database import Database
from ..releases.components import ReleasedComponents
from .states import HostState
from .tables import Deployment, Rollout


class Verified(NamedTuple):
    """The newest verified deployment of a release on a host, and the snapshot after it."""

    host_id: str
    release_id: int
    snapshot: int


class Promotion:
    """Answers about verified deployments."""

    def __init__(self, database: Database, environments: Environments, releases: ReleasedComponents) -> None:
        self._database = database
        self._environments = environments
        self._releases = releases

    def verified_in(self, digest: str) -> set[str]:
        """Return the environments in which the package with this digest is proved.

        That is where it was installed on a host at least, and the newest of its deployments that began is verified on
        every such host: one that varies, fails or is silent leaves the environment unproved.  A host counts for the
        environment that it is in now.  For `fleet.environment_rules.may_enter`.
        """
        releases = self._releases.with_digest(digest)
        place = func.row_number().over(partition_by=col(Deployment.host_id), order_by=col(Deployment.id).desc())
        begun = (
            select(col(Deployment.host_id), col(Deployment.state), place.label("place"))
            .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
            .where(col(Rollout.release_id).in_(releases), col(Deployment.began_at).is_not(None))
            .subquery()
        )
        newest = select(begun.c.host_id, begun.c.state).where(begun.c.place == 1)
        with self._database.reading() as session:
            states = {row.host_id: row.state for row in session.execute(newest)}
        found: dict[str, set[str]] = defaultdict(set)
        for host in self._environments.places(states):
            found[host.environment].add(states[host.id])
        return {name for name, reached in found.items() if name and reached == {HostState.VERIFIED.value}}

    def last_verified(self) -> list[Verified]:
        """Return the newest verified deployment of each release on each host, those concluded first going first."""
        with self._database.reading() as session:
            return [Verified(*row) for row in session.execute(_LAST_VERIFIED)]


def _last_verified() -> Select[Any]:
    place = func.row_number().over(
        partition_by=(col(Deployment.host_id), col(Rollout.release_id)),
        order_by=(col(Deployment.concluded_at).desc(), col(Deployment.id).desc()),
    )
    wanted = (Deployment.id, Deployment.host_id, Deployment.after_snapshot, Deployment.concluded_at)
    every = (
        select(*map(col, wanted), col(Rollout.release_id), place.label("place"))
        .join(Rollout, col(Rollout.id) == col(Deployment.rollout_id))
        .where(col(Deployment.state) == HostState.VERIFIED.value, col(Deployment.after_snapshot).is_not(None))
        .subquery()
    )
    return (
        select(every.c.host_id, every.c.release_id, every.c.after_snapshot)
        .where(every.c.place == 1)
        .order_by(every.c.concluded_at, every.c.id)
    )


_LAST_VERIFIED = _last_verified()
