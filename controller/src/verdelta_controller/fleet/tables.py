"""Hosts, the keys of their agents, invitations to enrol, and credentials to reach them by."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from ..foundation.database import Json, UtcDateTime


class Host(SQLModel, table=True):
    """A machine that is audited and deployed to.  Its identity is `id` and its keys, never its name or address."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    reach: str  # ssh, local (the controller's own machine) or check-in (the agent calls; nobody calls it)
    agent: str  # installed (keeps a key of its own) or agentless (the audit is signed with the SSH host key)
    address: str = ""
    port: int = 22
    user: str = ""
    become: bool = False  # whether commands go through sudo
    python: str = "/usr/bin/python3"
    agent_state: str = ""  # the agent's state directory where it is not the usual one
    agent_path: str = ""  # the agent's program where it is not the usual one
    host_key: str = ""  # the pinned SSH host key: type and base64, as in known_hosts
    host_key_pinned_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    credential_id: str | None = Field(default=None, foreign_key="credential.id")
    environment: str = ""
    groups: list[str] = Field(default_factory=list, sa_type=Json)
    accepted_gaps: list[str] = Field(default_factory=list, sa_type=Json)  # sections that its operator does without
    created_at: datetime = Field(sa_type=UtcDateTime)


class AgentKey(SQLModel, table=True):
    """The key that a host's agent signs with, and where its history stands.

    `last_digest` is the digest of the last message accepted: the next one has to name it.
    """

    __tablename__ = "agent_key"

    host_id: str = Field(primary_key=True, foreign_key="host.id")
    epoch: int = Field(primary_key=True)
    scheme: str
    public_key: str
    key_id: str = Field(unique=True)  # two hosts with one key are refused when the second one enrols
    enrolled_at: datetime = Field(sa_type=UtcDateTime)
    last_sequence: int = Field(sa_type=BigInteger)
    last_digest: str
    forked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class EnrolmentToken(SQLModel, table=True):
    """An invitation for one host to enrol one key, once."""

    __tablename__ = "enrolment_token"

    secret_digest: str = Field(primary_key=True)
    host_id: str = Field(foreign_key="host.id", index=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Credential(SQLModel, table=True):
    """An SSH private key to reach hosts with.  Write-only: sealed at rest, shown to nobody."""

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    fingerprint: str
    sealed: bytes
    created_at: datetime = Field(sa_type=UtcDateTime)
