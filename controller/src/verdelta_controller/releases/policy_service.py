"""Keep the release policy: put a new version in force, and find the one that a release is bound to."""

from sqlmodel import Session, col, select

from ..access.rules import Actor
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import NotFound
from ..foundation.evidence import EvidenceLog
from .policy import Policy, load_policy, shipped_policy
from .tables import PolicyVersion, Release


class PolicyService:
    """The use-cases around the policy."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def put(self, source: str, actor: Actor, name: str = "policy.yaml") -> tuple[PolicyVersion, bool]:
        """Put a policy in force for releases that are drafted from now on; the same again changes nothing.

        Returns the version, and whether it is new.  Raises ManifestError.
        """
        policy = load_policy(source, name)
        with self._database.transaction() as session:
            known = newest(session)
            if known is not None and known.digest == policy.digest():
                return known, False
            version = PolicyVersion(
                name=policy.policy,
                digest=policy.digest(),
                source=source,
                document=policy.document(),
                put_at=now(),
                put_by=actor.name,
            )
            session.add(version)
            session.flush()
            content = {"number": version.number, "digest": version.digest, "by": actor.name}
            self._evidence.append(session, "policy-put", policy.policy, content, version.put_at)
        return version, True

    def begin(self, name: str, actor: Actor) -> None:
        """Put a shipped policy in force where there is none yet.  Raises NotFound."""
        source, _ = shipped_policy(name)
        with self._database.reading() as session:
            there = newest(session) is not None
        if not there:
            self.put(source, actor, f"{name}.yaml")

    def in_force(self) -> PolicyVersion:
        """Return the policy for new releases.  Raises NotFound."""
        with self._database.reading() as session:
            return policy_in_force(session)

    def versions(self) -> list[PolicyVersion]:
        """Return every version, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(PolicyVersion).order_by(col(PolicyVersion.number).desc())))

    def version(self, number: int) -> PolicyVersion:
        """Return one version.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(PolicyVersion, number)
        if found is None:
            raise NotFound(f"there is no version {number} of the policy", mend="verdelta policy list")
        return found


def newest(session: Session) -> PolicyVersion | None:
    """Return the version in force, None before there is one."""
    return session.exec(select(PolicyVersion).order_by(col(PolicyVersion.number).desc()).limit(1)).first()


def policy_in_force(session: Session) -> PolicyVersion:
    """Return the version in force.  Raises NotFound."""
    found = newest(session)
    if found is None:
        raise NotFound("there is no release policy", mend="verdelta policy put policy.yaml")
    return found


def policy_of(session: Session, release: Release) -> Policy:
    """Return the policy that a release is bound to."""
    version = session.get(PolicyVersion, release.policy_number)
    if version is None:
        raise NotFound(f"there is no version {release.policy_number} of the policy")
    return Policy.model_validate(version.document)
