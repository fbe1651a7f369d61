"""Which part of a long list a page shows, and where the parts beside it begin."""

from typing import Annotated, NamedTuple

from fastapi import Path, Query

Offset = Annotated[int, Query(ge=0, le=1_000_000_000)]
Number = Annotated[int, Path(ge=0, le=1 << 53)]  # in an address: of a roll-out or a snapshot


class Page(NamedTuple):
    """One part of a list: where it begins, how long it is, how long the list is, and how long a part may be."""

    offset: int
    shown: int
    total: int
    size: int

    @property
    def previous(self) -> int | None:
        """Return where the part before begins, if there is one."""
        return max(self.offset - self.size, 0) if self.offset else None

    @property
    def following(self) -> int | None:
        """Return where the next part begins, if there is one."""
        return self.offset + self.size if self.offset + self.shown < self.total else None
