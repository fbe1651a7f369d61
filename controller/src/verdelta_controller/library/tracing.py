"""All that is known of an artifact: who brought it in and from where, what uses it, on which hosts and sites it is."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from sqlmodel import Session, col, select

from ..foundation.database import Database
from . import rules
from .rules import Holding, Use
from .service import LibraryService, UsesOf
from .tables import Arrival, Artifact, LibrarySite, RetiredVersion, SiteCopy

HoldingsOf = Callable[[Session, Collection[int]], list[Holding]]  # what roll-outs tell of releases


class Trace(NamedTuple):
    """An artifact and all that is known of it; `sites` are names with what each has of it."""

    artifact: Artifact
    is_here: bool
    arrivals: list[Arrival]
    uses: list[Use]
    retired: set[tuple[str, str]]
    holdings: list[Holding]
    sites: list[tuple[str, SiteCopy]]

    @property
    def is_retired(self) -> bool:
        """Return whether nothing deploys it any more."""
        return bool(self.uses) and not rules.in_use(self.uses, self.retired)


class Tracing:
    """Answers where something came from and where it is, by what releases and roll-outs tell."""

    def __init__(self, database: Database, library: LibraryService, uses: UsesOf, holdings: HoldingsOf) -> None:
        self._database = database
        self._library = library
        self._uses = uses
        self._holdings = holdings

    def trace(self, digest: str) -> Trace:
        """Return all that is known of an artifact.  Raises NotFound."""
        artifact = self._library.artifact(digest)
        with self._database.reading() as session:
            uses = self._uses(session, [digest])[digest]
            copies = select(LibrarySite.name, SiteCopy).join(SiteCopy).where(SiteCopy.digest == digest)
            return Trace(
                artifact=artifact,
                is_here=self._library.is_here(artifact),
                arrivals=list(session.exec(select(Arrival).where(Arrival.digest == digest).order_by(col(Arrival.id)))),
                uses=uses,
                retired=set(session.exec(select(RetiredVersion.name, RetiredVersion.version)).all()),
                holdings=self._holdings(session, [use.release_id for use in uses]),
                sites=[(name, copy) for name, copy in session.exec(copies.order_by(LibrarySite.name))],
            )
