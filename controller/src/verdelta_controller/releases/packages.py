"""Look into release packages: their lock, their bill of materials, and what tells two of them apart."""

from typing import Any

from ..foundation.errors import InvalidInput, NotFound
from ..library.service import LibraryService
from .bill_of_materials import bill_of_materials
from .component_history import Built, Step, history
from .lifecycle import manifest_of
from .lock import LIMIT, NAME, Lock, LockedFile, lock_of, read_lock
from .package_difference import PackageDifference, difference
from .rules import ReleaseState
from .service import ReleaseService
from .tables import Package


class PackageService:
    """The use-cases around what is in a package; nothing is changed by them."""

    def __init__(self, releases: ReleaseService, library: LibraryService) -> None:
        self._releases = releases
        self._library = library

    def lock(self, name: str, version: str) -> Lock:
        """Return the pinned components and final configuration of a release.  Raises NotFound."""
        return self._lock(self._package(name, version))

    def bill_of_materials(self, name: str, version: str) -> dict[str, Any]:
        """Return the CycloneDX bill of materials of a release.  Raises NotFound."""
        package = self._package(name, version)
        return bill_of_materials(self._lock(package), package.digest)

    def components(self, name: str, component: str = "") -> list[Step]:
        """Return the way of the components of every version of a release.  Raises NotFound."""
        packages = [
            Built(
                version=release.version,
                package=package.digest,
                built_at=package.built_at,
                state=ReleaseState(release.state) if package.digest == release.digest else None,
                components=tuple(manifest_of(package).components),
            )
            for release, package in self._releases.all_packages(name)
        ]
        if not packages:
            raise NotFound(f"there is no release named {name} that was built", mend="verdelta release list")
        return history(packages, component)

    def difference(self, one: str, other: str) -> PackageDifference:
        """Return what differs between two packages, named like labapp@1.1.  Raises NotFound, InvalidInput."""
        first, second = (self._package(*split(name)) for name in (one, other))
        return difference((manifest_of(first), self._lock(first)), (manifest_of(second), self._lock(second)))

    def _package(self, name: str, version: str) -> Package:
        return self._releases.package(self._releases.release(name, version).digest)

    def _lock(self, package: Package) -> Lock:
        """Return the lock that is in the package; of one that was made without, it is what its files give."""
        if NAME in package.files:
            with self._library.path(package.files[NAME]).open("rb") as file:
                return read_lock(file.read(LIMIT + 1))
        sizes = self._library.sizes(set(package.files.values()))
        files = {path: LockedFile(sha256=digest, size=sizes[digest]) for path, digest in sorted(package.files.items())}
        return lock_of(manifest_of(package), files)


def split(name: str) -> tuple[str, str]:
    """Return name and version of a release that is written labapp@1.1.  Raises InvalidInput."""
    release, _, version = name.partition("@")
    if not release or not version:
        raise InvalidInput(f"{name[:100]!r} is no release with its version", mend="Write it like labapp@1.1")
    return release, version
