"""Bring large artifacts in, part by part: whoever is killed, client or controller, goes on where it stood."""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, NotFound, TooLarge
from ..foundation.ids import new_id
from . import rules
from .parts import ABANDONED, Parts
from .rules import Origin
from .service import LibraryService
from .store import ArtifactStore, Source
from .tables import LibraryTask, Upload
from .tasks import Progress, Tasks

MOST = 100  # uploads that one person or program may have under way


class Standing(NamedTuple):
    """An upload, and how many of its bytes there are."""

    upload: Upload
    offset: int


class UploadService:
    """The use-cases around uploads in parts."""

    def __init__(self, database: Database, library: LibraryService, store: ArtifactStore, tasks: Tasks) -> None:
        self._database = database
        self._library = library
        self._store = store
        self._tasks = tasks
        self._parts = Parts(store)

    def begin(self, digest: str, size: int, origin: Origin) -> Standing:
        """Return the upload of this content by whoever asks: a new one, or the one that was broken off.

        Raises InvalidInput, TooLarge.
        """
        if size > self._store.limit:
            raise TooLarge(
                f"{origin.file_name}: larger than {self._store.limit} bytes",
                mend="The limit is a setting: VERDELTA_ARTIFACT_LIMIT",
            )
        origin = rules.checked_origin(origin)
        self.sweep()
        with self._database.transaction() as session:
            upload = session.exec(
                select(Upload).where(Upload.digest == digest, Upload.begun_by == origin.by)
            ).first() or _new(session, digest, size, origin)
            if upload.size != size:  # of one content there is one size: what came before was something else
                self._parts.discard(upload.id)
            upload.size, upload.file_name = size, origin.file_name
            upload.source, upload.supplier = origin.source, origin.supplier
            session.add(upload)
        return self._standing(upload)

    def standing(self, upload_id: str, actor: str) -> Standing:
        """Return how far an upload is.  Raises NotFound, also where it is somebody else's."""
        with self._database.reading() as session:
            return self._standing(_get(session, upload_id, actor))

    def add(self, upload_id: str, offset: int, stream: Source, actor: str) -> Standing:
        """Add a part, as far as it comes.  Raises NotFound, OffsetMoved, TooLarge, StoreUnavailable."""
        upload = self.standing(upload_id, actor).upload
        self._parts.append(upload.id, offset, upload.size, stream)
        return self._standing(upload)

    def complete(self, upload_id: str, actor: str) -> LibraryTask:
        """Begin to read the whole anew, and to take it in when it is what was announced.  Raises NotFound, Conflict."""
        upload, offset = self.standing(upload_id, actor)
        if offset != upload.size:
            raise Conflict(f"the upload stands at {offset} of {upload.size} bytes", mend="Send the rest first.")
        return self._tasks.begin("take-in", upload.id, actor, lambda progress: self._take_in(upload, progress))

    def sweep(self) -> int:
        """Give up what nobody went on with for a week, and what killed processes left.  Return how many that were."""
        old, there = self._parts.abandoned(), self._parts.there()
        before = now() - timedelta(seconds=ABANDONED)
        with self._database.transaction() as session:
            for upload in session.exec(select(Upload).where(Upload.begun_at < before)):
                if upload.id in old or upload.id not in there:
                    session.delete(upload)
        for upload_id in old:
            self._parts.discard(upload_id)
        return len(old) + self._store.sweep()

    def _take_in(self, upload: Upload, progress: Progress) -> dict[str, Any]:
        progress.total, progress.at = upload.size, upload.file_name
        origin = Origin(upload.file_name, upload.begun_by, upload.source, upload.supplier)
        stored = self._parts.complete(upload.id, upload.digest, upload.file_name, progress.step)
        self._library.record(stored, origin, lambda session: _forget(session, upload.id))
        self._parts.discard(upload.id)
        return {"sha256": stored.digest, "size": stored.size}

    def _standing(self, upload: Upload) -> Standing:
        return Standing(upload, self._parts.reached(upload.id))


def _new(session: Session, digest: str, size: int, origin: Origin) -> Upload:
    under_way = session.exec(select(func.count()).select_from(Upload).where(Upload.begun_by == origin.by)).one()
    if under_way >= MOST:
        raise Conflict(f"{origin.by} has {under_way} uploads under way", mend="Finish some of them first.")
    return Upload(
        id=new_id(),
        digest=digest,
        size=size,
        file_name=origin.file_name,
        source=origin.source,
        supplier=origin.supplier,
        begun_at=now(),
        begun_by=origin.by,
    )


def _get(session: Session, upload_id: str, actor: str) -> Upload:
    found = session.get(Upload, upload_id)
    if found is None or found.begun_by != actor:
        raise NotFound("there is no such upload", mend="Begin it again: it goes on where it stood.")
    return found


def _forget(session: Session, upload_id: str) -> None:
    left = session.get(Upload, upload_id)
    if left is not None:
        session.delete(left)
