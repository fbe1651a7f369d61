"""Build a release package, authorise it, and keep where it stands."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.states import IllegalTransition
from ..library.service import LibraryService
from . import rules
from .build_checks import check_package
from .lock import LIMIT as LOCK_LIMIT
from .lock import NAME as LOCK
from .lock import check_lock
from .manifest import Manifest, digest_of, load_manifest
from .playbooks import check_playbook, playbooks_named
from .rules import ReleaseState
from .tables import Release

LISTED = 1_000  # files that are named in the evidence; of more, the digest of the package stands for all of them


class ReleaseService:
    """The use-cases around release packages."""

    def __init__(
        self, database: Database, evidence: EvidenceLog, library: LibraryService, sections: tuple[str, ...]
    ) -> None:
        self._database = database
        self._evidence = evidence
        self._library = library
        self._sections = sections

    def build(self, source: str, files: Mapping[str, str], name: str, actor: str) -> tuple[Release, bool]:
        """Make a package of a manifest and files that are in the library already; the same again yields the same.

        Returns the release, and whether it is new.  Raises ManifestError, InvalidInput (a file that the manifest
        names is missing, or has another digest), Conflict (this version exists with other content).
        """
        manifest = load_manifest(source, name, self._sections)
        _check_files(manifest, files, self._library, source, name)
        digest = digest_of(manifest, files)
        with self._database.transaction() as session:
            known = _find(session, manifest.release, manifest.version)
            if known is not None:
                if known.digest == digest:
                    return known, False
                raise Conflict(
                    f"{manifest.release} {manifest.version} exists with other content"
                    f" (package {known.digest[:12]}, this one would be {digest[:12]})",
                    mend="A package never changes: give the new content a new version.",
                )
            release = Release(
                name=manifest.release,
                version=manifest.version,
                type=manifest.type.value,
                service=manifest.service,
                state=ReleaseState.BUILT.value,
                digest=digest,
                manifest=manifest.document(),
                source=source,
                files=dict(files),
                built_at=now(),
                built_by=actor,
            )
            session.add(release)
            session.flush()
            written = hashlib.sha256(source.encode()).hexdigest()
            content: dict[str, Any] = {"digest": digest, "by": actor, "source": written}
            if len(files) <= LISTED:
                content["files"] = dict(files)
            self._evidence.append(session, "release-built", _label(release), content, now())
        return release, True

    def authorise(self, name: str, version: str, actor: str) -> Release:
        """Authorise a release for deployment: what it may change is frozen by its digest.

        Raises NotFound, GateClosed.
        """
        with self._database.transaction() as session:
            release = self._get(session, name, version)
            change = rules.authorised_change(manifest_of(release))
            if release.state == ReleaseState.AUTHORISED:
                return release
            try:
                rules.RELEASE_STATES.next_state(ReleaseState(release.state), ReleaseState.AUTHORISED)
            except IllegalTransition as error:
                raise GateClosed(f"{_label(release)} is {release.state}", mend=error.mend) from error
            release.state = ReleaseState.AUTHORISED.value
            release.authorised_at, release.authorised_by = now(), actor
            release.authorised_change = hashlib.sha256(change).hexdigest()
            session.add(release)
            content = {"digest": release.digest, "by": actor, "authorised_change": release.authorised_change}
            self._evidence.append(session, "release-authorised", _label(release), content, now())
        return release

    def release(self, name: str, version: str) -> Release:
        """Return one release.  Raises NotFound."""
        with self._database.reading() as session:
            return self._get(session, name, version)

    def by_id(self, release_id: int) -> Release:
        """Return one release by its number.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(Release, release_id)
        if found is None:
            raise NotFound(f"there is no release number {release_id}")
        return found

    def releases(self) -> list[Release]:
        """Return every release, the newest first."""
        with self._database.reading() as session:
            return list(session.exec(select(Release).order_by(col(Release.id).desc())))

    def follow(self, session: Session, release_id: int, wanted: ReleaseState) -> None:
        """Let a release stand where its roll-outs stand, in the caller's transaction.

        Raises GateClosed when it was never authorised, or is closed.
        """
        release = session.get(Release, release_id)
        if release is None:
            raise NotFound(f"there is no release number {release_id}")
        if ReleaseState(release.state) not in rules.IN_DEPLOYMENT:
            raise GateClosed(
                f"{_label(release)} is {release.state}, not authorised",
                mend=f"verdelta release authorise {_label(release)}",
            )
        if release.state != wanted.value:
            release.state = wanted.value
            session.add(release)
            content = {"digest": release.digest}
            self._evidence.append(session, f"release-{wanted.value}", _label(release), content, now())

    def authorised_manifest(self, release: Release) -> Manifest:
        """Return the manifest of an authorised release, after checking that it is what was authorised.

        Raises GateClosed.
        """
        manifest = manifest_of(release)
        change = hashlib.sha256(rules.authorised_change(manifest)).hexdigest()
        if release.authorised_change is None:
            raise GateClosed(
                f"{_label(release)} is not authorised", mend=f"verdelta release authorise {_label(release)}"
            )
        if change != release.authorised_change or digest_of(manifest, release.files) != release.digest:
            raise GateClosed(f"{_label(release)} is not what was authorised: its package was changed afterwards")
        return manifest

    def _get(self, session: Session, name: str, version: str) -> Release:
        found = _find(session, name, version)
        if found is None:
            raise NotFound(f"there is no release {name} {version}", mend="verdelta release list shows the releases")
        return found


def manifest_of(release: Release) -> Manifest:
    """Return the manifest of a package."""
    return Manifest.model_validate(release.manifest)


def _find(session: Session, name: str, version: str) -> Release | None:
    return session.exec(select(Release).where(Release.name == name, Release.version == version)).first()


def _label(release: Release) -> str:
    return f"{release.name} {release.version}"


def _check_files(manifest: Manifest, files: Mapping[str, str], library: LibraryService, source: str, name: str) -> None:
    check_package(manifest, files, now().date(), source, name)
    sizes = library.sizes(set(files.values()))  # raises NotFound
    if LOCK in files:
        check_lock(_lock_of(library.path(files[LOCK])), manifest, files, sizes)
    for playbook in sorted(playbooks_named(manifest)):
        check_playbook(library.path(files[playbook]), playbook)


def _lock_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LOCK_LIMIT + 1)
