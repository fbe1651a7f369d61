"""What every site can do, and how it is found out what it really has."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import NamedTuple, Protocol

from ...foundation.errors import NotFound
from ..rules import CopyState
from ..store import ContentDamaged, Step, nothing
from ..tables import Artifact
from ..transfer import ContentFrom


class SiteKind(StrEnum):
    """What kind of place a site is."""

    DIRECTORY = "directory"
    OBJECT_STORE = "s3"
    CONTROLLER = "controller"


class Place(NamedTuple):
    """Where a site is, and the secrets to reach it."""

    kind: SiteKind
    location: str
    options: dict[str, str]
    secrets: dict[str, str]


class Site(Protocol):
    """Copies by their digest.  Nothing that it says of them is believed: they are read back."""

    def listing(self) -> Iterator[tuple[str, int]]:
        """Yield the name and the size of everything that it says it has, whole.  Raises Unavailable."""
        ...

    def read(self, digest: str) -> AbstractContextManager[Iterable[bytes]]:
        """Yield the content, in pieces.  Raises NotFound, Unavailable."""
        ...

    def write(self, artifact: Artifact, read_from: ContentFrom) -> None:
        """Write a copy, which is there whole or not at all.  Raises Unavailable, and whatever reading raises."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


def read_back(site: Site, digest: str, size: int, step: Step = nothing) -> CopyState:
    """Return what a site really has of an artifact.  Raises Unavailable: that says nothing of it."""
    found, count = hashlib.sha256(), 0
    try:
        with site.read(digest) as pieces:
            for piece in pieces:
                found.update(piece)
                count += len(piece)
                if count > size:  # it may be endless
                    return CopyState.DAMAGED
                step(len(piece))
    except NotFound:
        return CopyState.MISSING
    except ContentDamaged:
        return CopyState.DAMAGED
    return CopyState.COMPLETE if found.hexdigest() == digest else CopyState.DAMAGED
