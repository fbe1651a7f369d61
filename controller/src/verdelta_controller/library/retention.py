"""Retire release versions: what only they use is not deployed any more, and may go to the archive."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import NotFound
from ..foundation.evidence import EvidenceLog
from . import rules
from .rules import Use
from .service import UsesOf
from .tables import RetiredArtifact, RetiredVersion
from .tracing import HoldingsOf

ReleaseWith = Callable[[Session, str, str], tuple[Use, dict[str, str]] | None]  # a release and its files, by digest

MANY = 10_000  # artifacts asked after at once: a statement has room for that many values


class Retired(NamedTuple):
    """A retired version; `artifacts` are those that nothing else uses, `kept` those that others do."""

    version: RetiredVersion
    artifacts: list[str]
    kept: list[str]


class Retention:
    """The use-cases around retired versions."""

    def __init__(
        self, database: Database, evidence: EvidenceLog, release: ReleaseWith, uses: UsesOf, holdings: HoldingsOf
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._release = release
        self._uses = uses
        self._holdings = holdings

    def retire(self, name: str, version: str, reason: str, actor: str) -> Retired:
        """Retire a version; once more changes nothing.

        Raises NotFound, and GateClosed while it is on its way to hosts, or may be on one.
        """
        with self._database.transaction() as session:
            found = self._release(session, name, version)
            if found is None:
                raise NotFound(f"there is no release {name} {version}", mend="verdelta release list shows the releases")
            use, files = found
            known = session.get(RetiredVersion, (name, version))
            if known is None:
                rules.check_may_retire(use, self._holdings(session, [use.release_id]))
                known = self._record(session, use, sorted(set(files.values())), reason, actor)
            digests = sorted(set(files.values()))
            return _split(known, digests, self._kept(session, digests))

    def retired(self) -> list[Retired]:
        """Return the retired versions, the newest first; a few questions, however many they are."""
        with self._database.reading() as session:
            versions = list(session.exec(select(RetiredVersion).order_by(col(RetiredVersion.retired_at).desc())))
            of: dict[tuple[str, str], list[str]] = defaultdict(list)
            for name, version, digest in session.exec(
                select(RetiredArtifact.name, RetiredArtifact.version, RetiredArtifact.digest)
            ):
                of[name, version].append(digest)
            kept = self._kept(session, {digest for digests in of.values() for digest in digests})
        return [_split(known, sorted(of[known.name, known.version]), kept) for known in versions]

    def of_version(self, name: str, version: str) -> Retired:
        """Return a retired version with its artifacts.  Raises NotFound."""
        with self._database.reading() as session:
            known = session.get(RetiredVersion, (name, version))
            if known is None:
                raise NotFound(f"{name} {version} is not retired", mend=f"verdelta library retire {name} {version}")
            mine = select(RetiredArtifact.digest).where(
                RetiredArtifact.name == name, RetiredArtifact.version == version
            )
            digests = sorted(session.exec(mine))
            return _split(known, digests, self._kept(session, digests))

    def _record(self, session: Session, use: Use, digests: list[str], reason: str, actor: str) -> RetiredVersion:
        retired = RetiredVersion(
            name=use.name, version=use.version, reason=reason[:1000], retired_at=now(), retired_by=actor
        )
        session.add(retired)
        for digest in digests:
            session.add(RetiredArtifact(digest=digest, name=use.name, version=use.version))
        session.flush()
        content = {"by": actor, "reason": retired.reason, "artifacts": len(digests)}
        content["artifacts_digest"] = hashlib.sha256("\n".join(digests).encode()).hexdigest()
        self._evidence.append(session, "version-retired", use.label, content, now())
        return retired

    def _kept(self, session: Session, digests: Collection[str]) -> set[str]:
        """Return those artifacts that versions use which are not retired."""
        retired = set(session.exec(select(RetiredVersion.name, RetiredVersion.version)).all())
        asked, kept = sorted(digests), set[str]()
        for first in range(0, len(asked), MANY):
            uses = self._uses(session, asked[first : first + MANY])
            kept.update(digest for digest in uses if rules.in_use(uses[digest], retired))
        return kept


def _split(known: RetiredVersion, digests: Sequence[str], kept: Collection[str]) -> Retired:
    return Retired(known, [one for one in digests if one not in kept], [one for one in digests if one in kept])
