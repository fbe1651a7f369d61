"""Which rehearsals of a package passed: asked by whoever has to know where it was tried."""

from sqlmodel import Session, col, select

from .tables import RehearsalRun


def passed_rehearsals(session: Session, package: str) -> set[int]:
    """Return the roll-outs that were rehearsals of a package (by its digest) and passed, whatever was done since."""
    passed = select(RehearsalRun.rollout_id).where(RehearsalRun.package == package, col(RehearsalRun.passed).is_(True))
    return set(session.exec(passed))
