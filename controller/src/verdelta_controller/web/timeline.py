"""The history of a host: each change of its state, and the deployment that explains it where there is one.  Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from verdelta_agent.delta import Change, Delta
from verdelta_agent.model import Row

from ..inventory.tables import Snapshot
from ..rollouts.states import ENDED, HostState

Deployment = Mapping[str, Any]  # as `rollouts.overview` returns it
NamesOf = Callable[[str, Row | None], Mapping[str, str]]  # section and row -> field -> the name of its value

_FIRST_SHOWN = ("unexpected", "missing", "drift", None, "waived", "matched")


class Field(NamedTuple):
    """A field of a row that is not as it was; None where the row, or the field of it, was not or is no longer there."""

    name: str
    before: Any
    after: Any
    before_name: str = ""  # of what the value is the id of, where it is one
    after_name: str = ""


class Shown(NamedTuple):
    """A row that is not as it was, and what the verdict says of it, if there is one."""

    section: str
    key: str
    operation: str
    fields: list[Field]
    outcome: str | None


class Entry(NamedTuple):
    """One state of a host, and how it differs from the one before.  Of the first state there is no delta."""

    snapshot: Snapshot
    delta: Delta | None
    changes: list[Shown]
    deployment: Deployment | None

    def counts(self) -> dict[str, int]:
        """Return how many rows were added, removed and changed."""
        operations = [change.operation for change in self.changes]
        return {name: operations.count(name) for name in ("added", "removed", "changed")}


def entry(
    after: Snapshot,
    before: Snapshot | None,
    delta: Delta | None,
    deployments: Sequence[Deployment],
    names_of: NamesOf = lambda section, row: {},
) -> Entry:
    """Return what is shown of one state: what nobody authorised comes first, so that it is never among what is cut."""
    if before is None or delta is None:
        return Entry(after, None, [], None)
    deployment = explanation(before, after, deployments)
    items = defaultdict(list)
    for item in deployment["items"] if deployment is not None else ():
        items[item["section"], item["key"]].append(item)
    shown = [_shown(change, items[change.section, change.key], names_of) for change in delta.changes]
    return Entry(after, delta, sorted(shown, key=lambda change: _FIRST_SHOWN.index(change.outcome)), deployment)


def explanation(before: Snapshot, after: Snapshot, deployments: Sequence[Deployment]) -> Deployment | None:
    """Return the newest deployment whose own audits lie around this change; the audit after may not have come yet."""
    if before.id is None or after.id is None:
        return None
    for deployment in deployments:
        first, last = deployment["before_snapshot"], deployment["after_snapshot"]
        under_way = last is None and HostState(deployment["state"]) not in ENDED
        if first is not None and first <= before.id and (under_way or (last is not None and after.id <= last)):
            return deployment
    return None


def by_section(changes: Sequence[Shown]) -> list[tuple[str, list[Shown]]]:
    """Return the changes in groups that follow each other, each with its section."""
    return [(section, list(group)) for section, group in groupby(changes, key=lambda change: change.section)]


def _shown(change: Change, items: Sequence[Mapping[str, Any]], names_of: NamesOf) -> Shown:
    """Return a change with what the verdict says of this very state: one on another state of the row says nothing."""
    before, after = change.before or {}, change.after or {}
    old, new = names_of(change.section, change.before), names_of(change.section, change.after)
    fields = [
        Field(name, before.get(name), after.get(name), old.get(name, ""), new.get(name, "")) for name in change.fields()
    ]
    outcomes = (str(item["outcome"]) for item in items if item["after"] == change.after)
    return Shown(change.section, change.key, change.op, fields, min(outcomes, key=_FIRST_SHOWN.index, default=None))
