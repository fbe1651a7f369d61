"""Many small files into the library at once: one request, one transaction, and the disk is waited for once.

A bundle is a length (4 bytes, the highest first), that many bytes of JSON [{file_name, sha256, size}, …], and then the
contents one after the other.  It exists on the way alone: what is in it is kept as if each file had come by itself.
"""

import json
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput
from ..foundation.evidence import EvidenceLog, Record
from .store import ArtifactStore
from .tables import Arrival, Artifact

LIMIT = 16 << 20  # bytes of a bundle
MOST = 5_000  # files of a bundle
AT_ONCE = 500  # digests in one statement

_LENGTH = struct.Struct(">I")


class Bundled(BaseModel):
    """What a bundle says of one of its files; size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file_name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    size: int = Field(ge=0, le=LIMIT)


_HEADER = TypeAdapter(Annotated[list[Bundled], Field(max_length=MOST)])


class Bundles:
    """The use-cases around many artifacts at once."""

    def __init__(self, database: Database, evidence: EvidenceLog, store: ArtifactStore) -> None:
        self._database = database
        self._evidence = evidence
        self._store = store

    def missing(self, digests: Collection[str]) -> list[str]:
        """Return those of many digests that the library does not have on its disk, in order."""
        with self._database.reading() as session:
            known = _known(session, digests, archived=False)
        return [digest for digest in sorted(set(digests)) if digest not in known]

    def bring_in(self, bundle: bytes, actor: str) -> list[str]:
        """Take every file of a bundle in, and return the digests of those that are new.

        A file whose content is not what it says keeps all of them out.  Raises InvalidInput, ChecksumMismatch.
        """
        files = unpack(bundle)
        self._store.add_many([(said.sha256, said.file_name, content) for said, content in files])
        try:
            return self._record([file for file, _ in files], actor)
        except Conflict:  # somebody else brought one of them in at the same moment: now it is known
            return self._record([file for file, _ in files], actor)

    def _record(self, files: Sequence[Bundled], actor: str) -> list[str]:
        said = {file.sha256: file for file in files}
        with self._database.transaction() as session:
            known, moment = _known(session, said), now()
            new = [file for digest, file in sorted(said.items()) if digest not in known]
            rows = [
                {"digest": file.sha256, "size": file.size, "file_name": _named(file), "added_at": moment}
                for file in new
            ]
            if rows:
                session.execute(insert(Artifact), [{**row, "added_by": actor} for row in rows])
            _bring_back(session, said)
            arrived = _not_yet_brought(session, said, actor)
            if arrived:
                session.execute(insert(Arrival), [_arrival(file, actor, moment) for file in arrived])
            records = [
                Record("artifact-brought-in", _named(file), {"sha256": file.sha256, "size": file.size, "by": actor})
                for file in arrived
            ]
            self._evidence.append_many(session, records, moment)
        return [file.sha256 for file in new]


def pack(files: Iterable[tuple[Bundled, bytes]]) -> bytes:
    """Return a bundle of files and their contents."""
    there = list(files)
    header = json.dumps([said.model_dump() for said, _ in there]).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *(content for _, content in there)])


def unpack(bundle: bytes) -> list[tuple[Bundled, memoryview]]:
    """Return the files of a bundle with their contents.  Raises InvalidInput."""
    if len(bundle) < _LENGTH.size:
        raise InvalidInput("a bundle of files begins with the length of its header")
    end = _LENGTH.size + _LENGTH.unpack_from(bundle)[0]
    try:
        header = _HEADER.validate_json(bundle[_LENGTH.size : end])
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(f"the header of a bundle of files is not one: {detail['msg']}") from error
    if end + sum(said.size for said in header) != len(bundle):
        raise InvalidInput("a bundle of files is not as long as its header says")
    view, files = memoryview(bundle), []
    for said in header:
        files.append((said, view[end : end + said.size]))
        end += said.size
    return files


def _named(file: Bundled) -> str:
    """Return what a file is called in the library; a name that cannot be shown gives way to the digest."""
    name = PurePosixPath(file.file_name).name
    return name if name and name.isprintable() else file.sha256[:16]


def _known(session: Session, digests: Collection[str], *, archived: bool = True) -> set[str]:
    """Return those of many digests that the library knows; without `archived`, those that are on its disk."""
    found: set[str] = set()
    for some in _by_some(digests):
        wanted = select(Artifact.digest).where(col(Artifact.digest).in_(some))
        found.update(session.exec(wanted if archived else wanted.where(col(Artifact.archived_at).is_(None))))
    return found


def _bring_back(session: Session, digests: Collection[str]) -> None:
    """Note that what was only in the archive is here again."""
    for some in _by_some(digests):
        archived = (col(Artifact.digest).in_(some), col(Artifact.archived_at).is_not(None))
        session.execute(update(Artifact).where(*archived).values(archived_at=None))


def _not_yet_brought(session: Session, files: Mapping[str, Bundled], actor: str) -> list[Bundled]:
    """Return the files that this person did not bring in before under the same name."""
    before: set[tuple[str, str]] = set()
    for some in _by_some(files):
        mine = select(Arrival.digest, Arrival.file_name).where(
            col(Arrival.digest).in_(some), Arrival.brought_by == actor, Arrival.source == "", Arrival.supplier == ""
        )
        before.update(session.exec(mine).all())
    return [file for digest, file in sorted(files.items()) if (digest, _named(file)) not in before]


def _arrival(file: Bundled, actor: str, moment: datetime) -> dict[str, object]:
    return {
        "digest": file.sha256,
        "file_name": _named(file),
        "source": "",
        "supplier": "",
        "arrived_at": moment,
        "brought_by": actor,
    }


def _by_some(digests: Collection[str]) -> Iterator[list[str]]:
    """Yield digests so many at a time as one statement takes."""
    ordered = sorted(digests)
    for first in range(0, len(ordered), AT_ONCE):
        yield ordered[first : first + AT_ONCE]
