"""Hosts and how they are reached: added, described, invited, enrolled, forgotten."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import paramiko
from sqlalchemy import ColumnElement, Text, cast, false, func, or_
from sqlmodel import Session, col, select

from verdelta_agent import wire

from ..foundation import signing
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, InvalidInput, NotAllowed, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, is_name, new_id, new_secret
from ..foundation.signing import Vault
from . import channels
from .channels import Address, Channel, LocalChannel, SshChannel
from .enrolment import Enrolment
from .tables import AgentKey, Credential, EnrolmentToken, Host

INVITATION_LIFE = timedelta(hours=1)
REACHES = ("ssh", "local", "check-in")
CHANGEABLE = ("address", "port", "user", "become", "python", "environment", "groups", "accepted_gaps", "agent")


class NewHost(NamedTuple):
    """What an operator says of a host that is to be looked after."""

    name: str
    reach: str = "ssh"
    agent: str = "agentless"
    address: str = ""
    port: int = 22
    user: str = ""
    become: bool = False
    python: str = "/usr/bin/python3"
    agent_state: str = ""
    agent_path: str = ""
    host_key: str = ""
    credential: str = ""
    environment: str = ""
    groups: Sequence[str] = ()
    accepted_gaps: Sequence[str] = ()


class Found(NamedTuple):
    """Some of the hosts that were looked for, and how many there are in all."""

    hosts: list[Host]
    total: int


class FleetService:
    """The use-cases around hosts.  `audience` is this controller's identity: messages for another one are refused."""

    def __init__(self, database: Database, evidence: EvidenceLog, vault: Vault, audience: str) -> None:
        self._database = database
        self._evidence = evidence
        self._vault = vault
        self.audience = audience

    # -- credentials

    def add_credential(self, name: str, private_key: str) -> Credential:
        """Keep an SSH private key, sealed.  Raises InvalidInput, Conflict."""
        _check_name(name, "credential")
        key = channels.load_private_key(private_key)
        credential = Credential(
            id=new_id(),
            name=name,
            fingerprint=channels.fingerprint(f"{key.get_name()} {key.get_base64()}"),
            sealed=self._vault.seal(private_key.encode()),
            created_at=now(),
        )
        with self._database.transaction() as session:
            if session.exec(select(Credential).where(Credential.name == name)).first():
                raise Conflict(f"there is a credential named {name}")
            session.add(credential)
            self._evidence.append(session, "credential-added", name, {"fingerprint": credential.fingerprint}, now())
        return credential

    def credentials(self) -> list[Credential]:
        """Return every credential, by name."""
        with self._database.reading() as session:
            return list(session.exec(select(Credential).order_by(Credential.name)))

    def private_key_of(self, host: Host) -> str:
        """Return the private key that reaches a host, for the moment of its use.  Raises InvalidInput."""
        with self._database.reading() as session:
            credential = session.get(Credential, host.credential_id) if host.credential_id else None
        if credential is None:
            raise InvalidInput(f"{host.name}: no credential to reach it by", mend="verdelta credential add")
        return self._vault.open(credential.sealed).decode()

    # -- hosts

    def add_host(self, new: NewHost) -> Host:
        """Look after one more host.  Raises InvalidInput, Conflict."""
        _check_name(new.name, "host")
        for group in new.groups:
            _check_name(group, "group")
        if new.environment:
            _check_name(new.environment, "environment")
        if new.reach not in REACHES:
            raise InvalidInput(f"a host is reached by {', '.join(REACHES)}, not {new.reach!r}")
        if new.reach == "ssh" and not (new.address and new.user and new.host_key):
            raise InvalidInput(f"{new.name}: to be reached over SSH a host needs address, user and a pinned host key")
        if new.host_key:
            channels.fingerprint(new.host_key)  # raises InvalidInput when it is no key
        with self._database.transaction() as session:
            if session.exec(select(Host).where(Host.name == new.name)).first():
                raise Conflict(f"there is a host named {new.name}", mend=f"verdelta host show {new.name}")
            credential = _credential_named(session, new.credential) if new.credential else None
            given = new._asdict()
            del given["credential"]
            host = Host(id=new_id(), created_at=now(), credential_id=credential.id if credential else None, **given)
            host.groups, host.accepted_gaps = list(new.groups), list(new.accepted_gaps)
            host.host_key_pinned_at = now() if new.host_key else None
            session.add(host)
            session.flush()
            trusted = {}
            if host.reach == "ssh" and host.agent == "agentless":
                trusted = _said(_trust(session, host, signing.SSHSIG, host.host_key))
            content = {
                "host_id": host.id,
                "host_key": host.host_key,
                "reach": host.reach,
                "accepted_gaps": host.accepted_gaps,
                **trusted,
            }
            self._evidence.append(session, "host-added", host.name, content, now())
        return host

    def hosts(self, names: Sequence[str] = (), group: str = "", environment: str = "") -> list[Host]:
        """Return the hosts that are named, or in a group or environment, by name; all of them when nothing is said.

        Raises NotFound for a name that is not a host's, and for a group or environment without hosts.
        """
        wanted = _within(group, environment)
        if names:
            wanted.append(col(Host.name).in_(names))
        with self._database.reading() as session:
            chosen = list(session.exec(select(Host).where(*wanted).order_by(Host.name)))
            found = {host.name for host in chosen}
            for name in names:
                if name not in found:
                    _host_named(session, name)  # raises NotFound, unless it is in another group or environment
        if not chosen and (group or environment):
            raise NotFound(f"there is no host in {group or environment}", mend="verdelta host list shows the groups")
        return chosen

    def search(
        self, text: str = "", group: str = "", environment: str = "", limit: int = 100, offset: int = 0
    ) -> Found:
        """Return the hosts whose name or address has a text in it, by name, some at a time.  None may be found."""
        wanted = _within(group, environment)
        if "\0" in text:  # which no database stores, and some refuse to look for
            return Found([], 0)
        if text:
            wanted.append(or_(*(col(field).icontains(text, autoescape=True) for field in (Host.name, Host.address))))
        page = select(Host).where(*wanted).order_by(Host.name).limit(limit).offset(offset)
        with self._database.reading() as session:
            hosts = list(session.exec(page))
            if 0 < len(hosts) < limit or not (hosts or offset):  # the last page: nothing to count
                return Found(hosts, offset + len(hosts))
            return Found(hosts, session.exec(select(func.count()).select_from(Host).where(*wanted)).one())

    def host_named(self, name: str) -> Host:
        """Return one host.  Raises NotFound."""
        with self._database.reading() as session:
            return _host_named(session, name)

    def host(self, host_id: str) -> Host:
        """Return one host by its identity.  Raises NotFound."""
        with self._database.reading() as session:
            found = session.get(Host, host_id)
        if found is None:
            raise NotFound(f"there is no host with the identity {host_id}")
        return found

    def change_host(self, name: str, changes: dict[str, Any]) -> Host:
        """Change how a host is reached or grouped.  Raises NotFound, InvalidInput."""
        with self._database.transaction() as session:
            host = _host_named(session, name)
            for field, value in changes.items():
                if field not in CHANGEABLE:
                    raise InvalidInput(f"{field} of a host cannot be changed", mend=f"One of {', '.join(CHANGEABLE)}.")
                setattr(host, field, value)
            session.add(host)
            self._evidence.append(session, "host-changed", host.name, {"host_id": host.id, "changes": changes}, now())
        return host

    def repin(self, name: str, host_key: str) -> Host:
        """Pin another SSH host key, because the host was reinstalled.  Raises NotFound, InvalidInput, Conflict."""
        channels.fingerprint(host_key)
        with self._database.transaction() as session:
            host = _host_named(session, name)
            was, host.host_key, host.host_key_pinned_at = host.host_key, host_key, now()
            session.add(host)
            trusted = {}
            if host.agent == "agentless":
                trusted = _said(_trust(session, host, signing.SSHSIG, host_key))
            content = {"host_id": host.id, "was": was, "host_key": host_key, **trusted}
            self._evidence.append(session, "host-key-pinned", host.name, content, now())
        return host

    # -- enrolment

    def invite(self, name: str) -> str:
        """Return a one-time token with which the agent of a host enrols a key of its own, within the hour."""
        secret = new_secret()
        with self._database.transaction() as session:
            host = _host_named(session, name)
            epoch = _newest_epoch(session, host.id) + 1
            session.add(
                EnrolmentToken(
                    secret_digest=digest_of_secret(secret),
                    host_id=host.id,
                    created_at=now(),
                    expires_at=now() + INVITATION_LIFE,
                )
            )
        return f"{self.audience}.{host.id}.{epoch}.{secret}"

    def enrol(self, data: bytes) -> AgentKey:
        """Take in an agent's enrolment: its token is spent, its key is trusted from now on for this host alone.

        The same enrolment again (its answer was lost) has no second effect.
        Raises InvalidInput, BadSignature, NotAllowed (token unknown, spent or expired), Conflict (key in use).
        """
        enrolment = Enrolment.parse(data, self.audience)
        with self._database.transaction() as session:
            known = session.exec(select(AgentKey).where(AgentKey.key_id == enrolment.key_id)).first()
            if known is not None:
                if (known.host_id, known.epoch) == (enrolment.host_id, enrolment.epoch):
                    return known
                raise Conflict("this key belongs to another host", mend="Was the machine cloned? Enrol with a new key.")
            host = session.get(Host, enrolment.host_id)
            token = session.get(EnrolmentToken, digest_of_secret(enrolment.secret))
            if host is None or token is None or token.host_id != host.id:
                raise NotAllowed("the enrolment token is not known", mend="Ask for one: verdelta host invite")
            if token.used_at is not None or token.expires_at <= now():
                raise NotAllowed("the enrolment token is used or expired", mend=f"verdelta host invite {host.name}")
            if enrolment.epoch != _newest_epoch(session, host.id) + 1:
                raise NotAllowed("the host has enrolled another key since this token was made")
            token.used_at = now()
            session.add(token)
            key = _trust(session, host, enrolment.scheme, enrolment.public_key)
            self.advance(session, key, enrolment.sequence, enrolment.digest)
            host.agent = "installed"
            session.add(host)
            content = {"host_id": host.id, "epoch": key.epoch, "key_id": key.key_id, "envelope": data.decode()}
            self._evidence.append(session, "enrolled", host.name, content, now())
            return key

    # -- keys, for whoever takes messages in

    def key(self, session: Session, host_id: str, epoch: int = 0) -> AgentKey:
        """Return the key of a host's epoch, the newest one by default.  Raises NotFound when it is not enrolled."""
        wanted = epoch or _newest_epoch(session, host_id)
        key = session.get(AgentKey, (host_id, wanted))
        if key is None:
            raise NotFound("this host is not enrolled", mend="verdelta host bootstrap, or verdelta host invite")
        return key

    def advance(self, session: Session, key: AgentKey, sequence: int, digest: str) -> None:
        """Remember the last message accepted from a key."""
        key.last_sequence, key.last_digest = sequence, digest
        session.add(key)

    def mark_forked(self, host_id: str, epoch: int) -> None:
        """Remember that two machines use one identity: nothing more is accepted from it until it enrols anew."""
        with self._database.transaction() as session:
            key = self.key(session, host_id, epoch)
            if key.forked_at is None:
                key.forked_at = now()
                session.add(key)
                content = {"host_id": host_id, "epoch": epoch, "key_id": key.key_id}
                self._evidence.append(session, "identity-forked", host_id, content, now())

    # -- reaching

    def open_channel(self, host: Host) -> Channel:
        """Return a connection to a host.  Raises Unreachable, HostKeyChanged, InvalidInput."""
        if host.reach == "local":
            return LocalChannel()
        if host.reach == "check-in":
            raise channels.Unreachable(f"{host.name} is not reached: its agent calls the controller")
        address = Address(host.name, host.address, host.port, host.user, host.host_key)
        return SshChannel(address, self.ssh_key(host))

    def ssh_key(self, host: Host) -> paramiko.PKey:
        """Return the private key object for a host."""
        return channels.load_private_key(self.private_key_of(host))


