"""What the evidence says about one host: items, gaps and the state that follows from them.  Values, as they are stored.

A verdict is recorded as evidence; `document` and `verdict_of` are its form there.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from verdelta_agent.model import FAILED, OK, Digested, Row, canonical

from .states import HostState

RECORDED_LIMIT = 256 << 10  # bytes of a verdict that the evidence log takes whole


class Outcome(StrEnum):
    """What became of one authorised change, or what one observed change is."""

    MATCHED = "matched"  # as authorised, whether it came about now or was there already
    MISSING = "missing"  # authorised, not observed, and not already so
    UNEXPECTED = "unexpected"  # observed, not authorised
    DRIFT = "drift"  # was there before we came
    WAIVED = "waived"  # not as authorised, and accepted by a second person


ACCEPTABLE = frozenset((Outcome.MATCHED, Outcome.WAIVED))


class GapKind(StrEnum):
    """Why a section is not evidence of everything that it could hold."""

    FAILED = "failed"  # could not be read
    PARTIAL = "partial"  # was read, and says itself that something is missing
    ONE_SIDED = "one_sided"  # only one of the two snapshots has it


class Side(StrEnum):
    """Which of the two snapshots."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Gap:
    """A section that is not complete in the snapshot of one side (one-sided: not there at all on that side)."""

    section: str
    kind: GapKind
    side: Side
    reason: str = ""

    def __str__(self) -> str:
        what = {
            GapKind.FAILED: "could not be read",
            GapKind.PARTIAL: "was read in part",
            GapKind.ONE_SIDED: "is not there",
        }
        when = f"{self.section} {what[self.kind]} {self.side} the install"
        return f"{when}: {self.reason}" if self.reason else when


