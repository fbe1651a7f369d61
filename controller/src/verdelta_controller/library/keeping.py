"""Keep copies at further sites, find out what each really has, move content to an archive, and bring it back."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, InvalidInput, NotFound, Unavailable, VerdeltaError
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import is_name, new_id
from ..foundation.signing import Vault
from . import rules
from .checking import capped
from .rules import CopyState, Origin
from .service import LibraryService, UsesOf
from .sites import controller, directory, object_store
from .sites.port import Place, Site, SiteKind, read_back
from .store import CHUNK, ArtifactStore
from .tables import Artifact, LibrarySite, LibraryTask, RetiredVersion, SiteCopy
from .tasks import Progress, Stopped, Tasks

FAILURES = 3  # in a row, after which the site is taken for gone


class Keeping:
    """The use-cases around sites."""

    def __init__(
        self,
        database: Database,
        evidence: EvidenceLog,
        vault: Vault,
        library: LibraryService,
        store: ArtifactStore,
        tasks: Tasks,
        uses: UsesOf,
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._vault = vault
        self._library = library
        self._store = store
        self._tasks = tasks
        self._uses = uses

    # -- sites

    def add(self, name: str, place: Place, actor: str) -> LibrarySite:
        """Keep copies at a further site from now on, when it answers.  Raises InvalidInput, Conflict, Unavailable."""
        if not is_name(name):
            raise InvalidInput(f"{name[:80]!r} is no name of a site", mend="Letters, digits, dots and dashes.")
        if place.kind is SiteKind.DIRECTORY:
            directory.prepare(place, self._store.root)
        with _closing(self._connected(place)) as site:
            next(site.listing(), None)
        identity = new_id()
        with self._database.transaction() as session:
            if _site(session, name) is not None:
                raise Conflict(f"there is a site {name} already", mend="Give it another name.")
            added = LibrarySite(
                id=identity,
                name=name,
                kind=place.kind.value,
                location=place.location,
                options=place.options,
                sealed=self._vault.seal(json.dumps(place.secrets).encode(), f"library-site:{identity}"),
                created_at=now(),
                created_by=actor,
            )
            session.add(added)
            content = {"by": actor, "kind": place.kind.value, "location": place.location}
            self._evidence.append(session, "library-site-added", name, content, now())
        return added

    def sites(self) -> list[LibrarySite]:
        """Return every site, by name."""
        with self._database.reading() as session:
            return list(session.exec(select(LibrarySite).order_by(LibrarySite.name)))

    def site(self, name: str) -> LibrarySite:
        """Return one site.  Raises NotFound."""
        with self._database.reading() as session:
            found = _site(session, name)
        if found is None:
            raise NotFound(f"there is no site {name[:80]!r}", mend="verdelta library site list shows the sites")
        return found

    # -- copies

    def replicate(self, name: str, actor: str) -> LibraryTask:
        """Begin to copy whatever a site lacks, and to read each new copy back.  Raises NotFound."""
        site = self.site(name)
        return self._tasks.begin("replicate", name, actor, lambda at: self._go_through(site, at, actor, copying=True))

    def check(self, name: str, actor: str) -> LibraryTask:
        """Begin to read back everything that a site has.  Raises NotFound."""
        site = self.site(name)
        return self._tasks.begin("check", name, actor, lambda at: self._go_through(site, at, actor, copying=False))

    def _go_through(self, row: LibrarySite, progress: Progress, actor: str, *, copying: bool) -> dict[str, Any]:
        """Go through everything, and say what the site holds: each copy is written down as soon as it is known.

        One that cannot be read or written is said to have failed, and stops nothing; several in a row do.
        """
        with self._database.reading() as session:
            artifacts = list(session.exec(select(Artifact).order_by(Artifact.digest)))
            trusted = set(_complete(session, row.id)) if copying else set()
        progress.total = sum(artifact.size for artifact in artifacts)
        found, in_a_row = _Findings(), 0
        with self._reached(row) as site:
            there = dict(site.listing())
            for artifact in artifacts:
                progress.at = artifact.file_name
                if artifact.digest in trusted and there.get(artifact.digest) == artifact.size:
                    found.states[artifact.digest] = CopyState.COMPLETE
                    progress.step(artifact.size)
                    continue
                try:
                    self._look(site, artifact, artifact.digest in there, found, progress, copying=copying)
                    self._note(row.id, artifact.digest, found.states[artifact.digest])
                    in_a_row = 0
                except Stopped:
                    raise
                except VerdeltaError as error:
                    found.failed[artifact.digest] = error.message[:300]
                    in_a_row += 1
                    if in_a_row == FAILURES:
                        raise
        extra = [name for name in there if name not in found.states and name not in found.failed]
        return self._conclude(row, "replicated" if copying else "checked", _report(artifacts, found, extra), actor)

    def _look(
        self, site: Site, artifact: Artifact, is_listed: bool, found: "_Findings", progress: Progress, *, copying: bool
    ) -> None:
        """Find out what a site has of one artifact, and copy it there where that is wanted and it is lacking."""
        can_copy = copying and self._store.has(artifact.digest)
        state = CopyState.MISSING
        if is_listed:
            try:
                state = read_back(site, artifact.digest, artifact.size, progress.step)
            except Unavailable:
                if not can_copy:
                    raise
        if can_copy and state is not CopyState.COMPLETE:
            state = self._copy(site, artifact, progress)
            found.copied.append(artifact.digest)
        found.states[artifact.digest] = state

    def _copy(self, site: Site, artifact: Artifact, progress: Progress) -> CopyState:
        """Write one copy, and return what is there then."""

        @contextmanager
        def read_from(offset: int) -> Iterator[Iterable[bytes]]:
            with self._library.open(artifact.digest) as reader:
                left = offset
                while left and (skipped := reader.read(min(CHUNK, left))):  # what is not read is not verified
                    left -= len(skipped)
                yield _stepping(reader.read, progress)

        site.write(artifact, read_from)
        return read_back(site, artifact.digest, artifact.size, lambda count: progress.step(0))

    def _note(self, site_id: str, digest: str, state: CopyState) -> None:
        with self._database.transaction() as session:
            session.merge(SiteCopy(site_id=site_id, digest=digest, state=state.value, verified_at=now()))

    def _conclude(self, row: LibrarySite, what: str, report: dict[str, Any], actor: str) -> dict[str, Any]:
        with self._database.transaction() as session:
            site = session.get_one(LibrarySite, row.id)
            site.report = {**report, "at": now().isoformat(), "what": what}
            session.add(site)
            self._evidence.append(session, f"library-{what}", row.name, {**report, "by": actor}, now())
        return report

    # -- the archive

    def archive(self, name: str, digests: Sequence[str], actor: str) -> LibraryTask:
        """Begin to move content to a site: it is copied, read back there, and only then removed here.

        Raises NotFound, GateClosed (a version that is not retired uses it).
        """
        site = self.site(name)
        wanted = sorted(set(digests))
        for digest in wanted:
            self._library.artifact(digest)
        with self._database.reading() as session:
            self._check_unused(session, wanted)
        return self._tasks.begin("archive", name, actor, lambda at: self._archive(site, wanted, at, actor))

    def _archive(self, row: LibrarySite, digests: Sequence[str], progress: Progress, actor: str) -> dict[str, Any]:
        artifacts = [self._library.artifact(digest) for digest in digests]
        progress.total = sum(artifact.size for artifact in artifacts)
        freed = 0
        with self._reached(row) as site:
            for artifact in artifacts:
                progress.at = artifact.file_name
                if not self._store.has(artifact.digest) and artifact.archived_at is not None:
                    continue
                state = read_back(site, artifact.digest, artifact.size, progress.step)
                if state is not CopyState.COMPLETE:
                    state = self._copy(site, artifact, progress)
                if state is not CopyState.COMPLETE:
                    self._note(row.id, artifact.digest, state)
                    raise Conflict(
                        f"{artifact.file_name}: its copy at {row.name} is {state}", mend="Nothing was removed."
                    )
                self._move(row, artifact, actor)
                freed += artifact.size
        return {"site": row.name, "archived": len(artifacts), "freed": freed}

    def _move(self, row: LibrarySite, artifact: Artifact, actor: str) -> None:
        """Remove content here, whose copy was just read back.  Whoever brings it in again meanwhile is told to."""
        with self._database.transaction() as session:
            kept = session.get_one(Artifact, artifact.digest, with_for_update=True)
            self._check_unused(session, [artifact.digest])
            kept.archived_at = now()
            session.add(kept)
            session.merge(
                SiteCopy(site_id=row.id, digest=kept.digest, state=CopyState.COMPLETE.value, verified_at=now())
            )
            content = {"by": actor, "sha256": kept.digest, "size": kept.size, "site": row.name}
            self._evidence.append(session, "artifact-archived", kept.file_name, content, now())
            session.flush()
            if self._store.has(artifact.digest):
                self._store.delete(artifact.digest)

    def restore(self, digest: str, actor: str) -> LibraryTask:
        """Begin to bring content back from a site that has it: from the archive, or in the place of what is damaged.

        Raises NotFound.
        """
        artifact = self._library.artifact(digest)
        return self._tasks.begin("restore", digest, actor, lambda at: self._restore(artifact, at, actor))

    def _restore(self, artifact: Artifact, progress: Progress, actor: str) -> dict[str, Any]:
        progress.total, progress.at = artifact.size, artifact.file_name
        with self._database.reading() as session:
            having = select(LibrarySite).join(SiteCopy).where(SiteCopy.digest == artifact.digest)
            sites = list(session.exec(having.where(SiteCopy.state == CopyState.COMPLETE.value)))
        failed = []
        for row in sites:
            try:
                with self._reached(row) as site, site.read(artifact.digest) as pieces:
                    stored = self._store.add(_Stepped(pieces, progress), artifact.digest, artifact.file_name)
                origin = Origin(artifact.file_name, actor, f"site {row.name}")
                self._library.record(stored, origin)
                return {"sha256": stored.digest, "size": stored.size, "site": row.name}
            except Stopped:
                raise
            except VerdeltaError as error:
                failed.append(f"{row.name}: {error.message}"[:300])
        raise NotFound(
            f"{artifact.file_name}: no site gives it back" + "".join(f"\n  {line}" for line in failed),
            mend="Bring it in again: verdelta library add FILE --again",
        )

    def _check_unused(self, session: Session, digests: Sequence[str]) -> None:
        """Raise GateClosed when a version that is not retired uses one of these artifacts."""
        retired = set(session.exec(select(RetiredVersion.name, RetiredVersion.version)).all())
        for digest, uses in self._uses(session, digests).items():
            used = rules.in_use(uses, retired)
            if used:
                raise GateClosed(
                    f"{digest[:12]} is in use by {used[0].label}, which is not retired",
                    mend=f"verdelta library retire {used[0].label}",
                )

    @contextmanager
    def _reached(self, row: LibrarySite) -> Iterator[Site]:
        secrets = json.loads(self._vault.open(row.sealed, f"library-site:{row.id}"))
        with _closing(self._connected(Place(SiteKind(row.kind), row.location, row.options, secrets))) as site:
            yield site

    def _connected(self, place: Place) -> Site:
        if place.kind is SiteKind.DIRECTORY:
            return directory.DirectorySite(place, self._store.limit)
        if place.kind is SiteKind.OBJECT_STORE:
            return object_store.connect(place)
        return controller.ControllerSite(place, self._evidence.origin)


@dataclass
class _Findings:
    """What was found out about the copies at a site."""

    states: dict[str, CopyState] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class _Stepped:
    """Pieces as a file that is read, with their progress."""

    def __init__(self, pieces: Iterable[bytes], progress: Progress) -> None:
        self._pieces = iter(pieces)
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        """Return the next piece."""
        piece = next(self._pieces, b"")
        self._progress.step(len(piece))
        return piece


def _stepping(read: Any, progress: Progress) -> Iterator[bytes]:
    while chunk := read(CHUNK):
        progress.step(len(chunk))
        yield chunk


@contextmanager
def _closing(site: Site) -> Iterator[Site]:
    try:
        yield site
    finally:
        site.close()


def _site(session: Session, name: str) -> LibrarySite | None:
    return session.exec(select(LibrarySite).where(LibrarySite.name == name)).first()


def _complete(session: Session, site_id: str) -> Sequence[str]:
    """Return the copies that were read back before, and were as they should be."""
    wanted = select(SiteCopy.digest).where(SiteCopy.site_id == site_id, SiteCopy.state == CopyState.COMPLETE.value)
    return session.exec(wanted.order_by(col(SiteCopy.digest))).all()


def _report(artifacts: Sequence[Artifact], found: _Findings, extra: list[str]) -> dict[str, Any]:
    """Return what a site holds: counts, and the first names of what is not as it should be."""
    by_state = {state: [digest for digest, held in found.states.items() if held is state] for state in CopyState}
    complete = set(by_state[CopyState.COMPLETE])
    return {
        "complete": len(complete),
        "bytes": sum(artifact.size for artifact in artifacts if artifact.digest in complete),
        "missing": capped(by_state[CopyState.MISSING]),
        "damaged": capped(by_state[CopyState.DAMAGED]),
        "extra": capped(extra),
        "copied": len(found.copied),
        "failed": dict(sorted(found.failed.items())[:100]),
    }
