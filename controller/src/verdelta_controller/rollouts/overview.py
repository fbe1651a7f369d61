"""What is asked of roll-outs by whoever shows many hosts, or a long time, at once: a few queries, nothing written."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from ..foundation.database import Database
from ..releases.service import ReleaseService
from .states import ENDED, RolloutState
from .tables import Deployment, Rollout
from .views import host_view, summary_view


class Suspended(NamedTuple):
    """A roll-out that a person has to decide on, and since when."""

    number: int
    purpose: str
    reason: str
    release: str  # name and version
    since: datetime


class Overview:
    """Answers about hosts and roll-outs by the hundred."""

    def __init__(self, database: Database, releases: ReleaseService) -> None:
        self._database = database
        self._releases = releases

    def tallies(self, rollout_ids: Collection[int]) -> dict[int, dict[str, int]]:
        """Return how many hosts of each roll-out are in each state."""
        counted = (
            select(Deployment.rollout_id, Deployment.state, func.count())
            .where(col(Deployment.rollout_id).in_(rollout_ids))
            .group_by(col(Deployment.rollout_id), col(Deployment.state))
        )
        tallies: dict[int, dict[str, int]] = defaultdict(dict)
        with self._database.reading() as session:
            for rollout_id, state, count in session.exec(counted):
                tallies[rollout_id][state] = count
        return tallies

    def suspended(self) -> list[Suspended]:
        """Return the roll-outs that are suspended, the oldest first; since when, says the last move of their hosts."""
        moved = func.max(Deployment.changed_at)
        wanted = (
            select(Rollout, moved)
            .join(Deployment, col(Deployment.rollout_id) == col(Rollout.id), isouter=True)
            .where(Rollout.state == RolloutState.SUSPENDED.value)
            .group_by(col(Rollout.id))
            .order_by(col(Rollout.id))
        )
        with self._database.reading() as session:
            found = session.exec(wanted).all()
        releases = {number: self._releases.by_id(number) for number in {rollout.release_id for rollout, _ in found}}
        return [
            Suspended(
                rollout.id or 0,
                rollout.purpose,
                rollout.reason,
                f"{releases[rollout.release_id].name} {releases[rollout.release_id].version}",
                since or rollout.created_at,
            )
            for rollout, since in found
        ]

    def newest_on(self, host_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the newest deployment on each host that has one, with its roll-out, as people see them."""
        newest = (
            select(func.max(Deployment.id)).where(col(Deployment.host_id).in_(host_ids)).group_by(Deployment.host_id)
        )
        with self._database.reading() as session:
            found = list(session.exec(select(Deployment).where(col(Deployment.id).in_(newest))))
            views = self._with_rollouts(session, found)
        return {deployment.host_id: view for deployment, view in zip(found, views, strict=True)}

    def between(self, host_id: str, first: int, last: int) -> list[dict[str, Any]]:
        """Return the deployments on a host that explain what changed from one of its snapshots to a later one.

        Those are the deployments whose audits before and after lie around any part of that time, the newest first; of
        one that is still under way the end is open.
        """
        ends = or_(
            col(Deployment.after_snapshot) > first,
            col(Deployment.after_snapshot).is_(None) & col(Deployment.state).not_in([state.value for state in ENDED]),
        )
        around = (
            select(Deployment)
            .where(Deployment.host_id == host_id, col(Deployment.before_snapshot) < last, ends)
            .order_by(col(Deployment.id).desc())
        )
        with self._database.reading() as session:
            return self._with_rollouts(session, list(session.exec(around)))

    def _with_rollouts(self, session: Session, deployments: Sequence[Deployment]) -> list[dict[str, Any]]:
        numbers = {deployment.rollout_id for deployment in deployments}
        rollouts = {
            rollout.id: rollout for rollout in session.exec(select(Rollout).where(col(Rollout.id).in_(numbers)))
        }
        releases = self._releases.by_ids({rollout.release_id for rollout in rollouts.values()})
        summaries = {number: summary_view(one, releases[one.release_id]) for number, one in rollouts.items()}
        return [{**host_view(one), "rollout": summaries[one.rollout_id]} for one in deployments]
