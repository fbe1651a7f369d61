"""Who stands where in a release.  Each person is on one side of it, and stays there.

Pure.  The database holds the same: a duty or a sign-off refers to the one row that says on which side a person is.
"""

from enum import StrEnum

from ..access.rules import Role


class Side(StrEnum):
    """One of the parties that have to be different people."""

    DELIVERY = "delivery"  # makes the release, and answers for it
    TEST = "test"  # tests it independently
    BUSINESS = "business"  # accepts it for those who use the service
    CHANGE = "change"  # lets the change happen


class Purpose(StrEnum):
    """What a sign-off is for."""

    ACCEPTANCE = "acceptance"
    BUSINESS = "business"
    IMPLEMENTATION = "implementation"
    CHANGE = "change"


SIDES: dict[Role, Side] = {
    Role.RELEASE_MANAGER: Side.DELIVERY,
    Role.BUILD_MANAGER: Side.DELIVERY,
    Role.TEST_MANAGER: Side.TEST,
    Role.TESTER: Side.TEST,
    Role.BUSINESS_APPROVER: Side.BUSINESS,
    Role.CHANGE_MANAGER: Side.CHANGE,
}
SIGNED_BY: dict[Purpose, Role] = {
    Purpose.ACCEPTANCE: Role.TEST_MANAGER,
    Purpose.BUSINESS: Role.BUSINESS_APPROVER,
    Purpose.IMPLEMENTATION: Role.RELEASE_MANAGER,
    Purpose.CHANGE: Role.CHANGE_MANAGER,
}


def side_of(role: Role) -> Side | None:
    """Return the side that a role stands on; None for one that takes no side, such as deployment staff."""
    return SIDES.get(role)
