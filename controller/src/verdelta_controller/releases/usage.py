"""Which releases an artifact belongs to: asked by the library, which knows nothing of releases itself."""

from sqlalchemy import Text, cast
from sqlmodel import Session, col, select

from ..library.rules import Use
from .tables import Release


def uses(session: Session, digest: str) -> list[Use]:
    """Return the releases whose package has this content, the newest first."""
    quoted = cast(Release.files, Text).contains(f'"{digest}"', autoescape=True)
    wanted = select(Release).where(quoted).order_by(col(Release.id).desc())
    return [_use(release) for release in session.exec(wanted) if digest in release.files.values()]


def files_of(session: Session, name: str, version: str) -> tuple[Use, dict[str, str]] | None:
    """Return a release with its files: path -> digest; None when there is no such release."""
    found = session.exec(select(Release).where(Release.name == name, Release.version == version)).first()
    return None if found is None else (_use(found), dict(found.files))


def _use(release: Release) -> Use:
    return Use(release.id or 0, release.name, release.version, release.state)
