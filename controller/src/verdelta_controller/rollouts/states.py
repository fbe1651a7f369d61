"""The states of a deployment on one host, and of a wave."""

from collections.abc import Collection
from enum import StrEnum

from ..foundation.states import StateTable


class Purpose(StrEnum):
    """What a roll-out is for."""

    DEPLOYMENT = "deployment"
    REHEARSAL = (
        "rehearsal"  # in the test environment: what is observed is what the release will be authorised to change
    )


class HostState(StrEnum):
    """How far the deployment on one host has come, and how it ended."""

    PENDING = "pending"
    AUDITING_BEFORE = "auditing_before"
    READY = "ready"
    INSTALLING = "installing"
    AWAITING_HANDS = "awaiting_hands"
    REBOOTING = "rebooting"
    AUDITING_AFTER = "auditing_after"
    VERIFIED = "verified"
    AT_VARIANCE = "at_variance"
    INDETERMINATE = "indeterminate"
    FAILED = "failed"
    BACKING_OUT = "backing_out"
    BACKED_OUT = "backed_out"
    BACK_OUT_FAILED = "back_out_failed"


class WaveState(StrEnum):
    """How far a wave has come."""

    WAITING = "waiting"
    RUNNING = "running"
    PASSED = "passed"
    PAUSED = "paused"
    STOPPED = "stopped"


class RolloutState(StrEnum):
    """Where a roll-out stands as a whole."""

    RUNNING = "running"
    SUSPENDED = "suspended"  # a wave paused: a person decides
    FINISHED = "finished"  # every wave passed
    CANCELLED = "cancelled"
    BACKING_OUT = "backing_out"
    BACKED_OUT = "backed_out"


_H = HostState
_W = WaveState

ENDED = frozenset(
    (_H.VERIFIED, _H.AT_VARIANCE, _H.INDETERMINATE, _H.FAILED, _H.BACKED_OUT, _H.BACK_OUT_FAILED)
)  # nothing goes on there by itself

# Whatever ended without being verified may be audited again, or backed out; what never reached the install may begin
# anew.  An interrupted install goes to auditing_after like any other, and from there back to ready when the audit shows
# an untouched host.
HOST_STATES = StateTable(
    "a deployment",
    {
        _H.PENDING: (_H.AUDITING_BEFORE,),
        _H.AUDITING_BEFORE: (_H.READY, _H.INDETERMINATE, _H.FAILED),
        _H.READY: (_H.INSTALLING, _H.AUDITING_BEFORE, _H.FAILED),
        _H.INSTALLING: (_H.AWAITING_HANDS, _H.REBOOTING, _H.AUDITING_AFTER, _H.FAILED),
        _H.AWAITING_HANDS: (_H.INSTALLING, _H.REBOOTING, _H.AUDITING_AFTER, _H.FAILED),
        _H.REBOOTING: (_H.INSTALLING, _H.AUDITING_AFTER, _H.INDETERMINATE, _H.FAILED),
        _H.AUDITING_AFTER: (_H.VERIFIED, _H.AT_VARIANCE, _H.INDETERMINATE, _H.FAILED, _H.READY),
        _H.VERIFIED: (_H.BACKING_OUT,),
        _H.AT_VARIANCE: (_H.VERIFIED, _H.INDETERMINATE, _H.AUDITING_AFTER, _H.BACKING_OUT),  # the first two by a waiver
        _H.INDETERMINATE: (_H.AUDITING_BEFORE, _H.AUDITING_AFTER, _H.BACKING_OUT),
        _H.FAILED: (_H.AUDITING_BEFORE, _H.AUDITING_AFTER, _H.BACKING_OUT),
        _H.BACKING_OUT: (_H.BACKED_OUT, _H.BACK_OUT_FAILED),
        _H.BACK_OUT_FAILED: (_H.BACKING_OUT, _H.BACKED_OUT),  # backed out: by a waiver
        _H.BACKED_OUT: (),
    },
)

WAVE_STATES = StateTable(
    "a wave",
    {
        _W.WAITING: (_W.RUNNING, _W.STOPPED),
        _W.RUNNING: (_W.PASSED, _W.PAUSED, _W.STOPPED),
        _W.PAUSED: (_W.RUNNING, _W.PASSED, _W.STOPPED),  # passed: by a waiver, or by a person who goes on regardless
        _W.PASSED: (),
        _W.STOPPED: (),
    },
)


def wave_decision(hosts: Collection[HostState], good: Collection[HostState] = (HostState.VERIFIED,)) -> WaveState:
    """Return what becomes of a running wave whose hosts are in these states: running, passed, paused or stopped.

    It passes when every host is `good` (verified) and pauses when they have ended and one is not; a wave that was
    taken back is stopped.  A wave without hosts has proved nothing, and pauses.
    """
    if any(state not in ENDED for state in hosts):
        return WaveState.RUNNING
    if any(state in (HostState.BACKED_OUT, HostState.BACK_OUT_FAILED) for state in hosts):
        return WaveState.STOPPED
    passed = len(hosts) > 0 and all(state in good for state in hosts)
    return WaveState.PASSED if passed else WaveState.PAUSED
