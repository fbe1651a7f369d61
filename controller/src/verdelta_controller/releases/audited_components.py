"""The components of releases that an audit can tell the version of: packages of dpkg, rpm and pip."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlmodel import col, select

from ..foundation.database import Database
from ..foundation.errors import NotFound
from .matrix import SECTIONS, Component
from .tables import Package, Release


class Released(NamedTuple):
    """A package of a release, and the version of each component in it."""

    package: str
    name: str
    components: Mapping[Component, str]


class ReleasedComponents:
    """Answers about what releases are made of; their manifests are not loaded as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, name: str = "") -> list[Released]:
        """Return the newest version of every release that is built, or of the one that is named.  Raises NotFound."""
        newest = select(func.max(Release.id)).where(Release.digest != "").group_by(Release.name)
        if name:
            newest = newest.where(Release.name == (name if name.isprintable() else ""))  # "" is no release's name
        wanted = _WANTED.join(Package, col(Package.digest) == col(Release.digest)).where(col(Release.id).in_(newest))
        found = self._read(wanted.order_by(col(Release.name)))
        if name and not found:
            raise NotFound(f"no release {name[:100]!r} is built", mend="verdelta release list shows the releases")
        return found

    def of(self, packages: Collection[str]) -> dict[str, Released]:
        """Return packages by their digest."""
        wanted = _WANTED.join(Package, col(Package.release_id) == col(Release.id))
        found = self._read(wanted.where(col(Package.digest).in_(packages)))
        return {released.package: released for released in found}

    def _read(self, wanted: Any) -> list[Released]:
        with self._database.reading() as session:
            return [
                Released(package, name, dict(_tellable(components or [])))
                for package, name, components in session.execute(wanted)
            ]


_WANTED = select(Package.digest, Release.name, col(Package.manifest)["components"]).select_from(Release)


def _tellable(components: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Component, str]]:
    for one in components:
        manager, package = one.get("manager", ""), one.get("package", "")
        if manager in SECTIONS and package:
            yield Component(manager, _normalised(package) if manager == "pip" else package), one["version"]


def _normalised(name: str) -> str:
    """Return a distribution's name as audits have it (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
