"""The steps of a wave, each safe to run again: it looks at where every host stands and does what is left to do.

Hosts are worked on in parallel, `forks` at a time.  What goes wrong with one is that host's state and reason and
disturbs no other.  The snapshot before is taken once in the life of a deployment: an install that is tried again is
still judged against what the host was before anything was done to it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from verdelta_agent.delta import Delta
from verdelta_agent.model import Row

from ..fleet.channels import Channel
from ..fleet.service import FleetService
from ..fleet.tables import Host
from ..foundation.errors import VerdeltaError
from ..inventory.auditing import Auditor
from ..inventory.service import InventoryService, TakenIn
from ..inventory.tables import Snapshot
from ..releases.expectations import Expectation
from ..releases.service import ReleaseService
from ..releases.test_service import TestService
from . import criteria, judging, rehearsing, rules
from .engine import HELD_UP
from .installers import Installer, ansible
from .packages import deployable_of
from .records import Records
from .states import HostState, Purpose, WaveState, wave_decision
from .tables import Deployment
from .verdict import Verdict

log = structlog.get_logger()

S = HostState


class Conductor:
    """Implements the engine's `Work`."""

    def __init__(
        self,
        records: Records,
        fleet: FleetService,
        inventory: InventoryService,
        auditor: Auditor,
        releases: ReleaseService,
        tests: TestService,
        installer: Installer,
        forks: int,
    ) -> None:
        self._records = records
        self._fleet = fleet
        self._inventory = inventory
        self._auditor = auditor
        self._releases = releases
        self._tests = tests
        self._installer = installer
        self._forks = forks
        self._channels: dict[str, Channel] = {}
        self._channels_lock = threading.Lock()

    # -- the engine's view

    def waves(self, rollout: int) -> list[int]:
        """Return the numbers of the waves that have not passed, in order."""
        return self._records.open_waves(rollout)

    def steps(self) -> Mapping[str, Callable[[int, int], str]]:
        """Return the steps of a wave, in order."""
        steps = (self.audit_before, self.install, self.audit_after, self.decide)
        return {step.__name__: self._or_hold_up(step) for step in steps}

    def clear(self) -> None:
        """End what an earlier controller left running; at the start, when nothing of this one runs yet."""
        self._installer.stop_survivors()

    # -- the steps

    def audit_before(self, rollout: int, wave: int) -> str:
        """Audit every host that is to be deployed to, before anything is done to it."""
        self._records.open_wave(rollout, wave)
        self._installer.prepare(rollout, wave)
        self._each(self._records.deployments(rollout, wave, S.PENDING, S.AUDITING_BEFORE), self._audit_before)
        return "audited"

    def install(self, rollout: int, wave: int) -> str:
        """Install on every host that is ready; first settle what an interrupted run left behind."""
        interrupted = self._records.deployments(rollout, wave, S.INSTALLING)
        if interrupted:
            self._each(interrupted, self._settle)
            self._records.abandon(rollout, "install")
        ready = self._records.deployments(rollout, wave, S.READY)
        if ready and not self._records.is_cancelled(rollout):
            self._installer.run(rollout, wave, "install", ready)
        self._installer.forget(rollout, wave)
        return "installed"

    def audit_after(self, rollout: int, wave: int) -> str:
        """Audit every host after its install, and hold what changed against what was authorised."""
        self._each(self._records.deployments(rollout, wave, S.AUDITING_AFTER), self._audit_after)
        if self._records.rollout(rollout).purpose == Purpose.REHEARSAL:
            self._each(self._records.deployments(rollout, wave, *rehearsing.GOOD), self._try_criteria)
        return "audited"

    def decide(self, rollout: int, wave: int) -> str:
        """Close the wave: the next one opens only when every host of this one is verified."""
        self._let_go(self._records.deployments(rollout, wave))
        states = [HostState(deployment.state) for deployment in self._records.deployments(rollout, wave)]
        is_rehearsal = self._records.rollout(rollout).purpose == Purpose.REHEARSAL
        decision = wave_decision(states, rehearsing.GOOD) if is_rehearsal else wave_decision(states)
        if decision is not WaveState.PASSED and self._records.is_cancelled(rollout):
            decision = WaveState.STOPPED  # also with hosts left that were never begun
        if decision is WaveState.RUNNING:
            raise VerdeltaError("hosts are left that have not come to an end, and nothing goes on with them")
        self._records.close_wave(rollout, wave, decision)
        return decision.value

    def back_out(self, rollout: int) -> None:
        """Take the hosts that were asked for back, and prove that each is what it was before."""
        try:
            self._back_out(rollout)
        except Exception as error:
            log.exception("back-out held up", rollout=rollout)
            for deployment in self._records.deployments(rollout, None, S.BACKING_OUT):
                self._records.give_up(deployment, _reason(error))
        self._records.abandon(rollout, "back_out")
        self._records.close_back_out(rollout)

    def _back_out(self, rollout: int) -> None:
        asked = self._records.deployments(rollout, None, S.BACKING_OUT)
        begun = self._records.begun(rollout, "back_out")
        fresh = [deployment for deployment in asked if deployment.id not in begun]
        if fresh:
            self._installer.run(rollout, 0, "back_out", fresh)
        self._each(self._records.deployments(rollout, None, S.BACKING_OUT), self._audit_restored)
        self._let_go(asked)

    def _or_hold_up(self, step: Callable[[int, int], str]) -> Callable[[int, int], str]:
        """Return the step, which suspends the roll-out with the reason when it cannot do its work."""

        def guarded(rollout: int, wave: int) -> str:
            try:
                return step(rollout, wave)
            except Exception as error:
                log.exception("roll-out held up", rollout=rollout, wave=wave, step=step.__name__)
                self._records.hold_up(rollout, wave, _reason(error))
                return HELD_UP

        return guarded

    # -- one host

    def _audit_before(self, deployment: Deployment) -> None:
        host, changes = self._parties(deployment)
        self._records.move(deployment, S.AUDITING_BEFORE)
        known = self._inventory.last_known(host.id)
        taken = self._audit(deployment, host)
        if deployment.before_snapshot is not None:  # tried again: judged against what it was before the first attempt
            self._records.move(deployment, S.READY)
            return
        snapshot = _complete(taken)
        drift = self._inventory.compare(known, snapshot) if known is not None else None
        reason = judging.why_not(changes, host, snapshot, self._rows_of_host(snapshot))
        confirmed_by = known.confirmed_by if known is not None else None
        self._records.remember_before(deployment, snapshot, taken.digest, confirmed_by, drift.changes if drift else [])
        if reason:
            self._records.move(deployment, S.INDETERMINATE, f"{reason}; nothing was installed")
        else:
            self._records.move(deployment, S.READY)

    def _settle(self, deployment: Deployment) -> None:
        """Decide from a fresh audit what an interrupted install did: nothing is repeated blindly."""
        host, changes = self._parties(deployment)
        taken = self._audit(deployment, host)
        delta, verdict = self._judge(deployment, host, changes, _complete(taken))
        found = rules.after_interruption(delta, verdict)
        log.info("interrupted install", host=host.name, rollout=deployment.rollout_id, found=found.value)
        self._records.move(deployment, S.AUDITING_AFTER, f"the install was interrupted: {found.value}")
        if found is rules.Interrupted.UNTOUCHED:
            self._records.move(deployment, S.READY, "the install was interrupted before it changed anything")

    def _audit_after(self, deployment: Deployment) -> None:
        host, changes = self._parties(deployment)
        taken = self._audit(deployment, host)
        snapshot = _complete(taken)
        _, verdict = self._judge(deployment, host, changes, snapshot)
        self._records.conclude(deployment, snapshot, taken.digest, verdict, host.accepted_gaps)

    def _try_criteria(self, deployment: Deployment) -> None:
        """Try on a host of a rehearsal what the package will be accepted by."""
        rollout, host = self._records.rollout(deployment.rollout_id), self._fleet.host(deployment.host_id)
        wanted = deployable_of(self._releases, rollout).manifest.acceptance
        if deployment.after_snapshot is None or not wanted:
            return
        after = self._inventory.snapshot(deployment.after_snapshot)
        sections = self._inventory.sections_of(after, criteria.sections_of(wanted))
        found = criteria.try_all(wanted, host, sections, self._channel(host))
        self._tests.keep(rollout.release_id, rollout.package, deployment.rollout_id, found)

    def _audit_restored(self, deployment: Deployment) -> None:
        host, _ = self._parties(deployment)
        taken = self._audit(deployment, host)
        snapshot = _complete(taken)
        if deployment.before_snapshot is None:
            raise VerdeltaError(f"{host.name}: there is no audit from before the deployment to compare with")
        before = self._inventory.snapshot(deployment.before_snapshot)
        verdict = judging.restored(before, snapshot, self._inventory.compare(before, snapshot), host)
        self._records.conclude(deployment, snapshot, taken.digest, verdict, host.accepted_gaps)

    def _judge(
        self, deployment: Deployment, host: Host, changes: Sequence[Expectation], after: Snapshot
    ) -> tuple[Delta, Verdict]:
        if deployment.before_snapshot is None:
            raise VerdeltaError(f"{host.name}: there is no audit from before the install")
        before = self._inventory.snapshot(deployment.before_snapshot)
        delta = self._inventory.compare(before, after)
        load = self._inventory.sections_of
        return delta, judging.judge(changes, host, before, after, delta, deployment.drift, load)

    def _rows_of_host(self, snapshot: Snapshot) -> Row | None:
        return judging.os_row(self._inventory.sections_of(snapshot, ["system.host"]))

    def _parties(self, deployment: Deployment) -> tuple[Host, Sequence[Expectation]]:
        deployable = deployable_of(self._releases, self._records.rollout(deployment.rollout_id))
        return self._fleet.host(deployment.host_id), deployable.changes

    # -- reaching hosts

    def _audit(self, deployment: Deployment, host: Host) -> TakenIn:
        """Return a fresh audit, over the connection that the wave keeps to each host."""
        lock = ansible.INSTALL_LOCK if host.reach == "ssh" else None
        try:
            return self._auditor.audit(host, self._channel(host), lock)
        except VerdeltaError:
            self._drop(host.id)  # it may have been rebooted meanwhile: try once with a new connection
        return self._auditor.audit(host, self._channel(host), lock)

    def _channel(self, host: Host) -> Channel:
        with self._channels_lock:
            channel = self._channels.get(host.id)
        if channel is None:
            channel = self._fleet.open_channel(host)
            with self._channels_lock:
                self._channels[host.id] = channel
        return channel

    def _drop(self, host_id: str) -> None:
        with self._channels_lock:
            channel = self._channels.pop(host_id, None)
        if channel is not None:
            channel.close()

    def _let_go(self, deployments: Sequence[Deployment]) -> None:
        for deployment in deployments:
            self._drop(deployment.host_id)

    def _each(self, deployments: Sequence[Deployment], work: Callable[[Deployment], None]) -> None:
        """Do one thing to many hosts at a time; a host with which it fails ends indeterminate, with the reason."""

        def guarded(deployment: Deployment) -> None:
            try:
                work(deployment)
            except VerdeltaError as error:
                self._records.give_up(deployment, error.message)
            except Exception as error:
                log.exception("deployment", host=deployment.host_name, rollout=deployment.rollout_id)
                self._records.give_up(deployment, _reason(error))

        with ThreadPoolExecutor(self._forks, thread_name_prefix="host") as pool:
            list(pool.map(guarded, deployments))


def _reason(error: Exception) -> str:
    if isinstance(error, VerdeltaError):
        return error.message
    return f"an error of the controller: {type(error).__name__}: {error}"


def _complete(taken: TakenIn) -> Snapshot:
    if taken.snapshot is None:
        raise VerdeltaError("the audit did not bring every section")
    return taken.snapshot
