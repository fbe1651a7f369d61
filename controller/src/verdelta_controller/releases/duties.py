"""Put people on their side of a release, and never on two.

The database refuses a second side whatever is asked here; what is done here says so in words.
"""

from sqlmodel import Session, col, select

from ..access.grants import check_here
from ..access.rules import Actor, Role
from ..foundation.clock import now
from ..foundation.errors import Conflict, NotAllowed
from .sides import Side, side_of
from .tables import Release, ReleaseDuty, ReleaseSide

_IN_WORDS = {
    Side.DELIVERY: "makes the release",
    Side.TEST: "tests it",
    Side.BUSINESS: "accepts it for the business",
    Side.CHANGE: "decides on the change",
}


class OtherSide(NotAllowed):
    """One person cannot stand on two sides of a release."""


def claim(session: Session, release: Release, person_id: str | None, side: Side | None, reason: str, name: str) -> None:
    """Put a person on a side of a release; whoever stands there already stays.  A token (None) stands nowhere.

    `reason` says in words what the person did there, `name` who it is.  Raises OtherSide; NotAllowed for who has
    left; Conflict where another transaction was first.
    """
    if person_id is None or side is None:
        return
    check_here(session, person_id, name)
    there = session.get(ReleaseSide, (release.id, person_id))
    if there is None:
        session.add(
            ReleaseSide(
                release_id=release.id or 0, person_id=person_id, side=side.value, since=now(), reason=reason[:200]
            )
        )
        session.flush()
        return
    if there.side != side.value:
        both = f"{_IN_WORDS[Side(there.side)]} ({there.reason}), and cannot be who {_IN_WORDS[side]} as well"
        raise OtherSide(
            f"{name} already {both}",
            mend=f"Somebody else has to, for {release.name} {release.version}.",
        )


def appoint(session: Session, release: Release, person_id: str, role: Role, by: Actor, name: str) -> bool:
    """Give a person a duty in a release.  Returns whether it is new.  Raises OtherSide, Conflict (no such duty)."""
    side = side_of(role)
    if side is None:
        raise Conflict(
            f"nobody is appointed {role.value} of a release", mend="Duties are: " + ", ".join(r.value for r in ROLES)
        )
    if session.get(ReleaseDuty, (release.id, person_id, role.value)) is not None:
        return False
    claim(session, release, person_id, side, f"appointed {role.value}", name)
    session.add(
        ReleaseDuty(
            release_id=release.id or 0,
            person_id=person_id,
            role=role.value,
            side=side.value,
            appointed_at=now(),
            appointed_by=by.name,
        )
    )
    session.flush()
    return True


def appointed(session: Session, release: Release, role: Role | None = None) -> list[ReleaseDuty]:
    """Return who was appointed, to one role or to any."""
    wanted = select(ReleaseDuty).where(ReleaseDuty.release_id == release.id)
    if role is not None:
        wanted = wanted.where(ReleaseDuty.role == role.value)
    return list(session.exec(wanted.order_by(col(ReleaseDuty.role), col(ReleaseDuty.appointed_at))))


def check_turn(session: Session, release: Release, role: Role, people: tuple[str | None, ...], name: str) -> None:
    """Raise NotAllowed when others were appointed to a role of this release, and none of these people was.

    `people` are who acts, and whose role it is where it was lent.
    """
    duties = appointed(session, release, role)
    if duties and not any(duty.person_id in people for duty in duties):
        raise NotAllowed(
            f"{name} was not appointed {role.value} of {release.name} {release.version}",
            mend=f"verdelta release people {release.name} {release.version} shows who was.",
        )


ROLES = tuple(role for role in Role if side_of(role) is not None)
