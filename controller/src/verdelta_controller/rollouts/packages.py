"""Which package a roll-out brings, and what it may change."""

from ..releases.service import Deployable, ReleaseService
from .states import Purpose
from .tables import Rollout


def deployable_of(releases: ReleaseService, rollout: Rollout) -> Deployable:
    """Return what a roll-out installs, and what its hosts are held against: what was authorised; what the manifest
    declares, where it is a rehearsal.

    Raises GateClosed when the release is not (or no longer) what was authorised.
    """
    if rollout.purpose == Purpose.REHEARSAL:
        return releases.rehearsed(rollout.package)
    return releases.authorised(releases.by_id(rollout.release_id))