def _check_name(name: str, what: str) -> None:
    if not is_name(name):
        raise InvalidInput(f"{name!r} cannot name a {what}", mend="Letters, digits, dots, dashes; at most 63.")


def _within(group: str, environment: str) -> list[ColumnElement[bool]]:
    """Return the conditions for being in a group and an environment, where they are named."""
    wanted: list[ColumnElement[bool]] = []
    if any(name and not is_name(name) for name in (group, environment)):
        return [false()]
    if group:
        # A list has a name in it when its JSON is another one without it.  Unlike the databases' own functions for JSON
        # this is the same on each of them, and unlike LIKE it tells capitals apart.
        listed = cast(col(Host.groups), Text)
        wanted.append(func.replace(listed, f'"{group}"', "") != listed)
    if environment:
        wanted.append(col(Host.environment) == environment)
    return wanted


def _host_named(session: Session, name: str) -> Host:
    host = session.exec(select(Host).where(Host.name == name)).first()
    if host is None:
        raise NotFound(f"there is no host named {name}", mend="verdelta host list shows the hosts")
    return host


def _credential_named(session: Session, name: str) -> Credential:
    found = session.exec(select(Credential).where(Credential.name == name)).first()
    if found is None:
        raise NotFound(f"there is no credential named {name}", mend="verdelta credential list")
    return found


