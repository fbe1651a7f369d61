"""Which releases artifacts belong to: asked by the library, which knows nothing of releases itself."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, Table, Text, cast, false, or_
from sqlalchemy import select as columns
from sqlmodel import Session, SQLModel, col, select

from ..library.rules import Use
from .tables import CriterionResult, GateRecord, Package, Release

RELEASES: Table = SQLModel.metadata.tables[str(Release.__tablename__)]
PACKAGES: Table = SQLModel.metadata.tables[str(Package.__tablename__)]
FEW = 8  # artifacts that the database looks for by itself; for more it is quicker to look at each package once


def uses(session: Session, digests: Collection[str]) -> dict[str, list[Use]]:
    """Return for each artifact the releases that have it, the newest first.

    A release has the files of every package that it ever was, and the reports that show how it was tested.
    """
    found: dict[str, dict[int, Use]] = {digest: {} for digest in digests}
    for number, name, version, state, files in session.execute(_packages(digests).execution_options(yield_per=200)):
        for digest in found.keys() & set(files.values()):
            found[digest][number] = Use(number, name, version, state)
    for table in (GateRecord, CriterionResult):
        shown = (
            select(table.artifact, Release)
            .join(Release, col(Release.id) == table.release_id)
            .where(col(table.artifact).in_(digests))
        )
        for artifact, release in session.exec(shown):
            found[str(artifact)][release.id or 0] = _use(release)
    return {digest: [used[number] for number in sorted(used, reverse=True)] for digest, used in found.items()}


def files_of(session: Session, name: str, version: str) -> tuple[Use, dict[str, str]] | None:
    """Return a release with the files of its package: path -> digest; None when there is no such release.

    It is held until the transaction ends: no roll-out of it begins meanwhile.
    """
    wanted = select(Release).where(Release.name == name, Release.version == version).with_for_update()
    release = session.exec(wanted).first()
    if release is None:
        return None
    package = session.get(Package, release.digest)
    return _use(release), dict(package.files) if package else {}


def _use(release: Release) -> Use:
    return Use(release.id or 0, release.name, release.version, release.state)


def _packages(digests: Collection[str]) -> Select[Any]:
    wanted = columns(*(RELEASES.c[name] for name in ("id", "name", "version", "state")), PACKAGES.c.files).join(
        PACKAGES, PACKAGES.c.release_id == RELEASES.c.id
    )
    if len(digests) > FEW:
        return wanted
    written = cast(PACKAGES.c.files, Text)
    named = (written.contains(f'"{digest}"', autoescape=True) for digest in digests)
    return wanted.where(or_(false(), *named))
