"""The evidence log, recomputed from its entries: does it hold, and where does it not?

What cannot be seen in the database alone is held against signed checkpoints that were kept elsewhere: whoever can
change an entry can change every hash over it too, but not what was signed before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from .evidence import ENTRIES, HEAD, NODES, LogBroken, document
from .merkle import Frontier, Node, leaf_hash
from .notes import Checkpoint

PAGE = 1024  # entries looked at together


class Checked(NamedTuple):
    """What was found to hold: so many entries with this root, and the last checkpoint that they agree with."""

    size: int
    root: bytes
    checkpoint: Checkpoint | None


def verify_log(session: Session, checkpoints: Iterable[Checkpoint] = ()) -> Checked:
    """Compute every hash of the log anew, and hold it against what is stored and what was signed.

    Notices entries that were changed, removed, added or put in another's place, and a log that was cut short or
    rewritten as a whole since one of the checkpoints (as `notes.open_checkpoint` returns them).
    Raises LogBroken, which names the first entry that does not hold.
    """
    state = _state(session)
    signed = _Signed(checkpoints)
    frontier = Frontier()
    signed.hold(frontier)
    for start in range(0, state.size, PAGE):
        end = min(start + PAGE, state.size)
        entries, nodes = _entries(session, start, end), _nodes(session, start, end)
        for index in range(start, end):
            completed = frontier.append(_leaf(index, entries.get(index)))
            _hold_nodes(completed[1:], nodes)
            signed.hold(frontier)
    _hold_end(state, frontier)
    signed.hold_size(state.size)
    return Checked(frontier.size, frontier.root(), signed.last)


class _State(NamedTuple):
    """What the tables say of themselves, all at one moment."""

    size: int
    frontier: bytes
    entries: int
    nodes: int


def _state(session: Session) -> _State:
    size, frontier, entries, nodes = session.execute(
        select(
            select(HEAD.c.size).scalar_subquery(),
            select(HEAD.c.frontier).scalar_subquery(),
            select(func.count()).select_from(ENTRIES).scalar_subquery(),
            select(func.count()).select_from(NODES).scalar_subquery(),
        )
    ).one()
    return _State(size or 0, frontier or b"", entries, nodes)


class _Signed:
    """The checkpoints, each held against the log when it has grown to its size."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self._waiting = sorted(checkpoints, key=lambda checkpoint: -checkpoint.size)
        self.last: Checkpoint | None = None

    def hold(self, frontier: Frontier) -> None:
        while self._waiting and self._waiting[-1].size == frontier.size:
            checkpoint = self._waiting.pop()
            if checkpoint.root != frontier.root():
                first = self.last.size if self.last else 0
                raise LogBroken(first, f"entries {first} to {checkpoint.size - 1} are not those that were signed")
            self.last = checkpoint

    def hold_size(self, size: int) -> None:
        if self._waiting:
            raise LogBroken(size, f"it ends at {size} entries, but had {self._waiting[0].size} when it was signed")


def _leaf(index: int, entry: Sequence[Any] | None) -> bytes:
    if entry is None:
        raise LogBroken(index, f"entry {index} is missing or cannot be read")
    _, kind, subject, recorded_at, content, stored = entry
    try:
        computed = leaf_hash(document(kind, subject, recorded_at, content))
    except (TypeError, ValueError, AttributeError) as error:  # a value of another kind than what was recorded
        raise LogBroken(index, f"entry {index} cannot be read") from error
    if computed != stored:
        raise LogBroken(index, f"entry {index} was changed after it was recorded")
    return computed


def _hold_nodes(completed: Sequence[Node], stored: Mapping[tuple[int, int], bytes]) -> None:
    for level, position, computed in completed:
        if stored.get((level, position)) != computed:
            first, last = position << level, ((position + 1) << level) - 1
            raise LogBroken(first, f"entries {first} to {last} are not those that were recorded")


def _hold_end(state: _State, frontier: Frontier) -> None:
    start = 0
    levels = [level for level in reversed(range(frontier.size.bit_length())) if frontier.size >> level & 1]
    for at, (level, computed) in enumerate(zip(levels, frontier.hashes, strict=True)):
        if state.frontier[at * 32 : at * 32 + 32] != computed:
            raise LogBroken(start, f"its head does not know entry {start} and those after it")
        start += 1 << level
    if len(state.frontier) != 32 * len(levels):
        raise LogBroken(start, "its head is damaged")
    if state.entries != state.size:
        raise LogBroken(start, f"there are {state.entries} entries; its head knows {state.size}")
    if state.nodes != frontier.size - len(levels):
        raise LogBroken(start, f"there are {state.nodes} hashes over its entries, not {frontier.size - len(levels)}")


_COLUMNS = (
    ENTRIES.c.index,
    ENTRIES.c.kind,
    ENTRIES.c.subject,
    ENTRIES.c.recorded_at,
    ENTRIES.c.content,
    ENTRIES.c.leaf_hash,
)


def _entries(session: Session, start: int, end: int) -> dict[int, Sequence[Any]]:
    """Return the entries of a page by index; what cannot be read as an entry is left out."""
    try:
        page = select(*_COLUMNS).where(ENTRIES.c.index >= start, ENTRIES.c.index < end)
        return {row[0]: row for row in session.execute(page)}
    except (ValueError, TypeError):  # SQLite keeps whatever somebody wrote into a column
        one_by_one = ((index, _entry_or_none(session, index)) for index in range(start, end))
        return {index: row for index, row in one_by_one if row is not None}


def _entry_or_none(session: Session, index: int) -> Sequence[Any] | None:
    try:
        return session.execute(select(*_COLUMNS).where(ENTRIES.c.index == index)).one_or_none()
    except (ValueError, TypeError):
        return None


def _nodes(session: Session, start: int, end: int) -> dict[tuple[int, int], bytes]:
    """Return the stored nodes that become complete with the entries from `start` up to `end`."""
    ranges = [(level, start >> level, (end >> level) - 1) for level in range(1, end.bit_length())]
    wanted = [
        and_(NODES.c.level == level, NODES.c.position.between(first, last))
        for level, first, last in ranges
        if first <= last
    ]
    if not wanted:
        return {}
    return {(level, position): node for level, position, node in session.execute(select(NODES).where(or_(*wanted)))}
