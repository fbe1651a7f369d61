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
    """A release, and the version of each component in it."""

    id: int
    name: str
    version: str
    components: Mapping[Component, str]


class ReleasedComponents:
    """Answers about what releases are made of; their manifests are not loaded as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, name: str = "") -> list[Released]:
        """Return the newest version of every release, or of the one that is named.  Raises NotFound."""
        newest = select(func.max(Release.id)).group_by(Release.name)
        if name:
            newest = newest.where(Release.name == (name if name.isprintable() else ""))  # "" is no release's name
        found = self._read(
            select(*_WANTED)
            .join(Package, col(Package.digest) == Release.digest)
            .where(col(Release.id).in_(newest))
            .order_by(col(Release.name))
        )
        if name and not found:
            raise NotFound(f"there is no release {name[:100]!r}", mend="verdelta release list shows the releases")
        return found

    def of(self, ids: Collection[int]) -> dict[int, Released]:
        """Return releases by their number."""
        found = self._read(_components().where(col(Release.id).in_(ids)))
        return {released.id: released for released in found}

    def _read(self, wanted: Any) -> list[Released]:
        with self._database.reading() as session:
            return [
                Released(number, name, version, dict(_tellable(components or [])))
                for number, name, version, components in session.execute(wanted)
            ]


def _components() -> Any:
    return select(*_WANTED).join(Package, col(Package.digest) == Release.digest)


_WANTED: tuple[Any, ...] = (Release.id, Release.name, Release.version, col(Package.manifest)["components"])


def _tellable(components: Iterable[Mapping[str, Any]]) -> Iterable[tuple[Component, str]]:
    for one in components:
        manager, package = one.get("manager", ""), one.get("package", "")
        if manager in SECTIONS and package:
            yield Component(manager, _normalised(package) if manager == "pip" else package), one["version"]


def _normalised(name: str) -> str:
    """Return a distribution's name as audits have it (PyPA, "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()
