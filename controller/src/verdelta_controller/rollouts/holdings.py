"""On which hosts releases are now: asked by the library, which knows nothing of roll-outs itself."""

from collections.abc import Collection

from sqlmodel import Session, col, select

from ..fleet.tables import Host
from ..library.rules import Holding
from ..releases.tables import Release
from .states import HostState
from .tables import Deployment, Rollout


def holdings(session: Session, release_ids: Collection[int]) -> list[Holding]:
    """Return the hosts on which any of these releases is now, or may be.

    What counts on a host is the newest deployment of each release name with which something was done and that was not
    backed out (that is audited, too).  It is certain where that one is verified.
    """
    names = select(Release.name).where(col(Release.id).in_(release_ids)).distinct()
    wanted = (
        select(Deployment, Rollout.release_id, Release.name, Host.name)
        .join(Rollout, col(Rollout.id) == Deployment.rollout_id)
        .join(Release, col(Release.id) == Rollout.release_id)
        .join(Host, col(Host.id) == Deployment.host_id)
        .where(col(Release.name).in_(names), col(Deployment.began_at).is_not(None))
        .where(Deployment.state != HostState.BACKED_OUT.value)
        .order_by(col(Deployment.id))
    )
    newest: dict[tuple[str, str], Holding] = {}
    for deployment, release_id, release, host in session.exec(wanted):
        newest[deployment.host_id, release] = Holding(
            host=host,
            release_id=release_id,
            rollout_id=deployment.rollout_id,
            state=deployment.state,
            certain=deployment.state == HostState.VERIFIED,
            since=deployment.concluded_at or deployment.changed_at,
        )
    found = [holding for holding in newest.values() if holding.release_id in release_ids]
    return sorted(found, key=lambda holding: holding.host)
