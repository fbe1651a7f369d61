"""What may be said of environments and their bookings, which bookings conflict, and where a release may go.  Pure."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from ..foundation.errors import InvalidInput
from .rules import RESERVED, check_name

LONGEST = timedelta(days=366)  # of one booking
FARTHEST = timedelta(days=3 * 366)  # from now to the end of one
_OF_PATHS = frozenset(("matrix", "bookings", "order"))  # the API's own words where an environment's name would stand
_RELEASE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:~-]{0,99}")


class Stage(StrEnum):
    """The stations on a release's way, in their order."""

    BUILD = "build"
    TEST = "test"
    STAGING = "staging"
    LIVE = "live"


STAGES = tuple(Stage)


class Step(NamedTuple):
    """One environment on a release's way, and how many hosts it has."""

    name: str
    stage: Stage
    position: int
    hosts: int


class NewEnvironment(NamedTuple):
    """What is said of an environment that is to be made."""

    name: str
    stage: Stage
    team: str = ""
    description: str = ""


class NewBooking(NamedTuple):
    """What somebody wants an environment for.  Without `begins_at` it begins at once."""

    booked_for: str
    purpose: str
    ends_at: datetime
    begins_at: datetime | None = None
    exclusive: bool = False
    release: str = ""
    version: str = ""


class Slot(NamedTuple):
    """A booking, as far as conflicts go: from `begins` on, until `ends`, which no longer belongs to it."""

    number: int
    begins: datetime
    ends: datetime
    exclusive: bool


# -- environments


def check_environment(new: NewEnvironment) -> None:
    """Raise InvalidInput for what no environment can be called or said to be."""
    check_name(new.name, "environment")
    if new.name in RESERVED:
        raise InvalidInput(f"{new.name} has a meaning of its own in Ansible's inventories", mend="Give another name.")
    if new.name in _OF_PATHS:
        raise InvalidInput(f"{new.name} has a meaning of its own in the API", mend="Give another name.")
    check_words(new.team, new.description)


def check_words(team: str, description: str) -> None:
    """Raise InvalidInput for a team or a description that cannot be shown on a line."""
    check_text("team", team, 100, needed=False)
    check_text("description", description, 500, needed=False)


def check_text(what: str, text: str, most: int, *, needed: bool) -> None:
    """Raise InvalidInput for a text that is no single readable line of at most so many characters."""
    if len(text) > most or not text.isprintable() or (needed and not text.strip()):
        length = f"1 to {most}" if needed else f"at most {most}"
        raise InvalidInput(f"{what}: {text[:40]!r} is not taken", mend=f"Give one line of {length} characters.")


