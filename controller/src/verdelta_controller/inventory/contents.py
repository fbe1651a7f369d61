"""What many hosts have in a few sections, by digest: each distinct content is read once, however many share it."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import func
from sqlmodel import col, select

from verdelta_agent.model import Digested, Rows

from ..foundation.database import Database
from .content import EMPTY, unpack
from .tables import SectionContent, Snapshot

Thing = TypeVar("Thing")

AT_ONCE = 200  # digests or snapshots that are asked for in one query


class Newest(NamedTuple):
    """When a host was last audited, and its sections as they were asked for; None where it has no such section."""

    confirmed_at: datetime
    sections: tuple[Digested | None, ...]


class Contents:
    """Answers about the sections of many hosts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, names: Sequence[str]) -> dict[str, Newest]:
        """Return these sections of the last known state of every host, by its id; those never audited are left out."""
        newest = select(func.max(Snapshot.id)).group_by(Snapshot.host_id)
        wanted = select(Snapshot.host_id, Snapshot.confirmed_at, *_pieces(names)).where(col(Snapshot.id).in_(newest))
        with self._database.reading() as session:
            return {host_id: Newest(at, _digested(pieces)) for host_id, at, *pieces in session.execute(wanted)}

    def of_snapshots(self, ids: Collection[int], names: Sequence[str]) -> dict[int, tuple[Digested | None, ...]]:
        """Return these sections of snapshots, by their number."""
        found: dict[int, tuple[Digested | None, ...]] = {}
        with self._database.reading() as session:
            for some in _some(sorted(ids)):
                wanted = select(Snapshot.id, *_pieces(names)).where(col(Snapshot.id).in_(some))
                found.update((number, _digested(pieces)) for number, *pieces in session.execute(wanted))
        return found

    def rows(self, digests: Collection[str]) -> Iterator[tuple[str, Rows]]:
        """Yield the rows of each digest that is known, one after the other: together they may be large."""
        if EMPTY in digests:
            yield EMPTY, {}
        with self._database.reading() as session:
            for some in _some(sorted(digests)):
                wanted = select(SectionContent.digest, SectionContent.rows).where(col(SectionContent.digest).in_(some))
                for digest, packed in session.execute(wanted):
                    yield digest, unpack(packed)


def _pieces(names: Sequence[str]) -> list[Any]:
    """Return the columns for single sections: the whole of a snapshot's sections is ten times as much to parse."""
    return [col(Snapshot.sections)[name] for name in names]


def _some(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    return (things[first : first + AT_ONCE] for first in range(0, len(things), AT_ONCE))


def _digested(pieces: Sequence[Any]) -> tuple[Digested | None, ...]:
    return tuple(Digested(*piece) if piece else None for piece in pieces)
