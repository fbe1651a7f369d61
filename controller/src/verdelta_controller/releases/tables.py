"""Releases, their packages, and all that people say of them: duties, sign-offs, records, known errors, waivers.

Separation of duties is the database's: a person has one row in `release_side`, and whatever she does for a release on
one side of it (a duty, a sign-off) refers to that row with the side in the key.  No path around the service, no race
and no correction of a role can put one person on two sides.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime
from .sides import SIDES, SIGNED_BY, Side


class PolicyVersion(SQLModel, table=True):
    """A version of the release policy; the one with the highest number is in force."""

    __tablename__ = "policy_version"

    number: int | None = Field(default=None, primary_key=True)
    name: str
    digest: str
    source: str  # as its author wrote it
    document: dict[str, Any] = Field(sa_type=Json)
    put_at: datetime = Field(sa_type=UtcDateTime)
    put_by: str


class Release(SQLModel, table=True):
    """A release, where it stands in its life, and the package that it is now ("" while there is none)."""

    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("ix_release_state", "state"),
        Index("ix_release_deployed", "service", "type", "deployed_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    name: str
    version: str
    type: str
    service: str
    state: str
    policy_number: int = Field(foreign_key="policy_version.number")
    digest: str = ""
    passed: list[str] = Field(default_factory=list, sa_type=Json)  # states that this package has been in
    planned_for: datetime | None = Field(default=None, sa_type=UtcDateTime)
    drafted_at: datetime = Field(sa_type=UtcDateTime)
    drafted_by: str
    deployed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when it first was on all its hosts
    authorised_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    authorised_by: str | None = None
    authorised_change: str | None = None  # digest of `authorised_changes`, frozen when the release is authorised
    authorised_changes: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)


class Package(SQLModel, table=True):
    """What was built: immutable, named by its digest.  A release has one for each time that it was built anew."""

    __tablename__ = "release_package"

    digest: str = Field(primary_key=True)  # of manifest and files
    release_id: int = Field(foreign_key="release.id", index=True)
    manifest: dict[str, Any] = Field(sa_type=Json)  # normalised
    source: str  # the manifest as its author wrote it
    files: dict[str, str] = Field(sa_type=Json)  # path in the release folder -> SHA-256 in the library
    builder_tests: dict[str, Any] | None = Field(default=None, sa_type=Json)
    built_at: datetime = Field(sa_type=UtcDateTime)
    built_by: str


def _listed(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_ROLE_FITS_SIDE = " or ".join(
    f"(side = '{side.value}' and role in ({_listed([role.value for role, its in SIDES.items() if its is side])}))"
    for side in Side
)
_PURPOSE_FITS_SIDE = " or ".join(
    f"(purpose = '{purpose.value}' and side = '{SIDES[role].value}')" for purpose, role in SIGNED_BY.items()
)
_SIDE = ("release_side.release_id", "release_side.person_id", "release_side.side")


class ReleaseSide(SQLModel, table=True):
    """The one side of a release on which a person stands.  Administrators stand on none."""

    __tablename__ = "release_side"
    __table_args__ = (
        UniqueConstraint("release_id", "person_id", "side"),
        ForeignKeyConstraint(["person_id", "standing"], ["person.id", "person.standing"]),
        CheckConstraint("standing = 'member'", name="release_side_standing"),
        CheckConstraint(f"side in ({_listed([side.value for side in Side])})", name="release_side_side"),
    )

    release_id: int = Field(primary_key=True, foreign_key="release.id")
    person_id: str = Field(primary_key=True)
    standing: str = "member"
    side: str
    since: datetime = Field(sa_type=UtcDateTime)
    reason: str  # what put the person there, for a message


class ReleaseDuty(SQLModel, table=True):
    """Who was appointed to what in a release."""

    __tablename__ = "release_duty"
    __table_args__ = (
        ForeignKeyConstraint(["release_id", "person_id", "side"], _SIDE),
        CheckConstraint(_ROLE_FITS_SIDE, name="release_duty_side"),
    )

    release_id: int = Field(primary_key=True, foreign_key="release.id")
    person_id: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    side: str
    appointed_at: datetime = Field(sa_type=UtcDateTime)
    appointed_by: str


class SignOffRow(SQLModel, table=True):
    """What a person signed: the digest of all that it binds, and what that is in words.  Void once that changes."""

    __tablename__ = "sign_off"
    __table_args__ = (
        ForeignKeyConstraint(["release_id", "person_id", "side"], _SIDE),
        CheckConstraint(_PURPOSE_FITS_SIDE, name="sign_off_side"),
        Index(
            "ix_sign_off_once",
            *("release_id", "person_id", "purpose", "subject"),
            unique=True,
            sqlite_where=text("voided_at is null"),
            postgresql_where=text("voided_at is null"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    person_id: str
    person_name: str
    side: str
    purpose: str
    subject: str  # digest of what it binds
    package: str
    statement: str
    for_person_id: str | None = None  # whose role it was, where it was lent
    signed_at: datetime = Field(sa_type=UtcDateTime)
    voided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    void_reason: str = ""


class GateRecord(SQLModel, table=True):
    """That something was done for a package, and how it came out."""

    __tablename__ = "gate_record"

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    package: str
    of: str
    passed: bool
    note: str = ""
    artifact: str | None = None  # SHA-256 of the report, in the library
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str


class KnownError(SQLModel, table=True):
    """A defect that is known: what it is, how bad, how to live with it, and whether it still is there."""

    __tablename__ = "known_error"

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    package: str  # in which it was found
    component: str = ""
    title: str
    severity: str
    workaround: str = ""
    state: str  # open, fixed or accepted
    resolution: str = ""
    found_at: datetime = Field(sa_type=UtcDateTime)
    found_by: str
    resolved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    resolved_by: str | None = None


class GateWaiver(SQLModel, table=True):
    """A gate that a release is let through without: asked for by one person, granted by another, until then."""

    __tablename__ = "gate_waiver"
    __table_args__ = (CheckConstraint("granted_by is null or granted_by <> asked_by", name="gate_waiver_two_people"),)

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    gate: str
    reason: str
    asked_by: str = Field(foreign_key="person.id")
    asked_by_name: str
    asked_at: datetime = Field(sa_type=UtcDateTime)
    granted_by: str | None = Field(default=None, foreign_key="person.id")
    granted_by_name: str = ""
    granted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class RehearsalRun(SQLModel, table=True):
    """One rehearsal of a package: its roll-out in the test environment, and how it came out."""

    __tablename__ = "rehearsal"

    rollout_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    release_id: int = Field(foreign_key="release.id", index=True)
    package: str
    passed: bool | None = None  # None: it is under way
    detail: str = ""
    begun_at: datetime = Field(sa_type=UtcDateTime)
    begun_by: str
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CriterionResult(SQLModel, table=True):
    """How one criterion came out on one host, or ("") on none: the newest of its kind counts."""

    __tablename__ = "criterion_result"
    __table_args__ = (Index("ix_criterion_result_package", "release_id", "package"),)

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id")
    package: str
    rollout_id: int | None = None  # the rehearsal that it is of
    criterion: str
    host: str = ""
    outcome: str
    detail: str
    artifact: str | None = None  # SHA-256 of what shows it, in the library
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str


class RehearsedChangeRow(SQLModel, table=True):
    """What a rehearsal changed, as the test manager accepted it: what the release will be authorised to change."""

    __tablename__ = "rehearsed_change"

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    package: str
    rollout_id: int
    changes: list[dict[str, Any]] = Field(sa_type=Json)
    digest: str
    accepted_at: datetime = Field(sa_type=UtcDateTime)
    accepted_by: str
    voided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
