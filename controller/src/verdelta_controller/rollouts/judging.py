"""Bring what the rules need together: the manifest's changes for this host, two snapshots, and the gaps in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verdelta_agent.delta import Change, Delta
from verdelta_agent.model import ABSENT, Row, Rows, Sections

from ..fleet.tables import Host
from ..inventory.service import digested
from ..inventory.tables import Snapshot
from ..releases.expectations import Expectation, applicable
from . import seen
from .seen import Seen
from .verdict import Verdict, gaps_between, split_gaps

LoadSections = Callable[[Snapshot, Sequence[str]], Sections]


PACKAGES = ("software.dpkg", "software.rpm")  # a host without such a database does not get one by a release


def os_row(sections: Sections) -> Row | None:
    """Return the row that says what operating system a host runs; None when it is not known."""
    section = sections.get("system.host")
    return section.rows.get("os") if section is not None else None


def why_not(changes: Sequence[Expectation], host: Host, before: Snapshot, row: Row | None) -> str:
    """Return why an install on this host could never be verified, or "" when it could."""
    expectations = applicable(changes, row)
    if not expectations:
        return "no change is declared for hosts like this one"
    foreign = sorted({e.section for e in expectations if e.section in PACKAGES and _is_absent(before, e.section)})
    if foreign:
        return f"a change is declared in {foreign[0]}, which this host does not have (limit it with `on`)"
    unaccepted, _ = split_gaps(gaps_between(digested(before), digested(before)), set(host.accepted_gaps))
    if unaccepted:
        names = ", ".join(sorted({gap.section for gap in unaccepted}))
        return f"{names} cannot be read completely ({unaccepted[0].reason or unaccepted[0].kind})"
    return ""


def _is_absent(snapshot: Snapshot, section: str) -> bool:
    return section in snapshot.sections and snapshot.sections[section][0] == ABSENT


def judge(
    changes: Sequence[Expectation],
    host: Host,
    before: Snapshot,
    after: Snapshot,
    delta: Delta,
    drift: Sequence[Mapping[str, Any]],
    load: LoadSections,
) -> Verdict:
    """Return the verdict of a host whose install has ended."""
    names = sorted(seen.sections_asked_for(changes))
    return seen.judge(
        changes,
        _seen(before, load(before, names)),
        _seen(after, load(after, names)),
        delta,
        [Change(**change) for change in drift],
        host.accepted_gaps,
    )


def restored(before: Snapshot, after: Snapshot, delta: Delta, host: Host) -> Verdict:
    """Return whether a host is again what it was before the install."""
    return seen.judge_restored(_seen(before, {}), _seen(after, {}), delta, host.accepted_gaps)


def _seen(snapshot: Snapshot, sections: Sections) -> Seen:
    def rows(name: str) -> Rows:
        return sections[name].rows if name in sections else {}

    return Seen(digested(snapshot), rows)
