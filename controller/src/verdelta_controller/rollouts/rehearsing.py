"""What a rehearsal comes to.  Pure.

A rehearsal is there to find out what a release changes: what was not declared does not fail it, for a person reviews
that, line by line.  What was declared and did not happen does, and so does whatever could not be told.
"""

from collections import Counter
from collections.abc import Sequence

from .states import HostState, RolloutState
from .tables import Deployment
from .verdict import Outcome

GOOD = (HostState.VERIFIED, HostState.AT_VARIANCE)  # hosts on which a rehearsal's wave goes on


def rehearsal_outcome(state: RolloutState, hosts: Sequence[Deployment]) -> tuple[bool | None, str]:
    """Return whether a rehearsal passed (None: it is under way), and why, in words."""
    if state is RolloutState.RUNNING:
        return None, ""
    missing = [host.host_name for host in hosts if _lacks(host)]
    counted = Counter(host.state for host in hosts)
    said = f"{len(hosts)} host{'' if len(hosts) == 1 else 's'}: "
    said += ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counted.items()))
    if missing:
        said += f"; declared and not seen on {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
    ended_well = state is RolloutState.FINISHED and all(HostState(host.state) in GOOD for host in hosts)
    return ended_well and not missing and bool(hosts), said


def _lacks(host: Deployment) -> bool:
    return any(item["outcome"] == Outcome.MISSING for item in host.items)
