"""Which releases artifacts belong to: asked by the library, which knows nothing of releases itself."""

from collections.abc import Collection

from sqlalchemy import Table, Text, cast, false, or_
from sqlalchemy import select as columns
from sqlmodel import Session, SQLModel, select

from ..library.rules import Use
from .tables import Release

RELEASES: Table = SQLModel.metadata.tables[str(Release.__tablename__)]
FEW = 8  # artifacts that the database looks for by itself; for more it is quicker to look at each release once


def uses(session: Session, digests: Collection[str]) -> dict[str, list[Use]]:
    """Return for each artifact the releases whose package has it, the newest first."""
    wanted = columns(*(RELEASES.c[name] for name in ("id", "name", "version", "state", "files"))).order_by(
        RELEASES.c.id.desc()
    )
    if len(digests) <= FEW:
        written = cast(RELEASES.c.files, Text)
        named = (written.contains(f'"{digest}"', autoescape=True) for digest in digests)
        wanted = wanted.where(or_(false(), *named))
    found: dict[str, list[Use]] = {digest: [] for digest in digests}
    for number, name, version, state, files in session.execute(wanted.execution_options(yield_per=200)):
        for digest in found.keys() & set(files.values()):
            found[digest].append(Use(number, name, version, state))
    return found


def files_of(session: Session, name: str, version: str) -> tuple[Use, dict[str, str]] | None:
    """Return a release with its files: path -> digest; None when there is no such release."""
    found = session.exec(select(Release).where(Release.name == name, Release.version == version)).first()
    if found is None:
        return None
    return Use(found.id or 0, found.name, found.version, found.state), dict(found.files)
