"""Bring artifacts in, and hand them out verified."""

from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from sqlmodel import col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import NotFound
from ..foundation.evidence import EvidenceLog
from .store import ArtifactStore, Source
from .tables import Artifact


class LibraryService:
    """The use-cases around artifacts."""

    def __init__(self, database: Database, evidence: EvidenceLog, store: ArtifactStore) -> None:
        self._database = database
        self._evidence = evidence
        self._store = store

    def bring_in(self, stream: Source, file_name: str, expected: str | None, actor: str) -> Artifact:
        """Take a file into the library.  Raises ChecksumMismatch, TooLarge."""
        stored = self._store.add(stream, expected, file_name)
        with self._database.transaction() as session:
            known = session.get(Artifact, stored.digest)
            if known is not None:
                return known
            artifact = Artifact(
                digest=stored.digest,
                size=stored.size,
                file_name=PurePosixPath(file_name).name[:200],
                added_at=now(),
                added_by=actor,
            )
            session.add(artifact)
            content = {"sha256": stored.digest, "size": stored.size, "by": actor}
            self._evidence.append(session, "artifact-brought-in", artifact.file_name, content, now())
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

    def artifacts(self) -> Iterable[Artifact]:
        """Return everything in the library, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(Artifact).order_by(col(Artifact.added_at).desc())))

    def path(self, digest: str) -> Path:
        """Return the path of an artifact whose content has just been verified.  Raises NotFound, ChecksumMismatch."""
        return self._store.verified_path(digest)
