"""Start, watch, resume, cancel and back out roll-outs."""

from collections.abc import Sequence
from typing import Any

from ..access.rules import Actor
from ..fleet.environment_rules import Stage
from ..fleet.service import FleetService
from ..fleet.tables import Host
from ..foundation.clock import now
from ..foundation.errors import GateClosed, InvalidInput, NotFound, Unavailable
from ..releases.service import ReleaseService
from ..releases.tables import Release
from .engine import Engine
from .packages import deployable_of
from .progress import Progress
from .promotion import Promotion
from .records import Records
from .states import HOST_STATES, HostState, Purpose, RolloutState
from .tables import Deployment, Rollout
from .views import host_view, rollout_view, summary_view


class RolloutService:
    """The use-cases around roll-outs."""

    def __init__(
        self,
        records: Records,
        fleet: FleetService,
        releases: ReleaseService,
        promotion: Promotion,
        engine: Engine,
        progress: Progress,
    ) -> None:
        self._records = records
        self._fleet = fleet
        self._releases = releases
        self._promotion = promotion
        self._engine = engine
        self._progress = progress

    def start(self, name: str, version: str, hosts: Sequence[Host], wave_size: int, actor: Actor) -> int:
        """Begin to roll a release out to hosts, `wave_size` at a time (0: all of them in one wave).

        Raises NotFound, InvalidInput (no host), GateClosed (not authorised, retired, a host is being deployed to
        already, or cannot be reached by push).
        """
        release = self._releases.release(name, version)
        self._releases.authorised(release)
        required = self._releases.check_may_deploy(release)
        self._promotion.check(release.digest, _environments(hosts), [Stage(stage) for stage in required])
        return self._begin(release, release.digest, Purpose.DEPLOYMENT, hosts, wave_size, actor)

    def rehearse(self, name: str, version: str, hosts: Sequence[Host], actor: Actor) -> int:
        """Begin to rehearse a release on hosts: the same roll-out and the same audits, held against what is declared.

        Raises NotFound, InvalidInput (no host), GateClosed (it is not ready to be tested, a host is busy or cannot be
        reached by push), OtherSide (the actor makes this release).
        """
        release = self._releases.release(name, version)
        self._releases.rehearsed(release.digest)
        self._promotion.check_rehearsal(_environments(hosts))
        return self._begin(release, release.digest, Purpose.REHEARSAL, hosts, 0, actor)

    def _begin(
        self, release: Release, package: str, purpose: Purpose, hosts: Sequence[Host], wave_size: int, actor: Actor
    ) -> int:
        if not hosts:
            raise InvalidInput("a roll-out needs at least one host", mend="Name hosts, a --group or an --environment.")
        if wave_size < 0:
            raise InvalidInput(f"a wave of {wave_size} hosts makes no sense", mend="Give 1 or more.")
        for host in hosts:
            if host.reach == "check-in":
                raise GateClosed(f"{host.name} cannot be pushed to: its agent calls, nobody calls it")
        busy = self._records.busy_hosts([host.id for host in hosts])
        if busy:
            raise GateClosed(
                f"{busy[0].host_name} is being deployed to by roll-out {busy[0].rollout_id}",
                mend=f"Wait for it: verdelta rollout status {busy[0].rollout_id} -w",
            )
        size = wave_size or len(hosts)
        named = [(host.id, host.name) for host in hosts]
        waves = [named[first : first + size] for first in range(0, len(named), size)]
        rollout = Rollout(
            release_id=release.id or 0,
            package=package,
            purpose=purpose.value,
            state=RolloutState.RUNNING.value,
            created_at=now(),
            created_by=actor.name,
        )
        number = self._records.create(
            rollout,
            waves,
            lambda session, number: (
                self._releases.begin_rehearsal(session, release, package, number, actor)
                if purpose is Purpose.REHEARSAL
                else self._releases.begin_deployment(session, release.id or 0)
            ),
        )
        try:
            self._engine.start("deploy", number, 1)
        except Exception as error:
            raise Unavailable(
                f"roll-out {number} is written down and could not be begun: {error}",
                mend=f"It begins when the controller is started again, unless: verdelta rollout cancel {number}",
            ) from error
        return number

    def resume(self, rollout_id: int, actor: str) -> None:
        """Go on with a suspended roll-out: hosts whose install failed are tried again, the others audited again.

        Whatever happens is judged against what each host was before the first attempt.  Raises NotFound, GateClosed.
        """
        self._expect(rollout_id, RolloutState.SUSPENDED)
        open_waves = set(self._records.open_waves(rollout_id))
        retried = [
            deployment
            for deployment in self._records.deployments(rollout_id)
            if deployment.wave in open_waves
            and deployment.state in (HostState.AT_VARIANCE, HostState.INDETERMINATE, HostState.FAILED)
        ]
        run = self._records.restart(rollout_id, retried, actor)
        self._engine.start("deploy", rollout_id, run)

    def cancel(self, rollout_id: int, actor: str) -> None:
        """Stop a roll-out: no further host is begun; what runs is stopped and audited.  Raises NotFound, GateClosed."""
        self._expect(rollout_id, RolloutState.RUNNING, RolloutState.SUSPENDED)
        self._records.cancel(rollout_id, actor)
        self._progress.cancel(rollout_id)

    def back_out(self, rollout_id: int, names: Sequence[str], actor: str) -> None:
        """Take hosts of a roll-out back to what they were, all that were installed on by default.

        Raises NotFound, GateClosed.
        """
        rollout = self._expect(
            rollout_id, RolloutState.SUSPENDED, RolloutState.FINISHED, RolloutState.CANCELLED, RolloutState.BACKED_OUT
        )
        if deployable_of(self._releases, rollout).manifest.back_out is None:
            raise GateClosed("this release has no back_out in its manifest", mend="Back out by another release.")
        chosen = [deployment for deployment in self._chosen(rollout_id, names) if _can_be_backed_out(deployment)]
        if not chosen:
            raise GateClosed("there is no host to back out: nothing was installed, or all are backed out already")
        run = self._records.begin_back_out(rollout_id, chosen, actor)
        self._engine.start("back_out", rollout_id, run)

    def carry_on(self) -> None:
        """Begin what was written down but never begun, and again what ended without an answer.

        A controller that is killed between the two leaves the one; an engine that is closed in the middle the other.
        """
        for rollout in self._records.active():
            if rollout.id is not None:
                kind = "deploy" if rollout.state == RolloutState.RUNNING else "back_out"
                ended = self._engine.has_ended(kind, rollout.id, rollout.run)
                run = self._records.begin_run(rollout.id) if ended else rollout.run
                self._engine.start(kind, rollout.id, run)

    def view(self, rollout_id: int) -> dict[str, Any]:
        """Return a roll-out as people see it.  Raises NotFound."""
        rollout = self._records.rollout(rollout_id)
        release = self._releases.by_id(rollout.release_id)
        deployments = self._records.deployments(rollout_id)
        return rollout_view(
            rollout, release, self._records.waves(rollout_id), deployments, self._progress.steps(rollout_id)
        )

    def summaries(self) -> list[dict[str, Any]]:
        """Return every roll-out in one line, the newest first."""
        rollouts = self._records.rollouts()
        releases = self._releases.by_ids({rollout.release_id for rollout in rollouts})
        return [summary_view(rollout, releases[rollout.release_id]) for rollout in rollouts]

    def summary(self, rollout_id: int) -> dict[str, Any]:
        """Return one roll-out in one line.  Raises NotFound."""
        rollout = self._records.rollout(rollout_id)
        return summary_view(rollout, self._releases.by_id(rollout.release_id))

    def deployment(self, rollout_id: int, host_name: str) -> Deployment:
        """Return one host of a roll-out.  Raises NotFound."""
        return self._chosen(rollout_id, [host_name])[0]

    def host_view(self, rollout_id: int, host_name: str) -> dict[str, Any]:
        """Return one host of a roll-out as people see it.  Raises NotFound."""
        return host_view(self.deployment(rollout_id, host_name), self._progress.steps(rollout_id).get(host_name))

    def history_of(self, host: Host) -> list[dict[str, Any]]:
        """Return what was deployed to a host, the newest first."""
        return [
            {**host_view(deployment), "rollout": self.summary(deployment.rollout_id)}
            for deployment in self._records.deployments_on(host.id)
        ]

    def _chosen(self, rollout_id: int, names: Sequence[str]) -> list[Deployment]:
        self._records.rollout(rollout_id)
        deployments = self._records.deployments(rollout_id)
        for name in names:
            if name not in {deployment.host_name for deployment in deployments}:
                raise NotFound(f"{name} is not in roll-out {rollout_id}", mend=f"verdelta rollout show {rollout_id}")
        return [deployment for deployment in deployments if not names or deployment.host_name in names]

    def _expect(self, rollout_id: int, *states: RolloutState) -> Rollout:
        rollout = self._records.rollout(rollout_id)
        if rollout.state not in states:
            wanted = " or ".join(state.value for state in states)
            raise GateClosed(f"roll-out {rollout_id} is {rollout.state}; this takes one that is {wanted}")
        return rollout


def _environments(hosts: Sequence[Host]) -> set[str]:
    return {host.environment for host in hosts if host.environment}


def _can_be_backed_out(deployment: Deployment) -> bool:
    ready = HostState.BACKING_OUT in HOST_STATES.allowed(HostState(deployment.state))
    return ready and deployment.before_snapshot is not None and deployment.began_at is not None
