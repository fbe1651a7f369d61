"""Bring artifacts in, and hand them out verified."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, NotFound
from ..foundation.evidence import EvidenceLog
from . import rules
from .rules import Origin, Use
from .store import ArtifactStore, Source, Stored, VerifyingReader
from .tables import Arrival, Artifact, RetiredArtifact, RetiredVersion

# What releases tell of artifacts: which of them use each, the newest first.
UsesOf = Callable[[Session, Collection[str]], dict[str, list[Use]]]


class LibraryService:
    """The use-cases around artifacts.  `uses` returns the releases that artifacts belong to."""

    def __init__(self, database: Database, evidence: EvidenceLog, store: ArtifactStore, uses: UsesOf) -> None:
        self._database = database
        self._evidence = evidence
        self._store = store
        self._uses = uses

    def bring_in(self, stream: Source, expected: str | None, origin: Origin) -> Artifact:
        """Take a file into the library.  Raises ChecksumMismatch, TooLarge."""
        origin = rules.checked_origin(origin)
        stored = self._store.add(stream, expected, origin.file_name)
        return self.record(stored, origin)

    def record(
        self, stored: Stored, origin: Origin, also: Callable[[Session], None] = lambda session: None
    ) -> Artifact:
        """Write down that content came in; the same from the same place is known.  `also` is written with it."""
        try:
            with self._database.transaction() as session:
                also(session)
                return self._record(session, stored, origin)
        except Conflict:  # somebody else brought the same in, at the same moment: now it is known
            with self._database.transaction() as session:
                also(session)
                return self._record(session, stored, origin)

    def _record(self, session: Session, stored: Stored, origin: Origin) -> Artifact:
        artifact = session.get(Artifact, stored.digest, with_for_update=True)
        if not self._store.has(stored.digest):
            raise Conflict(f"{origin.file_name} went to the archive at this moment", mend="Bring it in again.")
        if artifact is None:
            artifact = Artifact(
                digest=stored.digest,
                size=stored.size,
                file_name=origin.file_name,
                added_at=now(),
                added_by=origin.by,
            )
        artifact.archived_at = None  # here it is again
        session.add(artifact)
        session.flush()
        if not _is_known(session, stored.digest, origin):
            arrival = Arrival(
                digest=stored.digest,
                file_name=origin.file_name,
                source=origin.source,
                supplier=origin.supplier,
                arrived_at=now(),
                brought_by=origin.by,
            )
            session.add(arrival)
            content = {"sha256": stored.digest, "size": stored.size, "by": origin.by}
            content.update(source=origin.source, supplier=origin.supplier)
            self._evidence.append(session, "artifact-brought-in", origin.file_name, content, now())
        return artifact

    def artifact(self, digest: str) -> Artifact:
        """Return what is known of an artifact.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(Artifact, digest)
        if found is None:
            raise NotFound(f"the library has no artifact {digest[:16]}", mend="Bring it in: verdelta release build")
        return found

    def sizes(self, digests: Collection[str]) -> dict[str, int]:
        """Return the bytes of many artifacts at once, by digest.  Raises NotFound for the first that is not there."""
        wanted, found = sorted(digests), dict[str, int]()
        with self._database.reading() as session:
            for first in range(0, len(wanted), 500):
                some = col(Artifact.digest).in_(wanted[first : first + 500])
                found.update(session.exec(select(Artifact.digest, Artifact.size).where(some)).all())
        missing = next((digest for digest in wanted if digest not in found), None)
        if missing is not None:
            raise NotFound(f"the library has no artifact {missing[:16]}", mend="Bring it in: verdelta release build")
        return found

    def artifacts(self, named: str = "", limit: int = 1000) -> Sequence[Artifact]:
        """Return what is in the library, the newest first; `named` is a part of the name or the start of a digest."""
        wanted = select(Artifact).order_by(col(Artifact.added_at).desc(), col(Artifact.digest)).limit(limit)
        if named:
            by_name = col(Artifact.file_name).contains(named, autoescape=True)
            wanted = wanted.where(by_name | col(Artifact.digest).startswith(named, autoescape=True))
        with self._database.reading() as session:
            return list(session.exec(wanted))

    def content(self, after: str, limit: int) -> Sequence[tuple[str, int]]:
        """Return digest and size of what is on this controller's disk, by digest, after one; none is the end."""
        wanted = select(Artifact.digest, Artifact.size).where(col(Artifact.archived_at).is_(None))
        while True:
            page = wanted.where(Artifact.digest > after).order_by(Artifact.digest).limit(limit)
            with self._database.reading() as session:
                known = list(session.exec(page))
            here = [(digest, size) for digest, size in known if self._store.has(digest)]
            if here or not known:
                return here
            after = known[-1][0]

    def is_here(self, artifact: Artifact) -> bool:
        """Return whether the content is on this controller's disk; it is not read."""
        return self._store.has(artifact.digest)

    def open(self, digest: str) -> VerifyingReader:
        """Return a reader of the content, whose end is an error when it is damaged.  Raises NotFound."""
        self._check_here(self.artifact(digest))
        return self._store.open(digest)

    def path(self, digest: str) -> Path:
        """Return the path of an artifact that may be deployed, whose content has just been verified.

        Raises NotFound, ContentDamaged, Retired.
        """
        artifact = self.artifact(digest)
        self._check_deployable(artifact)
        self._check_here(artifact)
        return self._store.verified_path(digest)

    def check_not_retired(self, session: Session, name: str, version: str) -> None:
        """Raise Retired for a version that is not deployed any more, in the transaction of whoever would deploy it."""
        retired = session.get(RetiredVersion, (name, version))
        if retired is not None:
            raise rules.Retired(
                f"{name} {version} was retired on {retired.retired_at:%Y-%m-%d}: {retired.reason}",
                mend="Deploy another version.",
            )

    def _check_deployable(self, artifact: Artifact) -> None:
        with self._database.reading() as session:
            if session.exec(select(RetiredArtifact).where(RetiredArtifact.digest == artifact.digest)).first() is None:
                return
            retired = set(session.exec(select(RetiredVersion.name, RetiredVersion.version)).all())
            used = rules.in_use(self._uses(session, [artifact.digest])[artifact.digest], retired)
        if not used:
            raise rules.Retired(
                f"{artifact.file_name}: every version that uses it is retired", mend="Deploy a newer version."
            )

    def _check_here(self, artifact: Artifact) -> None:
        if artifact.archived_at is not None and not self.is_here(artifact):
            raise NotFound(
                f"{artifact.file_name} is in the archive",
                mend=f"Bring it back: verdelta library restore {artifact.digest[:12]}",
            )


def _is_known(session: Session, digest: str, origin: Origin) -> bool:
    """Return whether the same person brought it from the same place before."""
    same = select(Arrival).where(
        Arrival.digest == digest,
        Arrival.file_name == origin.file_name,
        Arrival.brought_by == origin.by,
        Arrival.source == origin.source,
        Arrival.supplier == origin.supplier,
    )
    return session.exec(same).first() is not None
