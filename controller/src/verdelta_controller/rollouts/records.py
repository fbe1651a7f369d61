"""What is written down of a roll-out: every move of a host, a wave or the whole, each in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlmodel import Session, col, select

from verdelta_agent.delta import Change

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import NotFound
from ..foundation.events import EventBus
from ..foundation.evidence import EvidenceLog
from ..inventory.tables import Snapshot
from ..releases.rules import ReleaseState
from .rehearsing import rehearsal_outcome
from .states import ENDED, HOST_STATES, WAVE_STATES, HostState, Purpose, RolloutState, WaveState
from .tables import Deployment, Intent, Rollout, Wave
from .verdict import Verdict, concluded, recorded


class Releases(Protocol):
    """What is told to whoever keeps the releases, in the transaction of what it follows from."""

    def hold(self, session: Session, release_id: int) -> object:
        """Let nobody else move a release until the transaction ends."""
        ...

    def follow(self, session: Session, release_id: int, wanted: ReleaseState) -> None:
        """Let a release stand where its roll-outs stand."""
        ...

    def follow_rehearsal(self, session: Session, rollout_id: int, passed: bool | None, detail: str) -> None:
        """Keep how a rehearsal came out; None while it is under way."""
        ...


# Where a release stands, by the states of its roll-outs: the first of these that one of them is in.
_RELEASE_STATES = {
    RolloutState.BACKING_OUT: ReleaseState.BACKING_OUT,
    RolloutState.RUNNING: ReleaseState.DEPLOYING,
    RolloutState.SUSPENDED: ReleaseState.SUSPENDED,
    RolloutState.FINISHED: ReleaseState.DEPLOYED,
    RolloutState.BACKED_OUT: ReleaseState.BACKED_OUT,
    RolloutState.CANCELLED: ReleaseState.AUTHORISED,
}


class Records:
    """The tables of this feature, and nobody else's."""

    def __init__(self, database: Database, evidence: EvidenceLog, events: EventBus, releases: Releases) -> None:
        self._database = database
        self._evidence = evidence
        self._events = events
        self._releases = releases

    # -- reading

    def rollout(self, rollout_id: int) -> Rollout:
        """Return one roll-out.  Raises NotFound."""
        with self._database.reading() as session:
            return _rollout(session, rollout_id)

    def rollouts(self, limit: int = 100) -> list[Rollout]:
        """Return the roll-outs, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(Rollout).order_by(col(Rollout.id).desc()).limit(limit)))

    def waves(self, rollout_id: int) -> list[Wave]:
        """Return the waves of a roll-out in order."""
        with self._database.reading() as session:
            return list(session.exec(select(Wave).where(Wave.rollout_id == rollout_id).order_by(col(Wave.number))))

    def open_waves(self, rollout_id: int) -> list[int]:
        """Return the numbers of the waves that have not passed, in order."""
        return [wave.number for wave in self.waves(rollout_id) if wave.state != WaveState.PASSED]

    def deployments(self, rollout_id: int, wave: int | None = None, *states: HostState) -> list[Deployment]:
        """Return the deployments of a roll-out, or of one wave, in the states given, by host name."""
        wanted = select(Deployment).where(Deployment.rollout_id == rollout_id)
        if wave is not None:
            wanted = wanted.where(Deployment.wave == wave)
        if states:
            wanted = wanted.where(col(Deployment.state).in_([state.value for state in states]))
        with self._database.reading() as session:
            return list(session.exec(wanted.order_by(Deployment.wave, Deployment.host_name)))  # type: ignore[arg-type]

    def deployments_on(self, host_id: str, limit: int = 50) -> list[Deployment]:
        """Return what was deployed to a host, the newest first."""
        wanted = select(Deployment).where(Deployment.host_id == host_id).order_by(col(Deployment.id).desc())
        with self._database.reading() as session:
            return list(session.exec(wanted.limit(limit)))

    def is_cancelled(self, rollout_id: int) -> bool:
        """Return whether somebody asked for this roll-out to stop."""
        return self.rollout(rollout_id).cancelled

    def begun(self, rollout_id: int, action: str) -> set[int]:
        """Return the deployments with an intent of this action that has no end: it was interrupted."""
        wanted = select(Intent).where(
            Intent.rollout_id == rollout_id, Intent.action == action, col(Intent.ended_at).is_(None)
        )
        with self._database.reading() as session:
            return {deployment for intent in session.exec(wanted) for deployment in intent.deployments}

    def busy_hosts(self, host_ids: Sequence[str]) -> list[Deployment]:
        """Return the deployments that are under way on any of these hosts."""
        wanted = (
            select(Deployment)
            .join(Rollout, col(Rollout.id) == Deployment.rollout_id)
            .where(col(Deployment.host_id).in_(host_ids))
            .where(col(Rollout.state).in_([RolloutState.RUNNING.value, RolloutState.BACKING_OUT.value]))
            .where(col(Deployment.state).not_in([state.value for state in ENDED]))
        )
        with self._database.reading() as session:
            return list(session.exec(wanted))

    # -- writing

    def create(
        self,
        rollout: Rollout,
        waves: Sequence[Sequence[tuple[str, str]]],
        begun: Callable[[Session, int], None] = lambda session, number: None,
    ) -> int:
        """Write down a roll-out to hosts, given wave by wave as (id, name).  Returns its number.

        `begun` is called with the number in the same transaction.
        """
        with self._database.transaction() as session:
            session.add(rollout)
            session.flush()
            number = _number(rollout)
            for place, hosts in enumerate(waves, 1):
                session.add(Wave(rollout_id=number, number=place, state=WaveState.WAITING.value))
                for host_id, host_name in hosts:
                    deployment = Deployment(
                        rollout_id=number,
                        wave=place,
                        host_id=host_id,
                        host_name=host_name,
                        state=HostState.PENDING.value,
                        changed_at=now(),
                    )
                    session.add(deployment)
            begun(session, number)
            self._settle(session, rollout)
            content = {"by": rollout.created_by, "package": rollout.package, "waves": waves, "purpose": rollout.purpose}
            self._evidence.append(session, "rollout-started", str(number), content, now())
        return number

    def restart(self, rollout_id: int, retried: Sequence[Deployment], actor: str) -> int:
        """Open a suspended roll-out again; hosts that failed are begun anew, the others audited again."""
        with self._database.transaction() as session:
            rollout = _rollout(session, rollout_id)
            rollout.state, rollout.cancelled, rollout.run = RolloutState.RUNNING.value, False, rollout.run + 1
            rollout.reason = ""
            rollout.ended_at = None
            session.add(rollout)
            self._settle(session, rollout)
            for deployment in retried:
                _set(session, deployment, _again(deployment), "")
            names = [deployment.host_name for deployment in retried]
            self._evidence.append(session, "rollout-resumed", str(rollout_id), {"by": actor, "hosts": names}, now())
            return rollout.run

    def begin_back_out(self, rollout_id: int, chosen: Sequence[Deployment], actor: str) -> int:
        """Mark hosts to be taken back."""
        with self._database.transaction() as session:
            rollout = _rollout(session, rollout_id)
            rollout.state, rollout.run, rollout.ended_at = RolloutState.BACKING_OUT.value, rollout.run + 1, None
            session.add(rollout)
            self._settle(session, rollout)
            for deployment in chosen:
                deployment.install_error = ""
                _set(session, deployment, HostState.BACKING_OUT, "")
            names = [deployment.host_name for deployment in chosen]
            self._evidence.append(session, "back-out-started", str(rollout_id), {"by": actor, "hosts": names}, now())
            return rollout.run

    def cancel(self, rollout_id: int, actor: str) -> None:
        """Ask for a roll-out to stop: at once when nothing of it is running."""
        with self._database.transaction() as session:
            rollout = _rollout(session, rollout_id)
            rollout.cancelled = True
            if rollout.state == RolloutState.SUSPENDED:
                rollout.state, rollout.ended_at = RolloutState.CANCELLED.value, now()
            session.add(rollout)
            self._settle(session, rollout)
            self._evidence.append(session, "rollout-cancelled", str(rollout_id), {"by": actor}, now())
        self._tell(rollout_id)

    def open_wave(self, rollout_id: int, number: int) -> None:
        """Let a wave run; one that runs already goes on."""
        with self._database.transaction() as session:
            wave = session.get_one(Wave, (rollout_id, number))
            if wave.state != WaveState.RUNNING:
                wave.state = WAVE_STATES.next_state(WaveState(wave.state), WaveState.RUNNING).value
                session.add(wave)
        self._tell(rollout_id)

    def hold_up(self, rollout_id: int, number: int, reason: str) -> None:
        """Suspend a roll-out whose step could not do its work; its hosts stay where they are, until it is resumed."""
        with self._database.transaction() as session:
            wave = session.get_one(Wave, (rollout_id, number))
            if WaveState.PAUSED in WAVE_STATES.allowed(WaveState(wave.state)):
                wave.state = WaveState.PAUSED.value
                session.add(wave)
            rollout = _rollout(session, rollout_id)
            rollout.state, rollout.reason = RolloutState.SUSPENDED.value, reason[:2000]
            session.add(rollout)
            self._settle(session, rollout)
            self._evidence.append(session, "rollout-held-up", str(rollout_id), {"reason": rollout.reason}, now())
        self._tell(rollout_id)

    def active(self) -> list[Rollout]:
        """Return the roll-outs that are running or being backed out."""
        running = col(Rollout.state).in_([RolloutState.RUNNING.value, RolloutState.BACKING_OUT.value])
        with self._database.reading() as session:
            return list(session.exec(select(Rollout).where(running)))

    def begin_run(self, rollout_id: int) -> int:
        """Return the number of another run of a roll-out, whose last one will not be carried on."""
        with self._database.transaction() as session:
            rollout = _rollout(session, rollout_id)
            rollout.run += 1
            session.add(rollout)
            return rollout.run

    def close_wave(self, rollout_id: int, number: int, decision: WaveState) -> None:
        """Write down how a wave ended, and with it the roll-out: it goes on, is done, or is suspended."""
        with self._database.transaction() as session:
            wave = session.get_one(Wave, (rollout_id, number))
            if wave.state == decision:
                return
            wave.state = WAVE_STATES.next_state(WaveState(wave.state), decision).value
            session.add(wave)
            rollout = _rollout(session, rollout_id)
            self._releases.hold(session, rollout.release_id)  # before the log, as everybody does
            content = {"wave": number, "state": decision.value}
            self._evidence.append(session, "wave-closed", str(rollout_id), content, now())
            if decision is WaveState.STOPPED:
                rollout.state, rollout.ended_at = RolloutState.CANCELLED.value, now()
            elif decision is not WaveState.PASSED:
                rollout.state = RolloutState.SUSPENDED.value
            elif _is_last(session, rollout_id, number):
                rollout.state, rollout.ended_at = RolloutState.FINISHED.value, now()
            session.add(rollout)
            self._settle(session, rollout)
        self._tell(rollout_id)

    def close_back_out(self, rollout_id: int) -> None:
        """Write down that the back-out has ended: backed out when every host is as it was, suspended otherwise."""
        with self._database.transaction() as session:
            rollout = _rollout(session, rollout_id)
            if rollout.state != RolloutState.BACKING_OUT:
                return
            begun = select(Deployment.state).where(
                Deployment.rollout_id == rollout_id, col(Deployment.before_snapshot).is_not(None)
            )
            clean = set(session.exec(begun)) <= {HostState.BACKED_OUT.value}
            rollout.state = (RolloutState.BACKED_OUT if clean else RolloutState.SUSPENDED).value
            rollout.ended_at = now() if clean else None
            session.add(rollout)
            for wave in session.exec(select(Wave).where(Wave.rollout_id == rollout_id)):
                if WaveState.STOPPED in WAVE_STATES.allowed(WaveState(wave.state)):
                    wave.state = WaveState.STOPPED.value
                    session.add(wave)
            self._settle(session, rollout)
        self._tell(rollout_id)

    def move(self, deployment: Deployment, state: HostState, reason: str = "") -> None:
        """Move one host on."""
        with self._database.transaction() as session:
            _set(session, deployment, state, reason)
        self._tell(deployment.rollout_id)

    def remember_before(
        self, deployment: Deployment, snapshot: Snapshot, envelope: str, known: str | None, drift: Sequence[Change]
    ) -> None:
        """Keep what a host was before anything was done to it, as evidence too.

        `known` is the message that showed its last known state, None where there was none; `drift` is what was
        different from that.
        """
        with self._database.transaction() as session:
            deployment.before_snapshot, deployment.before_envelope = snapshot.id, envelope
            deployment.drift = [change._asdict() for change in drift]
            session.merge(deployment)
            content = {
                "host_id": deployment.host_id,
                "rollout": deployment.rollout_id,
                "known_envelope": known,
                "before_envelope": envelope,
            }
            self._evidence.append(session, "audited-before", deployment.host_name, content, now())

    def intend(self, rollout_id: int, wave: int, action: str, deployments: Sequence[Deployment]) -> int:
        """Commit what is about to be done, before anything is done.  Returns the intent's number."""
        intent = Intent(
            rollout_id=rollout_id,
            wave=wave,
            action=action,
            deployments=[_id(deployment) for deployment in deployments],
            began_at=now(),
        )
        with self._database.transaction() as session:
            session.add(intent)
            if action == "install":
                for deployment in deployments:
                    deployment.began_at = deployment.began_at or now()
                    deployment.install_error = ""  # what an earlier attempt ended with says nothing of this one
                    _set(session, deployment, HostState.INSTALLING, "")
            session.flush()
            names = [deployment.host_name for deployment in deployments]
            self._evidence.append(session, f"{action}-intended", str(rollout_id), {"hosts": names}, now())
        self._tell(rollout_id)
        return intent.id or 0

    def end_intent(
        self,
        intent_id: int,
        deployments: Sequence[Deployment],
        outcome: Mapping[str, str],
        errors: Mapping[str, str],
        moments: Mapping[str, datetime],
    ) -> None:
        """Write down how and when the installer ended on each host; the audits will tell whether that is true."""
        with self._database.transaction() as session:
            intent = session.get_one(Intent, intent_id)
            intent.ended_at, intent.outcome = now(), dict(outcome)
            session.add(intent)
            for deployment in deployments:
                deployment.installed_at = moments.get(deployment.host_name) or now()
                deployment.install_error = errors.get(deployment.host_name, "")
                if deployment.state == HostState.INSTALLING:
                    _set(session, deployment, HostState.AUDITING_AFTER, "")
                else:
                    session.merge(deployment)
            ended, content = f"{intent.action}-ended", {"hosts": dict(outcome)}
            self._evidence.append(session, ended, str(intent.rollout_id), content, now())
        for deployment in deployments[:1]:
            self._tell(deployment.rollout_id)

    def abandon(self, rollout_id: int, action: str) -> None:
        """Close the intents of a run that was interrupted, once the audits have settled what became of it."""
        wanted = select(Intent).where(
            Intent.rollout_id == rollout_id, Intent.action == action, col(Intent.ended_at).is_(None)
        )
        with self._database.transaction() as session:
            for intent in session.exec(wanted):
                intent.ended_at, intent.outcome = now(), {"*": "interrupted"}
                session.add(intent)

    def conclude(
        self,
        deployment: Deployment,
        snapshot: Snapshot,
        envelope: str,
        verdict: Verdict,
        accepted_gaps: Sequence[str],
    ) -> None:
        """Record a verdict, as evidence too, with all that it follows from beside the audits and the release."""
        state = concluded(verdict, deployment.install_error)
        with self._database.transaction() as session:
            deployment.after_snapshot, deployment.after_envelope = snapshot.id, envelope
            deployment.items = verdict.document()["items"]
            deployment.concluded_at = now()
            reason = deployment.install_error if state is HostState.FAILED else "; ".join(verdict.reasons)
            if not reason and state is HostState.AT_VARIANCE:
                reason = deployment.reason  # that the install was interrupted
            _set(session, deployment, state, reason)
            content = {
                "host_id": deployment.host_id,
                "rollout": deployment.rollout_id,
                "before_envelope": deployment.before_envelope,
                "after_envelope": envelope,
                "install_error": deployment.install_error,
                "accepted_gaps": sorted(accepted_gaps),
                "verdict": recorded(verdict, state),
            }
            self._evidence.append(session, "verdict", deployment.host_name, content, now())
        self._tell(deployment.rollout_id)

    def give_up(self, deployment: Deployment, reason: str) -> None:
        """End a host about which nothing more can be told: indeterminate, or a back-out that failed."""
        with self._database.transaction() as session:
            current = session.get_one(Deployment, deployment.id)
            state = HostState(current.state)
            if state in ENDED:
                return
            ends = HostState.BACK_OUT_FAILED if state is HostState.BACKING_OUT else HostState.INDETERMINATE
            if state in (HostState.PENDING, HostState.INSTALLING):  # on the way to the audit that could not be had
                between = HostState.AUDITING_BEFORE if state is HostState.PENDING else HostState.AUDITING_AFTER
                _set(session, current, between, reason)
            _set(session, current, ends, reason)
            content = {
                "host_id": current.host_id,
                "rollout": current.rollout_id,
                "state": ends.value,
                "reason": reason[:2000],
            }
            self._evidence.append(session, "verdict", current.host_name, content, now())
        self._tell(deployment.rollout_id)

    def _settle(self, session: Session, rollout: Rollout) -> None:
        """Let the release stand where its roll-outs stand; a rehearsal is none of them."""
        session.flush()
        if rollout.purpose == Purpose.REHEARSAL:
            hosts = select(Deployment).where(Deployment.rollout_id == rollout.id)
            outcome = rehearsal_outcome(RolloutState(rollout.state), list(session.exec(hosts)))
            self._releases.follow_rehearsal(session, _number(rollout), *outcome)
            return
        self._releases.hold(session, rollout.release_id)  # of two roll-outs that settle at once the later sees both
        mine = (Rollout.release_id == rollout.release_id, Rollout.purpose == Purpose.DEPLOYMENT.value)
        states = set(session.exec(select(Rollout.state).where(*mine)))
        reached = next(state for of_rollout, state in _RELEASE_STATES.items() if of_rollout.value in states)
        self._releases.follow(session, rollout.release_id, reached)

    def _tell(self, rollout_id: int) -> None:
        self._events.publish(f"rollout-{rollout_id}")
        self._events.publish("rollouts")


