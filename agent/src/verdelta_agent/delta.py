"""The exact difference of two snapshots: pure, and honest about what it does not know."""

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from .model import FAILED, Digested, Row, Rows, Section, Sections, digest_sections, root_digest

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


class Change(NamedTuple):
    """One row that is not as it was.  `before` is None for an added row, `after` for a removed one."""

    section: str
    key: str
    before: Optional[Row]
    after: Optional[Row]

    @property
    def op(self) -> str:
        """Return added, removed or changed."""
        if self.before is None:
            return ADDED
        return REMOVED if self.after is None else CHANGED

    def fields(self) -> List[str]:
        """Return the names of the fields that differ, sorted; of an added or removed row, all of them."""
        old, new = self.before or {}, self.after or {}
        return sorted(
            name for name in set(old) | set(new) if name not in old or name not in new or not same(old[name], new[name])
        )


class Delta(NamedTuple):
    """The changes between two roots, and the sections that could not be compared."""

    before: str
    after: str
    changes: List[Change]
    unknown: List[str]


def compare(before: Sections, after: Sections) -> Delta:
    """Return the changes, ordered by section and key, and the sections that cannot be compared.

    A section that failed on either side is unknown, never "all removed": unreadable is not empty.
    A section that only one side has (another version of the agent) is unknown too.
    """
    names = sorted(set(before) | set(after))
    unknown = [name for name in names if _unreadable(before.get(name)) or _unreadable(after.get(name))]
    comparable = [name for name in names if name not in unknown]
    changes = [change for name in comparable for change in rows_changed(name, before[name].rows, after[name].rows)]
    return Delta(root_digest(digest_sections(before)), root_digest(digest_sections(after)), changes, unknown)


def _unreadable(section: Optional[Section]) -> bool:
    return section is None or section.status == FAILED


def rows_changed(section: str, old: Rows, new: Rows) -> Iterator[Change]:
    """Yield the changes of one section, ordered by key."""
    for key in sorted(set(old) | set(new)):
        if not same(old.get(key), new.get(key)):
            yield Change(section, key, old.get(key), new.get(key))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same to the digest: True is not 1, which Python takes for equal."""
    if one != other or type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return all(same(one[name], other[name]) for name in one)
    return not isinstance(one, list) or all(map(same, one, other))


def sections_to_compare(before: Mapping[str, Digested], after: Mapping[str, Digested]) -> List[str]:
    """Return the names of the sections whose rows are needed for a delta: those whose digests differ.

    Equal digests have no changes to show, so whoever stores the rows need not load them.
    """
    both = set(before) & set(after)
    return sorted(name for name in both if before[name].digest != after[name].digest)


def patch(base: Rows, rows: Rows) -> Dict[str, Any]:
    """Return what turns `base` into `rows`: {"set": {key: row}, "removed": [key]}."""
    changed = {key: row for key, row in rows.items() if not same(base.get(key), row)}
    return {"set": changed, "removed": sorted(set(base) - set(rows))}


def apply(base: Rows, change: Mapping[str, Any]) -> Rows:
    """Return `base` with a patch applied.  Raises KeyError when it removes a row that `base` does not have."""
    rows = dict(base)
    for key in change["removed"]:
        del rows[key]
    rows.update(change["set"])
    return rows
