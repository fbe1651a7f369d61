"""Who may do what: a fixed table, denied by default.  Pure."""

from dataclasses import dataclass
from enum import StrEnum

from ..foundation.errors import NotAllowed


class Permission(StrEnum):
    """One thing that a route can demand."""

    READ = "read"
    MANAGE_HOSTS = "manage-hosts"
    AUDIT = "audit"
    MANAGE_LIBRARY = "manage-library"
    BUILD_RELEASE = "build-release"
    AUTHORISE_RELEASE = "authorise-release"
    TEST = "test"
    RECORD = "record"
    SIGN = "sign"
    DEPLOY = "deploy"
    BOOK = "book"
    MANAGE_POLICY = "manage-policy"
    MANAGE_ACCESS = "manage-access"


class Role(StrEnum):
    """What somebody answers for, or what a token is for."""

    ADMINISTRATOR = "administrator"
    RELEASE_MANAGER = "release-manager"
    BUILD_MANAGER = "build-manager"
    TEST_MANAGER = "test-manager"
    TESTER = "tester"
    BUSINESS_APPROVER = "business-approver"
    CHANGE_MANAGER = "change-manager"
    DEPLOYMENT_STAFF = "deployment-staff"
    TECHNICIAN = "technician"
    AUDITOR = "auditor"


class Standing(StrEnum):
    """What kind of account a person has.  Administrators hold no other role: who lets people in does not sign."""

    ADMINISTRATOR = "administrator"
    MEMBER = "member"


_EVERYBODY = {Permission.READ}
_SIGNER = _EVERYBODY | {Permission.RECORD, Permission.SIGN}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission) - {Permission.SIGN},
    Role.RELEASE_MANAGER: frozenset(
        _SIGNER
        | {Permission.AUDIT, Permission.BUILD_RELEASE, Permission.AUTHORISE_RELEASE, Permission.DEPLOY, Permission.BOOK}
    ),
    Role.BUILD_MANAGER: frozenset(_SIGNER | {Permission.AUDIT, Permission.BUILD_RELEASE, Permission.BOOK}),
    Role.TEST_MANAGER: frozenset(_SIGNER | {Permission.AUDIT, Permission.TEST, Permission.BOOK}),
    Role.TESTER: frozenset(_EVERYBODY | {Permission.RECORD, Permission.AUDIT, Permission.TEST}),
    Role.BUSINESS_APPROVER: frozenset(_SIGNER),
    Role.CHANGE_MANAGER: frozenset(_SIGNER),
    Role.DEPLOYMENT_STAFF: frozenset(_EVERYBODY | {Permission.AUDIT, Permission.DEPLOY, Permission.BOOK}),
    Role.TECHNICIAN: frozenset(_EVERYBODY | {Permission.AUDIT}),
    Role.AUDITOR: frozenset(_EVERYBODY),
}


@dataclass(frozen=True)
class Actor:
    """Who is asking: a person with some roles, or (person_id None) a token with the one that it was made for."""

    name: str
    roles: frozenset[Role]
    person_id: str | None = None

    @property
    def described(self) -> str:
        """Return the roles as they stand in a sentence."""
        return ", ".join(role.value for role in Role if role in self.roles) or "without a role"


def require(actor: Actor, permission: Permission) -> None:
    """Raise NotAllowed, which names who could, when none of the actor's roles has the permission.

    A token signs nothing, whatever its role: nobody is behind it who could answer for it.
    """
    if permission is Permission.SIGN and actor.person_id is None:
        raise NotAllowed(
            f"{actor.name} ({actor.described}) may not {permission.value}: tokens never sign",
            mend="Log in as a person: verdelta login",
        )
    if may(actor, permission):
        return
    able = ", ".join(role.value for role in Role if permission in PERMISSIONS[role])
    takes = "a token of the role" if actor.person_id is None else "one of the roles"
    raise NotAllowed(f"{actor.name} ({actor.described}) may not {permission.value}", mend=f"This takes {takes} {able}.")


def may(actor: Actor, permission: Permission) -> bool:
    """Return whether one of the actor's roles has a permission."""
    return any(permission in PERMISSIONS[role] for role in actor.roles)
