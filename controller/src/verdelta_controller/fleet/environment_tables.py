"""Environments on a release's way to live operation, and who has booked them when."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from ..foundation.database import UtcDateTime


class Environment(SQLModel, table=True):
    """Hosts that serve one purpose together; a host names its own in `Host.environment`.

    A release passes the stages in their order, and within a stage the environments by `position`.
    """

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    stage: str
    position: int
    team: str = ""
    description: str = ""
    created_at: datetime = Field(sa_type=UtcDateTime)


class EnvironmentBooking(SQLModel, table=True):
    """An environment, kept for somebody from a moment on and until another, which no longer belongs to it.

    `closed_at` is when it was cancelled; or, where it had begun by then, ended early: then `ends_at` is that moment.
    """

    __tablename__ = "environment_booking"
    __table_args__ = {"sqlite_autoincrement": True}  # no number is given twice: people refer to it

    id: int | None = Field(default=None, primary_key=True)
    environment_id: str = Field(foreign_key="environment.id", index=True)
    booked_for: str
    purpose: str
    release: str = ""
    version: str = ""
    begins_at: datetime = Field(sa_type=UtcDateTime)
    ends_at: datetime = Field(sa_type=UtcDateTime, index=True)
    exclusive: bool
    booked_at: datetime = Field(sa_type=UtcDateTime)
    booked_by: str
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_by: str | None = None
