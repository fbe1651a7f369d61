"""The exact difference of two snapshots whose rows lie elsewhere, each section's under its digest.  Pure."""

from collections.abc import Callable, Mapping

from verdelta_agent import delta, model
from verdelta_agent.delta import Change, Delta

RowsByDigest = Callable[[str], model.Rows]


def compare(before: Mapping[str, model.Digested], after: Mapping[str, model.Digested], rows: RowsByDigest) -> Delta:
    """Return the delta of two snapshots; rows are asked for only where the digests of a section differ."""
    changes: list[Change] = []
    for name in compared(before, after):
        changes.extend(delta.rows_changed(name, rows(before[name].digest), rows(after[name].digest)))
    return Delta(model.root_digest(before), model.root_digest(after), changes, _unknown(before, after))


def compared(before: Mapping[str, model.Digested], after: Mapping[str, model.Digested]) -> list[str]:
    """Return the sections whose rows it takes to tell what changed."""
    unknown = _unknown(before, after)
    return [name for name in delta.sections_to_compare(before, after) if name not in unknown]


def _unknown(before: Mapping[str, model.Digested], after: Mapping[str, model.Digested]) -> list[str]:
    """Return the sections that cannot be compared: unreadable, or not there at all, on either side."""
    both = set(before) & set(after)
    return sorted(
        name
        for name in set(before) | set(after)
        if name not in both or model.FAILED in (before[name].status, after[name].status)
    )
