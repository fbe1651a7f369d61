"""Booking environments: what conflicts is refused, or kept where that is asked for and shown as a conflict.

Whoever books an environment, or changes a booking of it, holds its row until the transaction ends: of two that want the
same exclusive time at the same moment, the second one sees the first one's booking.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlmodel import Session, col, or_, select

from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import GateClosed, NotFound
from ..foundation.evidence import EvidenceLog
from . import environment_rules as rules
from .environment_rules import NewBooking, Slot, said
from .environment_tables import Environment, EnvironmentBooking
from .environments import held, to_come

MOST = 1000  # bookings of one environment that are not over
_LARGEST = 2**31 - 1  # number of a booking


class BookingState(StrEnum):
    """Where a booking stands."""

    PLANNED = "planned"
    RUNNING = "running"
    OVER = "over"
    CANCELLED = "cancelled"


class Booked(NamedTuple):
    """A booking, the environment that it is of, where it stands, and the numbers of those that it conflicts with."""

    booking: EnvironmentBooking
    environment: str
    state: BookingState
    conflicts: list[int]


class Bookings:
    """The use-cases around bookings."""

    def __init__(self, database: Database, evidence: EvidenceLog) -> None:
        self._database = database
        self._evidence = evidence

    def book(self, environment: str, new: NewBooking, actor: str, *, share: bool = False) -> Booked:
        """Keep an environment for somebody; with `share` also beside bookings that this conflicts with.

        The same booking again has no second effect.  Raises NotFound, InvalidInput, GateClosed.
        """
        with self._database.transaction() as session:
            of = held(session, environment)
            known = _to_come(session, of)
            for booking in known:
                if _is_the_same(booking, new, actor):
                    return _booked(booking, of.name, known)
            slot = rules.check_booking(new, now())
            if len(known) >= MOST:
                raise GateClosed(f"{of.name} has {MOST} bookings", mend="Cancel some that are not needed.")
            _refuse(of, [one for one in known if rules.conflict(slot, _slot(one))], share)
            made = EnvironmentBooking(
                environment_id=of.id,
                **{**new._asdict(), "begins_at": slot.begins, "ends_at": slot.ends},
                booked_at=now(),
                booked_by=actor,
            )
            session.add(made)
            session.flush()
            booked = _booked(made, of.name, [*known, made])
            self._record(session, "environment-booked", booked, actor)
        return booked

    def move_end(self, number: int, ends_at: datetime, actor: str, *, share: bool = False) -> Booked:
        """Let a booking last longer, or less long.  Raises NotFound, InvalidInput, GateClosed."""
        with self._database.transaction() as session:
            booking, of = _held(session, number)
            ends_at = rules.in_utc(ends_at)
            known = _to_come(session, of)
            if booking.ends_at == ends_at:
                return _booked(booking, of.name, known)
            if booking not in known:
                raise GateClosed(f"booking {number} is {_state(booking)}", mend="Make a new one.")
            rules.check_end(booking.begins_at, ends_at, now())
            was = _slot(booking)
            slot = was._replace(ends=ends_at)
            others = [one for one in known if one is not booking]
            added = [one for one in others if rules.conflict(slot, _slot(one)) and not rules.conflict(was, _slot(one))]
            _refuse(of, added, share)
            booking.ends_at = ends_at
            session.add(booking)
            session.flush()
            booked = _booked(booking, of.name, known)
            self._record(session, "booking-end-moved", booked, actor)
        return booked

    def cancel(self, number: int, actor: str) -> Booked:
        """Cancel a booking, or end it now where it has begun; again has no second effect.

        Raises NotFound, GateClosed when it came to its end.
        """
        with self._database.transaction() as session:
            booking, of = _held(session, number)
            moment = now()
            if booking.closed_at is not None:
                return _booked(booking, of.name, [])
            if booking.ends_at <= moment:
                raise GateClosed(f"booking {number} was over at {said(booking.ends_at)}: there is nothing to cancel")
            begun = booking.begins_at <= moment
            booking.closed_at, booking.closed_by = moment, actor
            if begun:
                booking.ends_at = moment
            session.add(booking)
            session.flush()
            booked = _booked(booking, of.name, [])
            self._record(session, "booking-ended" if begun else "booking-cancelled", booked, actor)
        return booked

    def between(self, begins: datetime, ends: datetime, environment: str = "") -> list[Booked]:
        """Return the bookings of any time between two moments, of one environment or of all, as they begin.

        Those that were cancelled are left out.  Raises NotFound.
        """
        at_that_time = (
            col(EnvironmentBooking.begins_at) < rules.in_utc(ends),
            col(EnvironmentBooking.ends_at) > rules.in_utc(begins),
            or_(
                col(EnvironmentBooking.closed_at).is_(None),
                col(EnvironmentBooking.closed_at) > EnvironmentBooking.begins_at,
            ),
        )
        wanted = (
            select(EnvironmentBooking, Environment.name)
            .join(Environment, col(Environment.id) == EnvironmentBooking.environment_id)
            .where(*at_that_time)
            .order_by(col(EnvironmentBooking.begins_at), col(EnvironmentBooking.id))
        )
        with self._database.reading() as session:
            if environment:
                wanted = wanted.where(Environment.id == held(session, environment, lock=False).id)
            found = session.exec(wanted).all()
        slots: dict[str, list[Slot]] = defaultdict(list)
        for booking, name in found:
            slots[name].append(_slot(booking))
        conflicts = {name: rules.conflicts(of_one) for name, of_one in slots.items()}
        return [
            Booked(booking, name, _state(booking), conflicts[name].get(booking.id or 0, [])) for booking, name in found
        ]

    def conflicting(self, names: Collection[str]) -> list[Booked]:
        """Return the bookings by or for these people and teams that are not over and conflict with others."""
        hers = or_(col(EnvironmentBooking.booked_by).in_(names), col(EnvironmentBooking.booked_for).in_(names))
        with self._database.reading() as session:
            booked = select(EnvironmentBooking.environment_id).where(hers, *to_come()).distinct()
            wanted = select(Environment).where(col(Environment.id).in_(booked)).order_by(Environment.name)
            all_there = [(of, _to_come(session, of)) for of in session.exec(wanted)]
        found: list[Booked] = []
        for of, known in all_there:
            conflicts = rules.conflicts(map(_slot, known))
            found += [
                Booked(one, of.name, _state(one), conflicts[one.id or 0])
                for one in known
                if one.id in conflicts and not {one.booked_by, one.booked_for}.isdisjoint(names)
            ]
        return found

    def _record(self, session: Session, kind: str, booked: Booked, actor: str) -> None:
        booking = booked.booking
        content = {
            "by": actor,
            "booking": booking.id,
            "booked_for": booking.booked_for,
            "purpose": booking.purpose,
            "release": booking.release,
            "version": booking.version,
            "begins_at": booking.begins_at.isoformat(),
            "ends_at": booking.ends_at.isoformat(),
            "exclusive": booking.exclusive,
            "conflicts": booked.conflicts,
        }
        self._evidence.append(session, kind, booked.environment, content, now())


def _held(session: Session, number: int) -> tuple[EnvironmentBooking, Environment]:
    """Return a booking as it is now, with its environment, which nobody else books until the transaction ends."""
    found = session.get(EnvironmentBooking, number) if 0 < number <= _LARGEST else None
    if found is None:
        raise NotFound(f"there is no booking {number}", mend="verdelta environment bookings")
    of = session.exec(select(Environment).where(Environment.id == found.environment_id).with_for_update()).first()
    if of is None:  # removed a moment ago, and its bookings with it
        raise NotFound(f"there is no booking {number}", mend="verdelta environment bookings")
    session.refresh(found)
    return found, of


def _to_come(session: Session, environment: Environment) -> list[EnvironmentBooking]:
    of_it = EnvironmentBooking.environment_id == environment.id
    return list(session.exec(select(EnvironmentBooking).where(of_it, *to_come()).order_by(col(EnvironmentBooking.id))))


def _refuse(environment: Environment, in_the_way: Sequence[EnvironmentBooking], share: bool) -> None:
    """Raise GateClosed, which names the first booking that is in the way, unless both are to be kept."""
    if not in_the_way or share:
        return
    first = min(in_the_way, key=lambda one: (one.begins_at, one.id))
    alone = "exclusively " if first.exclusive else ""
    more = f", and {len(in_the_way) - 1} more" if len(in_the_way) > 1 else ""
    raise GateClosed(
        f"{environment.name} is booked {alone}for {first.booked_for} from {said(first.begins_at)}"
        f" to {said(first.ends_at)} (booking {first.id}: {first.purpose}){more}",
        mend="Choose another time, or agree with them and keep both: --share",
    )


def _is_the_same(booking: EnvironmentBooking, new: NewBooking, actor: str) -> bool:
    """Return whether a booking is this one, whose answer was lost, perhaps."""
    said_again = new._asdict().items()
    return booking.booked_by == actor and all(getattr(booking, name) == value for name, value in said_again)


def _booked(booking: EnvironmentBooking, environment: str, known: Sequence[EnvironmentBooking]) -> Booked:
    others = rules.conflicts(_slot(one) for one in known).get(booking.id or 0, [])
    return Booked(booking, environment, _state(booking), others)


def _state(booking: EnvironmentBooking) -> BookingState:
    if booking.closed_at is not None and booking.closed_at <= booking.begins_at:
        return BookingState.CANCELLED
    if booking.ends_at <= (moment := now()):
        return BookingState.OVER
    return BookingState.RUNNING if booking.begins_at <= moment else BookingState.PLANNED


def _slot(booking: EnvironmentBooking) -> Slot:
    return Slot(booking.id or 0, booking.begins_at, booking.ends_at, booking.exclusive)
