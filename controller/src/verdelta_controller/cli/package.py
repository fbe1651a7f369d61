"""A release folder as it lies on disk: manifest, files and lock, resolved and checked before anything is sent."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from verdelta_agent.model import SECTION_NAMES

from ..foundation.clock import now
from ..foundation.errors import InvalidInput, NotFound
from ..library.store import ChecksumMismatch
from ..releases import located_yaml, lock
from ..releases.build_checks import check_package
from ..releases.components import Component, is_fetchable
from ..releases.lock import Lock, LockedFile
from ..releases.manifest import Manifest, load_manifest, resolve_inside
from ..releases.playbooks import check_playbook, playbooks_named
from . import profile
from .fetching import check_source, fetch
from .folder import File, files_named, hashed
from .text import amount

UPDATE = "verdelta release build --update-lock"

Fetch = Callable[[str, str, str | None], File]


class Package(NamedTuple):
    """A release that is as its manifest says, ready to be sent.  `files` has everything but the lock."""

    path: Path
    source: str
    manifest: Manifest
    files: list[File]
    lock: Lock
    written_lock: bytes

    def order(self) -> dict[str, object]:
        """Return what the API makes a release of."""
        digests = {file.name: file.sha256 for file in [*self.files, self.lock_file()]}
        return {"name": str(self.path)[-500:], "manifest": self.source, "files": digests}

    def lock_file(self) -> File:
        """Return the lock as it has to be written, as a file of the package."""
        digest = lock.digest_of(self.written_lock)
        return File(lock.NAME, self.path.parent / lock.NAME, digest, len(self.written_lock))

    def keep_lock(self) -> bool:
        """Write the lock beside the manifest, in one step, unless it is there.  Returns whether it was written."""
        return _write(self.path.parent / lock.NAME, self.written_lock)


def read(path: Path, *, update_lock: bool = False, fetch: Fetch = fetch) -> Package:
    """Return the release of a manifest (or of the folder of a release.yaml), resolved and checked as a whole.

    What the folder does not have is fetched from its source.  Components that an earlier lock has pinned have to be
    what they were, unless `update_lock` says that other content is intended.
    Raises ManifestError, InvalidInput and ChecksumMismatch: everything that is wrong, each with file and line.
    """
    path = path / "release.yaml" if path.is_dir() else path
    if not path.exists():
        raise InvalidInput(f"{path}: there is no such manifest", mend="verdelta release build PATH/release.yaml")
    source = profile.read_text(path, located_yaml.LIMIT)
    manifest = load_manifest(source, str(path), SECTION_NAMES)
    pinned = None if update_lock else _pinned(path.parent / lock.NAME)
    files = _Resolving(path, source, manifest, pinned, fetch).files()
    for name in sorted(playbooks_named(manifest)):
        check_playbook(resolve_inside(path.parent, name), str(path.parent / name))
    check_package(manifest, {file.name: file.sha256 for file in files}, now().date(), source, str(path))
    found = lock.lock_of(
        manifest, {file.name: LockedFile.model_construct(sha256=file.sha256, size=file.size) for file in files}
    )
    if pinned is not None:
        _check_pinned(path, source, manifest, pinned, found)
    return Package(path, source, manifest, files, found, found.written())


class _Resolving:
    """Finds every file of a package; what is wrong is gathered, so that it can be mended in one go."""

    def __init__(self, path: Path, source: str, manifest: Manifest, pinned: Lock | None, fetch: Fetch) -> None:
        self._path = path
        self._folder = path.parent
        self._source = source
        self._manifest = manifest
        self._pinned = pinned
        self._fetch = fetch
        self._found: dict[str, File] = {}
        self._wrong: list[tuple[located_yaml.Path, InvalidInput]] = []

    def files(self) -> list[File]:
        """Return the files in the order of their names.  Raises InvalidInput."""
        for place, component in enumerate(self._manifest.components):
            with self._noting("components", place, "artifact" if component.artifact else "source"):
                self._own_file(component)
            for number, entry in enumerate(component.files):
                with self._noting("components", place, "files", number):
                    for name, path in files_named(self._folder, entry).items():
                        self._add(name, path)
        for step in ("install", "back_out"):
            found = getattr(self._manifest, step)
            if found is not None and found.playbook in playbooks_named(self._manifest):
                with self._noting(step, "playbook"):
                    self._add(found.playbook, resolve_inside(self._folder, found.playbook))
        if self._wrong:
            raise _together(self._path, self._source, self._wrong)
        return [self._found[name] for name in sorted(self._found)]

    def _own_file(self, component: Component) -> None:
        name = component.own_file
        if name is None:
            return
        if component.artifact is not None:
            try:
                path = resolve_inside(self._folder, name)
            except NotFound:
                if not is_fetchable(component.source):
                    raise
            else:
                self._add(name, path)
                _check_digest(self._found[name], component.sha256, None)
                return
        self._found[name] = self._fetched(component, name)

    def _fetched(self, component: Component, name: str) -> File:
        source = component.source or ""
        pinned = lock.pinned_digest(self._pinned, component, name)
        check_source(source, pinned=component.sha256 is not None)
        file = self._fetch(source, name, component.sha256 or pinned)
        _check_digest(file, component.sha256, source)
        if pinned is not None and file.sha256 != pinned:
            raise _changed(name, pinned, file.sha256, f"{source} has changed since it was pinned in {lock.NAME}")
        return file

    def _add(self, name: str, path: Path) -> None:
        if name not in self._found:
            self._found[name] = hashed(name, path)

    @contextlib.contextmanager
    def _noting(self, *place: str | int) -> Iterator[None]:
        try:
            yield
        except InvalidInput as error:
            self._wrong.append((place, error))


def _check_digest(file: File, expected: str | None, source: str | None) -> None:
    if expected is not None and file.sha256 != expected:
        mend = "Replace the file, or put the new checksum into the manifest if the new content is intended."
        where = f", from {source}," if source else ""
        raise ChecksumMismatch(
            f"{file.name}: checksum{where} does not match the manifest\n"
            f"  expected sha256 {expected}\n  the file has    {file.sha256}",
            mend=mend,
        )


def _check_pinned(path: Path, source: str, manifest: Manifest, pinned: Lock, found: Lock) -> None:
    """Refuse other content under a name and a version that the lock has already."""
    places = {ref: place for place, ref in enumerate(lock.refs_of(manifest.components))}
    wrong: list[tuple[located_yaml.Path, InvalidInput]] = []
    for before, after in lock.differences(pinned, found):
        both = sorted({*before.files, *after.files})
        name = next(path for path in both if after.files.get(path) != before.files.get(path))
        one, other = before.files.get(name), after.files.get(name)
        because = f"{after.ref}: {name} is not what {lock.NAME} has pinned"
        error = _changed(
            name, one.sha256 if one else "nothing", other.sha256 if other else "nothing", because, alone=True
        )
        wrong.append((("components", places[after.ref]), error))
    if wrong:
        raise _together(path, source, wrong)


def _changed(name: str, pinned: str, found: str, because: str, alone: bool = False) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"{because if alone else f'{name}: {because}'}\n  pinned sha256 {pinned}\n  the file has  {found}",
        mend=f"Give it a new version; or, if the new content is intended: {UPDATE}",
    )


def _pinned(path: Path) -> Lock | None:
    """Return what an earlier build has pinned, or None when there is none."""
    if not path.exists():
        return None
    return lock.read_lock(profile.read_text(path, lock.LIMIT).encode(), str(path))


def _write(path: Path, content: bytes) -> bool:
    temporary = ""
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".release.lock.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise InvalidInput(f"{path}: cannot be written: {error.strerror or error}") from error
    return True


def _together(path: Path, source: str, wrong: list[tuple[located_yaml.Path, InvalidInput]]) -> InvalidInput:
    """Return one error that says everything that is wrong, each with its line."""
    document = located_yaml.read(source)
    found = sorted(((document.line(place), error) for place, error in wrong), key=lambda one: one[0])
    said = [f"{path}:{line}: {error.message}" for line, error in found]
    if len(wrong) == 1:
        return InvalidInput(said[0], mend=wrong[0][1].mend)
    return InvalidInput("\n".join(said), mend=f"{amount(len(wrong), 'file')} to mend; nothing was sent.")
