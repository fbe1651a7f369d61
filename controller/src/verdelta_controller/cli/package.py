"""A release folder as it lies on disk: manifest and files, checked before anything is sent."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from verdelta_agent.model import SECTION_NAMES

from ..foundation.errors import InvalidInput
from ..library.store import ChecksumMismatch
from ..releases import located_yaml
from ..releases.manifest import Manifest, load_manifest, resolve_inside
from ..releases.playbooks import check_playbook, files_named, playbooks_named
from . import profile
from .text import amount

CHUNK = 1 << 20


class File(NamedTuple):
    """A file of the release: as the manifest names it, where it lies, and what it has."""

    name: str
    path: Path
    sha256: str
    size: int


class Package(NamedTuple):
    """A release that is as its manifest says, ready to be sent."""

    path: Path
    source: str
    manifest: Manifest
    files: list[File]

    def order(self) -> dict[str, object]:
        """Return what the API makes a release of."""
        digests = {file.name: file.sha256 for file in self.files}
        return {"name": str(self.path)[-500:], "manifest": self.source, "files": digests}


def read(path: Path) -> Package:
    """Return the release of a manifest (or of the folder of a release.yaml), checked as a whole.

    Raises ManifestError, InvalidInput and ChecksumMismatch: everything that is wrong, each with file and line.
    """
    path = path / "release.yaml" if path.is_dir() else path
    if not path.exists():
        raise InvalidInput(f"{path}: there is no such manifest", mend="verdelta release build PATH/release.yaml")
    source = profile.read_text(path, located_yaml.LIMIT)
    manifest = load_manifest(source, str(path), SECTION_NAMES)
    files, wrong = [], []
    for name, expected in files_named(manifest).items():
        try:
            files.append(_checked(path.parent, name, expected))
        except InvalidInput as error:
            wrong.append((_line(source, manifest, name), error))
    if wrong:
        raise _together(path, wrong)
    for name in sorted(playbooks_named(manifest)):
        check_playbook(resolve_inside(path.parent, name), str(path.parent / name))
    return Package(path, source, manifest, files)


def chunks_of(file: File) -> Iterator[bytes]:
    """Yield the content of a file, piece by piece.  Raises InvalidInput."""
    try:
        with file.path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InvalidInput(f"{file.path}: cannot be read: {error.strerror}") from error


def _checked(folder: Path, name: str, expected: str | None) -> File:
    path = resolve_inside(folder, name)
    digest, size = hashlib.sha256(), 0
    for chunk in chunks_of(File(name, path, "", 0)):
        digest.update(chunk)
        size += len(chunk)
    if expected is not None and digest.hexdigest() != expected:
        raise ChecksumMismatch(
            f"{name}: checksum does not match the manifest\n"
            f"  expected sha256 {expected}\n  the file has    {digest.hexdigest()}",
            mend="Replace the file, or put the new checksum into the manifest if the new content is intended.",
        )
    return File(name, path, digest.hexdigest(), size)


def _line(source: str, manifest: Manifest, name: str) -> int:
    """Return the line of the manifest that names a file."""
    document = located_yaml.read(source)
    for place, component in enumerate(manifest.components):
        if component.artifact == name:
            return document.line(("components", place, "artifact"))
    for step in ("install", "back_out"):
        found = getattr(manifest, step)
        if found is not None and found.playbook == name:
            return document.line((step, "playbook"))
    return 1


def _together(path: Path, wrong: list[tuple[int, InvalidInput]]) -> InvalidInput:
    """Return one error that says everything that is wrong, each with its line."""
    said = [f"{path}:{line}: {error.message}" for line, error in sorted(wrong, key=lambda one: one[0])]
    if len(wrong) == 1:
        return InvalidInput(said[0], mend=wrong[0][1].mend)
    return InvalidInput("\n".join(said), mend=f"{amount(len(wrong), 'file')} to mend; nothing was sent.")