def unknown_environment(name: str, known: Collection[str]) -> str:
    """Return what to say of an environment that is not there, with the name that is nearest."""
    near = difflib.get_close_matches(name[:80], sorted(known), 1)
    return f"there is no environment {name[:80]!r}" + (f"; did you mean {near[0]}?" if near else "")


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Return environments in the order in which a release goes through them: by stage, then position, then name."""
    return sorted(steps, key=lambda step: (STAGES.index(step.stage), step.position, step.name))


def checked_order(names: Sequence[str], stages: Mapping[str, Stage]) -> list[str]:
    """Return the names in a new order of promotion.  `stages` is every environment with its stage.

    Raises InvalidInput when one is missing, unknown or twice there, and when a stage would come before an earlier one.
    """
    for name in names:
        if name not in stages:
            raise InvalidInput(unknown_environment(name, stages), mend="verdelta environment list")
    missing = sorted(set(stages) - set(names))
    if missing or len(set(names)) != len(names):
        what = f"{missing[0]} is missing" if missing else "an environment is named twice"
        raise InvalidInput(f"the promotion order: {what}", mend="Name every environment once.")
    for first, second in pairwise(names):
        if STAGES.index(stages[first]) > STAGES.index(stages[second]):
            raise InvalidInput(
                f"the promotion order: {second} is of stage {stages[second]}, and cannot come after {first},"
                f" which is of stage {stages[first]}",
                mend=f"The stages are passed in this order: {', '.join(STAGES)}.",
            )
    return list(names)


def may_enter(
    environment: str,
    way: Collection[Step],
    verified_in: Collection[str],
    required: Collection[Stage] = STAGES,
) -> str:
    """Return why a package may not go to an environment yet, "" when it may.

    `way` is every environment, `verified_in` those in which this very package (by its digest) is verified.  All that
    are of an earlier stage and have hosts are to be passed first; `required` are the stages of which the release policy
    demands that, so that a policy without STAGING lets a release go from test to live.
    Raises InvalidInput for an environment that is not there.
    """
    target = next((step for step in way if step.name == environment), None)
    if target is None:
        raise InvalidInput(unknown_environment(environment, [step.name for step in way]))
    before = STAGES[: STAGES.index(target.stage)]
    lacking = [
        step.name
        for step in in_order(way)
        if step.stage in before and step.stage in required and step.hosts and step.name not in verified_in
    ]
    return f"not verified in {', '.join(lacking)} yet, which comes before {environment}" if lacking else ""


# -- bookings


def check_booking(new: NewBooking, now: datetime) -> Slot:
    """Return when a booking would be.  Raises InvalidInput for what is no booking, or one in the past."""
    check_text("booked for", new.booked_for, 100, needed=True)
    check_text("purpose", new.purpose, 500, needed=True)
    for what, word in (("release", new.release), ("version", new.version)):
        if word and not _RELEASE_WORD.fullmatch(word):
            raise InvalidInput(
                f"{what}: {word[:40]!r} cannot be one", mend="Give it as verdelta release list shows it."
            )
    if new.version and not new.release:
        raise InvalidInput("version: of which release?", mend="Give the name of the release too.")
    begins, ends = in_utc(new.begins_at or now), in_utc(new.ends_at)
    if begins < now:
        raise InvalidInput(
            f"the booking would begin in the past, at {said(begins)}", mend="Leave it out to begin at once."
        )
    check_end(begins, ends, now)
    return Slot(0, begins, ends, new.exclusive)


def check_end(begins: datetime, ends: datetime, now: datetime) -> None:
    """Raise InvalidInput for an end that is past, not after the beginning, or too far away."""
    if ends <= now:
        raise InvalidInput(f"the booking would end in the past, at {said(ends)}", mend="Give a moment that is to come.")
    if ends <= begins:
        raise InvalidInput(f"the booking would end at {said(ends)}, before it begins", mend="Give a later end.")
    if ends - begins > LONGEST:
        raise InvalidInput(f"a booking of more than {LONGEST.days} days", mend="Book the environment for less.")
    if ends - now > FARTHEST:
        raise InvalidInput(
            f"{said(ends)} is more than {FARTHEST.days} days away", mend="Book nearer to when it is needed."
        )


def window(begins: datetime, weeks: int) -> tuple[datetime, datetime]:
    """Return the moments between which some weeks lie.  Raises InvalidInput where the calendar ends before."""
    begins = in_utc(begins)
    try:
        return begins, begins + timedelta(weeks=weeks)
    except OverflowError as error:
        raise InvalidInput(f"{said(begins)}: {weeks} weeks from there on are in no calendar") from error


def conflict(one: Slot, other: Slot) -> bool:
    """Return whether two bookings of one environment are at the same time and one of them wants to be alone."""
    at_once = one.begins < other.ends and other.begins < one.ends
    return at_once and (one.exclusive or other.exclusive)


def conflicts(slots: Iterable[Slot]) -> dict[int, list[int]]:
    """Return, of the bookings of one environment that conflict with others, the numbers of those others in order.

    The order in which they were booked makes no difference.
    """
    found: dict[int, list[int]] = {}
    running: list[Slot] = []
    for slot in sorted(slots, key=lambda slot: (slot.begins, slot.number)):
        running = [earlier for earlier in running if earlier.ends > slot.begins]
        for earlier in running:
            if conflict(earlier, slot):
                found.setdefault(earlier.number, []).append(slot.number)
                found.setdefault(slot.number, []).append(earlier.number)
        running.append(slot)
    return {number: sorted(others) for number, others in sorted(found.items())}


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC.  Raises InvalidInput for one without a zone, and for one that no calendar of ours has."""
    if moment.tzinfo is None:
        raise InvalidInput("a moment needs its time zone", mend="Write it as 2026-12-01T09:00Z or …+01:00.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{moment} is no moment that can be booked") from error


def said(moment: datetime) -> str:
    """Return a moment as it stands in a sentence."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")
