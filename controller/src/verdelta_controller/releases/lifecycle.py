"""What moves a release on, in the transaction of whoever moves it: find it, check what has to be so, enter a state."""

from typing import Any

from sqlmodel import Session, col, select

from ..access.rules import Actor
from ..foundation.clock import now
from ..foundation.errors import Conflict, GateClosed, NotFound
from ..foundation.evidence import Record
from ..foundation.states import IllegalTransition
from . import facts, gates, rules
from .expectations import Expectation
from .manifest import Manifest
from .policy_service import policy_of
from .rules import OPEN_TO_BUILDING, ReleaseState
from .tables import KnownError, Package, RehearsalRun, Release


def enter(session: Session, release: Release, wanted: ReleaseState) -> None:
    """Let a release enter a state, in the caller's transaction, which records it.

    Raises GateClosed: the state cannot follow, a state was left out that may not be, or a gate is not met.
    """
    current = ReleaseState(release.state)
    if current is not wanted:  # a new build of what is built stays there
        try:
            rules.RELEASE_STATES.next_state(current, wanted)
        except IllegalTransition as error:
            raise GateClosed(f"{label_of(release)} is {current}", mend=error.mend) from error
    check_gates(session, release, wanted)
    release.state = wanted.value
    release.passed = [*release.passed, wanted.value]
    session.add(release)
    session.flush()


def authorised_changes(release: Release) -> list[Expectation]:
    """Return what a release was authorised to change; nothing before that."""
    return [Expectation.model_validate(change) for change in release.authorised_changes]


def manifest_of(package: Package) -> Manifest:
    """Return the manifest of a package."""
    return Manifest.model_validate(package.manifest)


def package_of(session: Session, digest: str) -> Package:
    """Return a package.  Raises NotFound."""
    found = session.get(Package, digest)
    if found is None:
        raise NotFound(f"there is no package {digest[:12]}" if digest else "the release was not built yet")
    return found


def find(session: Session, name: str, version: str, *, lock: bool = False) -> Release | None:
    """Return a release, None when there is none; with `lock` nobody else changes it until the transaction ends."""
    wanted = select(Release).where(Release.name == name, Release.version == version)
    return session.exec(wanted.with_for_update() if lock else wanted).first()


def get(session: Session, name: str, version: str, *, lock: bool = False) -> Release:
    """Return a release.  Raises NotFound."""
    found = find(session, name, version, lock=lock)
    if found is None:
        raise NotFound(f"there is no release {name} {version}", mend="verdelta release list shows the releases")
    return found


def in_words(state: str) -> str:
    """Return a state as it stands in a sentence."""
    return state.replace("_", " ")


def hold(session: Session, release_id: int) -> Release:
    """Return a release that nobody else changes until the transaction ends.  Raises NotFound."""
    found = session.get(Release, release_id, with_for_update=True)
    if found is None:
        raise NotFound(f"there is no release number {release_id}")
    return found


def label_of(release: Release) -> str:
    """Return what to call a release: its name and version."""
    return f"{release.name} {release.version}"


def not_authorised(release: Release) -> GateClosed:
    label = label_of(release)
    return GateClosed(f"{label} is {release.state}, not authorised", mend=f"verdelta release authorise {label}")


def check_gates(session: Session, release: Release, wanted: ReleaseState) -> None:
    """Raise GateClosed, which names the gates that keep a release from a state."""
    policy = policy_of(session, release)
    found = facts.gather(session, release, policy)
    label = label_of(release)
    missing = gates.left_out(policy, found, wanted)
    if missing:
        first = f"by the policy {policy.policy} it has to be {in_words(missing[0])} first"
        raise GateClosed(
            f"{label} is {in_words(release.state)}: {first}",
            mend=f"verdelta release gates {label} shows what is left to do.",
        )
    closed = gates.in_the_way(gates.checklist(policy, found, now()), wanted)
    if closed:
        said = "\n".join(f"  {line.gate}: {line.evidence}" for line in closed)
        count = "1 gate is" if len(closed) == 1 else f"{len(closed)} gates are"
        raise GateClosed(
            f"{label} cannot become {in_words(wanted)}: {count} not met\n{said}",
            mend=f"verdelta release gates {label} shows what to do, and whose turn it is.",
        )


def check_rebuilding(session: Session, release: Release, manifest: Manifest, digest: str) -> None:
    label = label_of(release)
    if ReleaseState(release.state) not in OPEN_TO_BUILDING:
        raise Conflict(
            f"{label} exists with other content"
            f" (package {release.digest[:12]}, this one would be {digest[:12]}), and is {release.state}",
            mend="What was authorised never changes: give the new content a new version.",
        )
    if (release.type, release.service) != (manifest.type.value, manifest.service):
        raise Conflict(
            f"{label} was drafted as {release.type} release of {release.service},"
            f" and the manifest says {manifest.type.value} of {manifest.service}",
            mend="Mend the manifest, or cancel the release and draft another version.",
        )
    under_way = select(RehearsalRun).where(RehearsalRun.release_id == release.id, col(RehearsalRun.passed).is_(None))
    run = session.exec(under_way).first()
    if run is not None:
        raise GateClosed(
            f"{label} is being rehearsed in roll-out {run.rollout_id}",
            mend=f"Wait for it, or: verdelta rollout cancel {run.rollout_id}",
        )


def void(session: Session, release: Release, reason: str) -> list[Record]:
    """Void whatever was signed and accepted of the present package, and return what is to be recorded of that."""
    records = []
    accepted = facts.accepted_change(session, release)
    if accepted is not None:
        accepted.voided_at = now()
        session.add(accepted)
        content: dict[str, Any] = {"change": accepted.digest, "reason": reason}
        records.append(Record("rehearsed-change-voided", label_of(release), content))
    for signed in facts.valid_sign_offs(session, release):
        signed.voided_at, signed.void_reason = now(), reason
        session.add(signed)
        content = {"sign_off": signed.id, "purpose": signed.purpose, "by": signed.person_name, "reason": reason}
        records.append(Record("sign-off-voided", label_of(release), content))
    return records


def note_known_errors(session: Session, release: Release, manifest: Manifest, actor: Actor) -> list[Record]:
    """Write down what a new package says is known to be wrong with it, and return what is to be recorded of that.

    What is open under the same title already is not written down twice.
    """
    mine = (KnownError.release_id == release.id, KnownError.state == "open")
    known = set(session.exec(select(KnownError.title).where(*mine)))
    records = []
    for entry in manifest.known_errors:
        if entry.title in known:
            continue
        error = KnownError(
            release_id=release.id or 0,
            package=release.digest,
            component=entry.component or "",
            title=entry.title,
            severity=entry.severity.value,
            workaround=entry.workaround or "",
            state="open",
            found_at=now(),
            found_by=actor.name,
        )
        session.add(error)
        session.flush()
        content = {"number": error.id, "title": entry.title, "severity": entry.severity.value, "by": actor.name}
        records.append(Record("known-error-found", label_of(release), content))
    return records
