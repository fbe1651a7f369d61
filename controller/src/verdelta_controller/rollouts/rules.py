"""Hold what a host shows before and after an install against what was authorised.  Pure: decides, and touches nothing.

A change is authorised when one expectation covers its row, its state afterwards is as that expectation says, and no
field changed that the expectation does not name.  Everything else that changed is unexpected.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import NamedTuple

from verdelta_agent.delta import Change, Delta
from verdelta_agent.model import Row

from ..releases.expectations import ABSENT, ANY, Expectation, fits, is_pattern
from .states import HostState
from .verdict import Gap, GapKind, Item, Outcome, Side, Verdict, conclude, conclude_back_out, split_gaps
from .wording import authorised_state, complaints, happened, is_instead, named

RowsOf = Callable[[str], Mapping[str, Row]]  # section -> its rows; none for a section that is not there


def judge(
    expectations: Sequence[Expectation],
    delta: Delta,
    before: RowsOf,
    after: RowsOf,
    drift: Sequence[Change] = (),
    gaps: Sequence[Gap] = (),
    accepted_gaps: AbstractSet[str] = frozenset(),
) -> Verdict:
    """Return the verdict of one host.

    `expectations` are those that apply to the host; items name them by their index.  `drift` is what differs between
    the last known state and the snapshot before.  `gaps` is what the two snapshots do not show, and `accepted_gaps`
    the sections in which the host's operator accepts that beforehand.

    An acceptance lets pass what might have changed unseen.  An authorised change that could not be looked for is
    never verified, accepted or not.
    """
    gaps = _with_unknown(gaps, delta)
    index = _Index(expectations)
    items = [_drifted(change) for change in drift]
    touched: dict[int, set[Outcome]] = defaultdict(set)
    for change in delta.changes:
        covering = index.covering(change)
        item = _judge_change(change, covering)
        items.append(item)
        for candidate in covering:
            touched[candidate.number].add(item.outcome)
    view = _View(before, after, {(change.section, change.key) for change in delta.changes}, _unseen(gaps))
    found = [_judge_expectation(one, touched[one.number], view) for one in index.ranked]
    items += [one for one in found if isinstance(one, Item)]
    unaccepted, accepted = split_gaps(gaps, accepted_gaps)
    reasons = sorted(one for one in found if isinstance(one, str)) + [str(gap) for gap in unaccepted]
    if not expectations:
        reasons.append("no authorised change applies to this host, so there is nothing that could be verified")
    ordered = tuple(sorted(items, key=lambda item: (item.section, item.key, item.outcome, item.detail)))
    state = conclude(ordered, reasons)
    return Verdict(state, ordered, tuple(reasons), unaccepted, accepted, delta.before, delta.after)


def back_out_verdict(
    restored: Delta, gaps: Sequence[Gap] = (), accepted_gaps: AbstractSet[str] = frozenset()
) -> Verdict:
    """Return whether a host is again what it was.  `restored` is the delta from before the install to now.

    Any change is unexpected.  What could not be compared is not proved, and so not backed out.
    """
    unaccepted, accepted = split_gaps(_with_unknown(gaps, restored), accepted_gaps)
    items = tuple(
        _item(Outcome.UNEXPECTED, change, f"{happened(change)}, not as before") for change in restored.changes
    )
    reasons = tuple(str(gap) for gap in unaccepted)
    state = conclude_back_out(items, reasons)
    return Verdict(state, items, reasons, unaccepted, accepted, restored.before, restored.after)


class Interrupted(StrEnum):
    """What an install that was interrupted has done to the host."""

    UNTOUCHED = "untouched"  # it may be run again
    DONE = "done"  # conclude with the verdict; do not run it again
    PARTIAL = "partial"  # conclude with the verdict, which is at variance; a person decides


def after_interruption(delta_since_before: Delta, verdict: Verdict) -> Interrupted:
    """Return what an interrupted install did, by a fresh audit that was taken when nothing of it was running any more.

    `verdict` is that of the same delta.  A host is not untouched while there is a gap in which a change could hide.
    """
    if not delta_since_before.changes and not verdict.gaps:
        return Interrupted.UNTOUCHED
    return Interrupted.DONE if verdict.state is HostState.VERIFIED else Interrupted.PARTIAL


class _Numbered(NamedTuple):
    number: int
    expectation: Expectation


class _Index:
    """Finds the expectations that cover a change.  Their rank, exact keys first, does not depend on their order."""

    def __init__(self, expectations: Sequence[Expectation]) -> None:
        numbered = [_Numbered(number, expectation) for number, expectation in enumerate(expectations)]
        self.ranked = sorted(numbered, key=lambda one: (is_pattern(one.expectation.key), one.expectation.canonical()))
        self._exact: dict[tuple[str, str], list[_Numbered]] = defaultdict(list)
        self._patterns: dict[str, list[_Numbered]] = defaultdict(list)
        for one in self.ranked:
            section, key = one.expectation.section, one.expectation.key
            (self._patterns[section] if is_pattern(key) else self._exact[section, key]).append(one)

    def covering(self, change: Change) -> list[_Numbered]:
        patterns = self._patterns.get(change.section, ())
        fitting = [one for one in patterns if fits(one.expectation.key, change.key)]
        return self._exact.get((change.section, change.key), []) + fitting


class _View(NamedTuple):
    """The two snapshots, the rows that changed, and how far the sections of the second one can be seen."""

    before: RowsOf
    after: RowsOf
    changed: AbstractSet[tuple[str, str]]
    unseen: Mapping[str, Gap]

    def rows_after(self, expectation: Expectation) -> dict[str, Row]:
        """Return the rows that an expectation covers, sorted by key."""
        rows, key = self.after(expectation.section), expectation.key
        if not is_pattern(key):
            return {key: rows[key]} if key in rows else {}
        return {name: rows[name] for name in sorted(rows) if fits(key, name)}


def _with_unknown(gaps: Sequence[Gap], delta: Delta) -> list[Gap]:
    """Return the gaps, and one for each section that the delta could not compare and that nobody named."""
    named = {gap.section for gap in gaps if gap.kind is not GapKind.PARTIAL}
    unnamed = [Gap(section, GapKind.FAILED, Side.AFTER, "not compared") for section in delta.unknown]
    return [*gaps, *(gap for gap in unnamed if gap.section not in named)]


def _unseen(gaps: Sequence[Gap]) -> dict[str, Gap]:
    """Return the gap of each section that does not show everything afterwards; the one that hides most."""
    hiding = [gap for gap in gaps if gap.side is Side.AFTER]
    return {gap.section: gap for gap in sorted(hiding, key=lambda gap: gap.kind is not GapKind.PARTIAL)}


def _judge_change(change: Change, covering: Sequence[_Numbered]) -> Item:
    """Return the one item of a row that changed."""
    against = []
    for number, expectation in covering:
        wrong = expectation.mismatches(change.after)
        unnamed = [name for name in _moved(change) if not expectation.authorises(name)]
        if not wrong and not unnamed:
            return _item(Outcome.MATCHED, change, happened(change, expectation), number)
        against.append((len(wrong) + len(unnamed), "; ".join(complaints(change, wrong, unnamed)), number))
    if not against:
        return _item(Outcome.UNEXPECTED, change, f"{happened(change)}, not authorised")
    _, detail, number = min(against, key=lambda one: one[:2])  # held against what it comes closest to
    return _item(Outcome.UNEXPECTED, change, detail, number)


def _moved(change: Change) -> list[str]:
    """Return the fields of a changed row that differ; an added or removed row is judged by its state alone."""
    return change.fields() if change.before is not None and change.after is not None else []


def _judge_expectation(one: _Numbered, outcomes: AbstractSet[Outcome], view: _View) -> Item | str | None:
    """Return an item, a reason why there can be none, or None when the rows that changed have said it all."""
    expectation = one.expectation
    gap = view.unseen.get(expectation.section)
    if gap is not None and gap.kind is not GapKind.PARTIAL:
        return f"{expectation.section} {expectation.key}: authorised, but {gap}"
    rows = view.rows_after(expectation)
    if gap is not None and not rows and not outcomes:
        return f"{expectation.section} {expectation.key}: authorised, but not seen, and {gap}"
    right = [key for key, row in rows.items() if not expectation.mismatches(row)]
    if right or (expectation.after == ABSENT and not rows) or (expectation.after == ANY and outcomes):
        return None if outcomes else _already_so(one, right, view)
    left = [key for key in rows if (expectation.section, key) not in view.changed]
    if Outcome.UNEXPECTED in outcomes and not (expectation.after == ABSENT and left):
        return None
    return _missing(one, rows, left, view)


def _already_so(one: _Numbered, right: Sequence[str], view: _View) -> Item:
    section, key = one.expectation.section, one.expectation.key
    if not right:
        return Item(Outcome.MATCHED, section, key, "already absent", expectation=one.number)
    key, row = right[0], view.after(section)[right[0]]
    state = authorised_state(row, one.expectation)
    detail = f"already so: {state}" if state else "already so"
    return Item(Outcome.MATCHED, section, key, detail, view.before(section).get(key), row, one.number)


def _missing(one: _Numbered, rows: Mapping[str, Row], left: Sequence[str], view: _View) -> Item:
    """Say what is there instead, of the row that comes closest.  The item of a pattern bears the pattern as its key."""
    expectation = one.expectation
    closest, detail = expectation.key, "authorised, but not seen on the host"
    if expectation.after == ABSENT:
        still = left or list(rows)
        closest, detail = still[0], "authorised to be absent, but still on the host" + named(still, expectation)
    elif rows:
        wrong = {key: expectation.mismatches(row) for key, row in rows.items()}
        closest = min(wrong, key=lambda key: (len(wrong[key]), key))
        instead = ", ".join(is_instead(rows[closest], mismatch) for mismatch in wrong[closest])
        detail += f": {closest}: {instead}" if is_pattern(expectation.key) else f": {instead}"
    before = view.before(expectation.section).get(closest)
    return Item(Outcome.MISSING, expectation.section, expectation.key, detail, before, rows.get(closest), one.number)


def _drifted(change: Change) -> Item:
    return _item(Outcome.DRIFT, change, f"{happened(change)}, before we came")


def _item(outcome: Outcome, change: Change, detail: str, number: int | None = None) -> Item:
    return Item(outcome, change.section, change.key, detail, change.before, change.after, number)
