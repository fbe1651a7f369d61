"""Read the whole library, and record what was found."""

from typing import Any

from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.evidence import EvidenceLog
from .store import ArtifactStore
from .tables import Artifact, LibraryTask
from .tasks import Progress, Tasks
from .uploading import UploadService

SHOWN = 500  # digests of one kind that a report names; it counts them all
SUBJECT = "library"


class Checking:
    """The use-case around a check of everything."""

    def __init__(
        self, database: Database, evidence: EvidenceLog, store: ArtifactStore, uploads: UploadService, tasks: Tasks
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._store = store
        self._uploads = uploads
        self._tasks = tasks

    def begin(self, actor: str) -> LibraryTask:
        """Begin to read everything; the result is recorded as evidence."""
        return self._tasks.begin("verify", SUBJECT, actor, lambda progress: self._verify(progress, actor))

    def _verify(self, progress: Progress, actor: str) -> dict[str, Any]:
        self._uploads.sweep()
        with self._database.reading() as session:
            progress.total = sum(_here(session).values())
        found = self._store.verify_all(progress.step)
        with self._database.transaction() as session:  # asked after the reading: what came in meanwhile is no finding
            here = _here(session)
            archived = set(session.exec(select(Artifact.digest).where(col(Artifact.archived_at).is_not(None))))
            intact = {stored.digest: stored.size for stored in found.intact}
            missing = [digest for digest in here if not self._store.has(digest)]
            unrecorded = [digest for digest in intact if digest not in here and digest not in archived]
            content = {
                "by": actor,
                "intact": len(intact),
                "bytes": sum(intact.values()),
                "damaged": capped(found.damaged),
                "missing": capped(missing),
                "foreign": capped([*found.foreign, *unrecorded]),
                "quarantined": capped(found.quarantined),
            }
            content["wrong"] = len(found.damaged) + len(missing) + len(found.foreign) + len(unrecorded)
            self._evidence.append(session, "library-verified", SUBJECT, content, now())
        return content


def capped(names: list[str]) -> dict[str, Any]:
    """Return how many there are, and the first of them."""
    return {"count": len(names), "first": [name[:200] for name in sorted(names)[:SHOWN]]}


def _here(session: Session) -> dict[str, int]:
    """Return digest and size of everything whose content is to be on this controller's disk."""
    wanted = select(Artifact.digest, Artifact.size).where(col(Artifact.archived_at).is_(None))
    return dict(session.exec(wanted).all())
