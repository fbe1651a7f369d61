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
    DEPLOY = "deploy"
    MANAGE_ACCESS = "manage-access"


class Role(StrEnum):
    """What a token is for."""

    ADMINISTRATOR = "administrator"
    RELEASE_MANAGER = "release-manager"
    DEPLOYMENT_STAFF = "deployment-staff"
    AUDITOR = "auditor"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.RELEASE_MANAGER: frozenset(
        {Permission.READ, Permission.AUDIT, Permission.BUILD_RELEASE, Permission.AUTHORISE_RELEASE, Permission.DEPLOY}
    ),
    Role.DEPLOYMENT_STAFF: frozenset({Permission.READ, Permission.AUDIT, Permission.DEPLOY}),
    Role.AUDITOR: frozenset({Permission.READ}),
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
    """Raise NotAllowed, which names who could, when the actor's role does not have the permission."""
    if any(permission in PERMISSIONS[role] for role in actor.roles):
        return
    able = ", ".join(role.value for role in Role if permission in PERMISSIONS[role])
    raise NotAllowed(
        f"{actor.name} ({actor.described}) may not {permission.value}", mend=f"This takes a token of the role {able}."
    )