def _newest_epoch(session: Session, host_id: str) -> int:
    newest = session.exec(
        select(AgentKey.epoch).where(AgentKey.host_id == host_id).order_by(col(AgentKey.epoch).desc())
    ).first()
    return newest or 0


def _said(key: AgentKey) -> dict[str, Any]:
    """Return what the evidence says of a key that is trusted from now on."""
    return {"epoch": key.epoch, "key_id": key.key_id}


def _trust(session: Session, host: Host, scheme: str, public_key: str) -> AgentKey:
    """Trust a key for a host from now on.  Raises Conflict when another host has it: they are one machine's copies."""
    key_id = signing.key_id(scheme, public_key)
    taken = session.exec(select(AgentKey).where(AgentKey.key_id == key_id)).first()
    if taken is not None:
        other = session.get(Host, taken.host_id)
        raise Conflict(
            f"{host.name}: its key {key_id} is the key of {other.name if other else taken.host_id}",
            mend="Two machines with one key were cloned from each other: give one of them new host keys.",
        )
    key = AgentKey(
        host_id=host.id,
        epoch=_newest_epoch(session, host.id) + 1,
        scheme=scheme,
        public_key=public_key,
        key_id=key_id,
        enrolled_at=now(),
        last_sequence=0,
        last_digest=wire.GENESIS,
    )
    session.add(key)
    session.flush()
    return key
