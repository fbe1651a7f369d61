"""Roll-outs, their waves, and one deployment a host."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime
from .states import Purpose


class Rollout(SQLModel, table=True):
    """A package on its way to hosts.  `run` counts how often it was started, resumed or backed out."""

    id: int | None = Field(default=None, primary_key=True)
    release_id: int = Field(foreign_key="release.id", index=True)
    package: str  # digest of what is rolled out
    purpose: str = Purpose.DEPLOYMENT.value
    state: str
    run: int = 1
    reason: str = ""  # why it is held up, where that is no host's doing
    cancelled: bool = False  # somebody asked for it to stop; no further host is begun
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Wave(SQLModel, table=True):
    """Hosts that are deployed to together.  The next wave opens when every one of them is verified."""

    rollout_id: int = Field(primary_key=True, foreign_key="rollout.id")
    number: int = Field(primary_key=True)
    state: str


class Deployment(SQLModel, table=True):
    """A release on one host: the audits before and after, and the verdict."""

    __table_args__ = (UniqueConstraint("rollout_id", "host_id"),)

    id: int | None = Field(default=None, primary_key=True)
    rollout_id: int = Field(foreign_key="rollout.id", index=True)
    wave: int
    host_id: str = Field(foreign_key="host.id", index=True)
    host_name: str
    state: str
    reason: str = ""  # why it is where it is, for a person
    install_error: str = ""  # what the installer said went wrong
    before_snapshot: int | None = Field(default=None, foreign_key="snapshot.id")
    before_envelope: str | None = None
    after_snapshot: int | None = Field(default=None, foreign_key="snapshot.id")
    after_envelope: str | None = None
    drift: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)  # changes found before anything was done
    items: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)  # the verdict, item by item
    changed_at: datetime = Field(sa_type=UtcDateTime)
    began_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when something was first to be done to it
    installed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when the installer ended on the host
    concluded_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Intent(SQLModel, table=True):
    """What was about to be done to which hosts: committed before anything is done to them.

    A run that finds an intent without an end does not repeat it: it audits the hosts and decides from what it sees.
    """

    id: int | None = Field(default=None, primary_key=True)
    rollout_id: int = Field(foreign_key="rollout.id", index=True)
    wave: int
    action: str  # install or back_out
    deployments: list[int] = Field(sa_type=Json)
    began_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    outcome: dict[str, str] = Field(default_factory=dict, sa_type=Json)