@dataclass(frozen=True, slots=True)
class Item:
    """One authorised change that was or was not observed, or one observed change that was not authorised.

    `before` and `after` are the row on either side, None where there is none.  `expectation` is the index of the
    authorised change that it was held against, None where none covers it.
    """

    outcome: Outcome
    section: str
    key: str
    detail: str
    before: Row | None = None
    after: Row | None = None
    expectation: int | None = None

    @property
    def identity(self) -> str:
        """Return the digest of what was seen: a waiver of it is for this very thing and no other."""
        seen = [self.outcome, self.section, self.key, self.before, self.after]
        return hashlib.sha256(canonical(seen)).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a host, and what it rests on.

    `reasons` says in sentences why it could not be told whether everything is as authorised; `gaps` are those that
    nobody accepted, `accepted` those that the operator of the host had accepted beforehand.  `before_root` and
    `after_root` name the snapshots.
    """

    state: HostState
    items: tuple[Item, ...]
    reasons: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    accepted: tuple[Gap, ...] = ()
    before_root: str = ""
    after_root: str = ""

    def counts(self) -> dict[Outcome, int]:
        """Return how many items there are of each outcome, also of those that there are none of."""
        counted = Counter(item.outcome for item in self.items)
        return {outcome: counted[outcome] for outcome in Outcome}

    def document(self) -> dict[str, Any]:
        """Return the verdict as the JSON that is recorded; `verdict_of` takes it back."""
        return {
            "state": self.state.value,
            "items": [_plain(item) for item in self.items],
            "reasons": list(self.reasons),
            "gaps": [_plain(gap) for gap in self.gaps],
            "accepted": [_plain(gap) for gap in self.accepted],
            "before_root": self.before_root,
            "after_root": self.after_root,
        }


def concluded(verdict: Verdict, install_error: str) -> HostState:
    """Return how a host ends: failed where the installer failed, whatever the audit shows."""
    backed_out = verdict.state in (HostState.BACKED_OUT, HostState.BACK_OUT_FAILED)
    return HostState.FAILED if install_error and not backed_out else verdict.state


def recorded(verdict: Verdict, state: HostState) -> dict[str, Any]:
    """Return a verdict as it goes into the evidence log: whole, or, where it is very large, the digest of that.

    Nothing is lost: a verdict follows from the two audits, and whoever has them comes to the same document again.
    """
    document = {**verdict.document(), "state": state.value}
    content = canonical(document)
    if len(content) <= RECORDED_LIMIT:
        return document
    return {"state": state.value, "counts": verdict.counts(), "sha256": hashlib.sha256(content).hexdigest()}


def verdict_of(document: Mapping[str, Any]) -> Verdict:
    """Return the verdict in a document of `Verdict.document`."""
    return Verdict(
        state=HostState(document["state"]),
        items=tuple(Item(**{**item, "outcome": Outcome(item["outcome"])}) for item in document["items"]),
        reasons=tuple(document["reasons"]),
        gaps=tuple(map(_gap_of, document["gaps"])),
        accepted=tuple(map(_gap_of, document["accepted"])),
        before_root=document["before_root"],
        after_root=document["after_root"],
    )


def conclude(items: Sequence[Item], reasons: Sequence[str]) -> HostState:
    """Return the state that follows: what was seen to be wrong is stronger than what could not be seen."""
    if any(item.outcome not in ACCEPTABLE for item in items):
        return HostState.AT_VARIANCE
    return HostState.INDETERMINATE if reasons else HostState.VERIFIED


def conclude_back_out(items: Sequence[Item], reasons: Sequence[str]) -> HostState:
    """Return the state after a back-out: what is not proved to be as before has failed."""
    verified = conclude(items, reasons) is HostState.VERIFIED
    return HostState.BACKED_OUT if verified else HostState.BACK_OUT_FAILED


def waive(verdict: Verdict, accepted: Mapping[str, str]) -> Verdict:
    """Return the verdict with some items waived: `accepted` maps an item's identity to the reason why.

    What could not be seen is never waived: reasons stay, and so does indeterminate.
    """
    items = [
        replace(item, outcome=Outcome.WAIVED, detail=f"{item.detail} (was {item.outcome}; {accepted[item.identity]})")
        if item.outcome not in ACCEPTABLE and item.identity in accepted
        else item
        for item in verdict.items
    ]
    back_out = verdict.state in (HostState.BACKED_OUT, HostState.BACK_OUT_FAILED)
    state = (conclude_back_out if back_out else conclude)(items, verdict.reasons)
    return replace(verdict, items=tuple(items), state=state)


def gaps_between(before: Mapping[str, Digested], after: Mapping[str, Digested]) -> list[Gap]:
    """Return what two snapshots do not show, by section."""
    gaps = []
    for name in sorted(set(before) | set(after)):
        for side, sections in ((Side.BEFORE, before), (Side.AFTER, after)):
            section = sections.get(name)
            if section is None:
                gaps.append(Gap(name, GapKind.ONE_SIDED, side))
            elif section.status == FAILED:
                gaps.append(Gap(name, GapKind.FAILED, side, section.error or ""))
            elif section.status == OK and section.error is not None:
                gaps.append(Gap(name, GapKind.PARTIAL, side, section.error))
    return gaps


def split_gaps(gaps: Sequence[Gap], accepted: Collection[str]) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """Return the gaps in sections that are not accepted, and those in sections that are; each once, sorted."""
    ordered = sorted(set(gaps), key=lambda gap: (gap.section, gap.side, gap.kind, gap.reason))
    return (
        tuple(gap for gap in ordered if gap.section not in accepted),
        tuple(gap for gap in ordered if gap.section in accepted),
    )


def _plain(value: Item | Gap) -> dict[str, Any]:
    values = ((name, getattr(value, name)) for name in value.__slots__)
    return {name: value.value if isinstance(value, StrEnum) else value for name, value in values}


def _gap_of(document: Mapping[str, Any]) -> Gap:
    return Gap(document["section"], GapKind(document["kind"]), Side(document["side"]), document["reason"])
