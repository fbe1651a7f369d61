"""The rehearsed change: what a rehearsal was observed to change, class of host by class of host, to be reviewed.

Pure.  A class is an operating system and its version: hosts of one class are expected to change alike.  Each line is an
expectation as in a manifest; the reviewer leaves it, loosens it (pattern, range, any), or strikes it out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from verdelta_agent.delta import Change
from verdelta_agent.model import Row, canonical

from .expectations import ABSENT, ANY, Expectation, applicable

# Fields whose value differs from host to host, or from install to install, of themselves: proposed as "any".
VOLATILE = frozenset(("digest", "size", "mtime", "inode", "pid", "installed", "uid", "gid"))
_NOTHING = object()  # equal to no value


class HostClass(NamedTuple):
    """Hosts that are expected to change alike; the matcher that picks them out ({} where nothing is known)."""

    name: str
    on: tuple[tuple[str, str], ...]


class Observed(NamedTuple):
    """What one host of the rehearsal was observed to change."""

    host: str
    host_class: HostClass
    changes: Sequence[Change]
    os_row: Row | None


class Line(NamedTuple):
    """One line to be reviewed: the expectation, the class of hosts, and what a reviewer wants to know of it."""

    host_class: str
    expectation: Expectation
    declared: bool  # an expectation of the manifest covers it
    hosts: tuple[str, ...]  # those that it was seen on
    of: int  # hosts of the class
    note: str


def class_of(os_row: Row | None) -> HostClass:
    """Return the class of a host by its operating system (section system.host, row os)."""
    named = tuple((name, str(os_row[name])) for name in ("id", "version_id") if os_row and os_row.get(name))
    return HostClass(" ".join(value for _, value in named) or "unknown", named)


def propose(observed: Sequence[Observed], declared: Sequence[Expectation]) -> list[Line]:
    """Return the lines that a reviewer is offered, by class, section and key.

    A value that differs between the hosts of a class, and one that is of this host alone (a digest, an id), is
    proposed as "any"; where the manifest declares something looser for the very row, that is proposed.
    """
    classes: dict[HostClass, list[Observed]] = defaultdict(list)
    for one in observed:
        classes[one.host_class].append(one)
    lines = []
    for host_class in sorted(classes):
        hosts = classes[host_class]
        by_row: dict[tuple[str, str], list[tuple[str, Change]]] = defaultdict(list)
        for one in hosts:
            for change in one.changes:
                by_row[change.section, change.key].append((one.host, change))
        for (section, key), seen in sorted(by_row.items()):
            lines.append(_line(host_class, section, key, seen, hosts, declared))
    return lines


def _line(
    host_class: HostClass,
    section: str,
    key: str,
    seen: Sequence[tuple[str, Change]],
    hosts: Sequence[Observed],
    declared: Sequence[Expectation],
) -> Line:
    covering = [one for one in applicable(declared, hosts[0].os_row) if one.covers(section, key)]
    after = _after([change for _, change in seen], covering)
    on = {"on": dict(host_class.on)} if host_class.on else {}  # a class that was not rehearsed is refused, not guessed
    expectation = Expectation(section=section, key=key, after=after, **on)
    names = tuple(sorted(host for host, _ in seen))
    notes = [] if covering else ["not declared in the manifest"]
    notes += [f"on {len(names)} of {len(hosts)} hosts"] if len(names) < len(hosts) else []
    return Line(host_class.name, expectation, bool(covering), names, len(hosts), "; ".join(notes))


def _after(changes: Sequence[Change], covering: Sequence[Expectation]) -> Any:
    if all(change.after is None for change in changes):
        return ABSENT
    if any(change.after is None for change in changes):
        return ANY  # gone on one host and there on another: only a person can say what is meant
    fields: dict[str, Any] = {}
    for name in sorted({name for change in changes for name in _touched(change)}):
        rows = [change.after or {} for change in changes]
        values = {canonical(row[name]): row[name] for row in rows if name in row}
        fields[name] = _value(name, list(values.values()) if all(name in row for row in rows) else [], covering)
    return fields or ANY


def _touched(change: Change) -> list[str]:
    """Return the fields that are not as they were, those that are gone among them."""
    before, after = change.before or {}, change.after or {}
    return [name for name in {**before, **after} if before.get(name, _NOTHING) != after.get(name, _NOTHING)]


def _value(name: str, values: Sequence[Any], covering: Sequence[Expectation]) -> Any:
    for expectation in covering:  # what its author declared loosely stays as loose
        if expectation.after == ANY:
            return ANY
        if isinstance(expectation.after, Mapping) and name in expectation.after:
            return expectation.after[name]
    plain = len(values) == 1 and _is_scalar(values[0])
    return values[0] if plain and name not in VOLATILE else ANY


def _is_scalar(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, list) and all(item is None or isinstance(item, str | bool | int) for item in value))
    )


def changes_of(document: Sequence[Mapping[str, Any]]) -> list[Expectation]:
    """Return the expectations in the JSON of a rehearsed change.  Raises ValidationError."""
    return [Expectation.model_validate(change) for change in document]