def _set(session: Session, deployment: Deployment, state: HostState, reason: str) -> None:
    if deployment.state != state:
        deployment.state = HOST_STATES.next_state(HostState(deployment.state), state).value
    deployment.reason, deployment.changed_at = reason[:2000], now()
    session.merge(deployment)


def _again(deployment: Deployment) -> HostState:
    """Return where a host that was not verified goes on: nothing begun starts anew, anything else is audited again."""
    if deployment.state == HostState.FAILED or deployment.began_at is None:
        return HostState.AUDITING_BEFORE
    return HostState.AUDITING_AFTER


def _rollout(session: Session, rollout_id: int) -> Rollout:
    found = session.get(Rollout, rollout_id)
    if found is None:
        raise NotFound(f"there is no roll-out {rollout_id}", mend="verdelta rollout list shows the roll-outs")
    return found


def _is_last(session: Session, rollout_id: int, number: int) -> bool:
    later = select(Wave).where(Wave.rollout_id == rollout_id, col(Wave.number) > number)
    return session.exec(later).first() is None


def _number(rollout: Rollout) -> int:
    if rollout.id is None:
        raise ValueError("a roll-out without a number was not written down")
    return rollout.id


def _id(deployment: Deployment) -> int:
    if deployment.id is None:
        raise ValueError("a deployment without a number was not written down")
    return deployment.id
