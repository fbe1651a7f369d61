"""Hosts, credentials and enrolment over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ..access.http import ManagesHosts, Reads
from ..foundation.schema import Moment
from . import channels, host_keys
from .service import FleetService, NewHost
from .tables import Host

router = APIRouter(prefix="/api/v1", tags=["hosts"])


def _service(request: Request) -> FleetService:
    service: FleetService = request.app.state.services.fleet
    return service


Fleet = Annotated[FleetService, Depends(_service)]


class HostOrder(BaseModel):
    """A host to look after."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "web-07",
                    "address": "192.0.2.7",
                    "user": "deploy",
                    "become": True,
                    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…",
                    "credential": "deploy-key",
                    "environment": "live",
                    "groups": ["web"],
                }
            ]
        },
    )

    name: str = Field(max_length=63)
    reach: Literal["ssh", "local", "check-in"] = "ssh"
    address: str = Field(default="", max_length=255, description="name or address of the SSH server")
    port: int = Field(default=22, ge=1, le=65535)
    user: str = Field(default="", max_length=64, description="login that the credential opens")
    become: bool = Field(default=False, description="run as root through sudo")
    python: str = Field(default="/usr/bin/python3", max_length=1000)
    agent_state: str = Field(default="", max_length=1000)
    agent_path: str = Field(default="", max_length=1000)
    host_key: str = Field(default="", max_length=4000, description="pinned SSH host key: type and base64")
    credential: str = Field(default="", max_length=63)
    environment: str = Field(default="", max_length=63)
    groups: list[str] = Field(default=[], max_length=100)
    accepted_gaps: list[str] = Field(
        default=[], max_length=100, description="sections that the operator does without, where they cannot be read"
    )


class HostChange(BaseModel):
    """What is to be different about a host from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"groups": ["web", "canary"]}]})

    address: str | None = Field(default=None, max_length=255)
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str | None = Field(default=None, max_length=64)
    become: bool | None = None
    python: str | None = Field(default=None, max_length=1000)
    credential: str | None = Field(default=None, min_length=1, max_length=63)
    environment: str | None = Field(default=None, max_length=63)
    groups: list[str] | None = Field(default=None, max_length=100)
    accepted_gaps: list[str] | None = Field(default=None, max_length=100)


class HostView(BaseModel):
    """A host."""

    id: str = Field(examples=["3f9c0a…"])
    name: str = Field(examples=["web-07"])
    reach: str = Field(examples=["ssh"])
    agent: str = Field(examples=["installed"])
    address: str = Field(examples=["192.0.2.7"])
    port: int = Field(examples=[22])
    user: str = Field(examples=["deploy"])
    become: bool = Field(examples=[True])
    python: str = Field(examples=["/usr/bin/python3"])
    environment: str = Field(examples=["live"])
    groups: list[str] = Field(examples=[["web"]])
    accepted_gaps: list[str] = Field(examples=[["hardware.smbios"]])
    host_key_fingerprint: str | None = Field(examples=["SHA256:Zx… (ssh-ed25519)"])
    host_key_pinned_at: Moment | None
    created_at: Moment


class KeyPin(BaseModel):
    """A host key to trust from now on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"host_key": "ssh-ed25519 AAAAC3…"}]})

    host_key: str = Field(max_length=4000)


class Target(BaseModel):
    """An SSH server to look at."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"address": "192.0.2.7", "port": 22}]})

    address: str = Field(min_length=1, max_length=255)
    port: int = Field(default=22, ge=1, le=65535)


class ShownKey(BaseModel):
    """The host key that an SSH server shows; trusted by nobody yet."""

    host_key: str = Field(examples=["ssh-ed25519 AAAAC3…"])
    fingerprint: str = Field(examples=["SHA256:Zx… (ssh-ed25519)"])


class CredentialOrder(BaseModel):
    """An SSH private key to reach hosts with.  It is never shown again."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [{"name": "deploy-key", "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\n…"}]
        },
    )

    name: str = Field(max_length=63)
    private_key: SecretStr = Field(max_length=20_000, description="without a passphrase; write-only")


class CredentialView(BaseModel):
    """A credential, without its secret."""

    name: str = Field(examples=["deploy-key"])
    fingerprint: str = Field(examples=["SHA256:Zx… (ssh-ed25519)"])
    created_at: Moment


class Invitation(BaseModel):
    """A one-time token with which a host's agent enrols, within the hour."""

    token: str = Field(repr=False, examples=["c1f0….3f9c0a….1.9d2e…"])


@router.get("/hosts")
def list_hosts(actor: Reads, fleet: Fleet, group: str = "", environment: str = "") -> list[HostView]:
    """Return the hosts, by name."""
    return [view(host) for host in fleet.hosts(group=group, environment=environment)]


@router.post("/hosts", status_code=201)
def add_host(order: HostOrder, actor: ManagesHosts, fleet: Fleet) -> HostView:
    """Look after one more host."""
    return view(fleet.add_host(NewHost(**order.model_dump())))


@router.get("/hosts/{name}")
def show_host(name: str, actor: Reads, fleet: Fleet) -> HostView:
    """Return one host."""
    return view(fleet.host_named(name))


@router.patch("/hosts/{name}")
def change_host(name: str, change: HostChange, actor: ManagesHosts, fleet: Fleet) -> HostView:
    """Change how a host is reached or grouped."""
    return view(fleet.change_host(name, change.model_dump(exclude_none=True)))


@router.put("/hosts/{name}/host-key")
def repin(name: str, pin: KeyPin, actor: ManagesHosts, fleet: Fleet) -> HostView:
    """Trust another SSH host key, because the host was reinstalled."""
    return view(fleet.repin(name, pin.host_key))


@router.post("/hosts/{name}/invitations", status_code=201)
def invite(name: str, actor: ManagesHosts, fleet: Fleet) -> Invitation:
    """Return a one-time token for the agent of a host."""
    return Invitation(token=fleet.invite(name))


@router.post("/host-keys/scan")
def scan(target: Target, actor: ManagesHosts) -> ShownKey:
    """Return the host key that an address shows, for a person to compare.  Nothing is trusted by it."""
    shown = channels.scan(target.address, target.port)
    return ShownKey(host_key=shown, fingerprint=host_keys.fingerprint(shown))


@router.get("/credentials")
def list_credentials(actor: Reads, fleet: Fleet) -> list[CredentialView]:
    """Return every credential, without its secret."""
    return [
        CredentialView(name=c.name, fingerprint=c.fingerprint, created_at=c.created_at) for c in fleet.credentials()
    ]


@router.post("/credentials", status_code=201)
def add_credential(order: CredentialOrder, actor: ManagesHosts, fleet: Fleet) -> CredentialView:
    """Keep an SSH private key, sealed."""
    made = fleet.add_credential(order.name, order.private_key.get_secret_value())
    return CredentialView(name=made.name, fingerprint=made.fingerprint, created_at=made.created_at)


def view(host: Host) -> HostView:
    """Return a host as it may be shown."""
    shown = host_keys.fingerprint(host.host_key) if host.host_key else None
    fields = host.model_dump(include=set(HostView.model_fields))
    return HostView(**fields, host_key_fingerprint=shown)
