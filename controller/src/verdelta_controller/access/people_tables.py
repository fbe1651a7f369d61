"""What a person knows and holds: password and second step, invitations, sessions, roles, teams.

Of a secret that comes back only its digest is stored; the second step, which has to be computed anew, lies sealed.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime
from .rules import Role


class PersonSecret(SQLModel, table=True):
    """What a person proves who she is with; there is none before she has joined."""

    __tablename__ = "person_secret"

    person_id: str = Field(primary_key=True, foreign_key="person.id")
    password_hash: str = Field(repr=False)  # argon2id, as PHC writes it
    second_step: bytes = Field(repr=False)  # sealed
    last_counter: int  # of the newest code that was taken (RFC 6238: time in steps of 30 s); an older one is used
    set_at: datetime = Field(sa_type=UtcDateTime)


class Invitation(SQLModel, table=True):
    """A one-time secret with which a person sets her own password and second step.  A new one takes its place."""

    secret_digest: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id", unique=True)
    second_step: bytes | None = Field(default=None, repr=False)  # sealed; offered, not yet confirmed
    made_by: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class PersonSession(SQLModel, table=True):
    """Somebody who is logged in.  Whatever ends it removes it."""

    __tablename__ = "person_session"

    secret_digest: str = Field(primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class MergedAccount(SQLModel, table=True):
    """An account whose human has another one, which was kept."""

    __tablename__ = "merged_account"

    gone_id: str = Field(primary_key=True, foreign_key="person.id")
    kept_id: str = Field(foreign_key="person.id")
    merged_at: datetime = Field(sa_type=UtcDateTime)


class Attempts(SQLModel, table=True):
    """How often somebody tried to be let in under a name, known or not, since it last worked.

    The name is a digest: people type their password there.
    """

    __tablename__ = "login_attempts"

    subject: str = Field(primary_key=True)
    failures: int
    last_at: datetime = Field(sa_type=UtcDateTime, index=True)
    waits_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


_ROLES = ", ".join(f"'{role.value}'" for role in Role)
_OPEN_OWN = text("ended_at IS NULL AND lent_by IS NULL")
_OPEN_LENT = text("ended_at IS NULL AND lent_by IS NOT NULL")


class RoleGrant(SQLModel, table=True):
    """A role that a person holds for a time: her own, or lent by somebody whose own it is.

    The row refers to the person's standing, so that no statement gives a member's role to an administrator, or that of
    an administrator to a member.  It is never removed: when it ended, and by whom, is kept.
    """

    __tablename__ = "role_grant"
    __table_args__ = (
        ForeignKeyConstraint(["person_id", "standing"], ["person.id", "person.standing"]),
        CheckConstraint(f"role IN ({_ROLES})", name="role_grant_role"),
        CheckConstraint("(standing = 'administrator') = (role = 'administrator')", name="role_grant_standing"),
        CheckConstraint("ends_at IS NULL OR ends_at > begins_at", name="role_grant_dates"),
        CheckConstraint(
            "lent_by IS NULL OR (ends_at IS NOT NULL AND lent_by <> person_id AND standing = 'member')",
            name="role_grant_lent",
        ),
        Index("role_grant_own", "person_id", "role", unique=True, sqlite_where=_OPEN_OWN, postgresql_where=_OPEN_OWN),
        Index(
            *("role_grant_lent_once", "person_id", "role", "lent_by"),
            unique=True,
            sqlite_where=_OPEN_LENT,
            postgresql_where=_OPEN_LENT,
        ),
    )

    id: str = Field(primary_key=True)
    person_id: str = Field(index=True)
    standing: str
    role: str
    begins_at: datetime = Field(sa_type=UtcDateTime)
    ends_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    granted_by: str  # who let it be so: a person's or a token's name
    lent_by: str | None = Field(default=None, foreign_key="person.id", index=True)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # before its time, or when that was noticed
    ended_by: str | None = None


class Team(SQLModel, table=True):
    """People who do something together: look after an environment, stand in for each other."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    purpose: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class TeamMember(SQLModel, table=True):
    """Somebody in a team."""

    __tablename__ = "team_member"

    team_id: str = Field(primary_key=True, foreign_key="team.id")
    person_id: str = Field(primary_key=True, foreign_key="person.id", index=True)
