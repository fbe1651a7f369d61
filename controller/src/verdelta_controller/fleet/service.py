"""Hosts and how they are reached: added, described, changed, invited, enrolled."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, cast, false, func, or_
from sqlmodel import Session, col, select

from verdelta_agent import wire

from ..foundation import signing
from ..foundation.clock import now
from ..foundation.database import Database
from ..foundation.errors import Conflict, GateClosed, InvalidInput, NotAllowed, NotFound
from ..foundation.evidence import EvidenceLog
from ..foundation.ids import digest_of_secret, is_name, new_id, new_secret
from ..foundation.signing import Vault
from . import channels, host_keys, rules
from .agent_keys import AgentKeys, said_of
from .channels import Address, Channel, LocalChannel, SshChannel
from .enrolment import Enrolment
from .environments import held
from .rules import NewHost
from .tables import AgentKey, Credential, EnrolmentToken, Host

__all__ = ["FleetService", "Found", "NewHost"]

INVITATION_LIFE = timedelta(hours=1)
CHANGEABLE = (
    "address", "port", "user", "become", "python", "credential", "environment", "groups", "accepted_gaps",
)  # fmt: skip


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
        self.keys = AgentKeys(database, evidence)

    # -- credentials

    def add_credential(self, name: str, private_key: str) -> Credential:
        """Keep an SSH private key, sealed.  Raises InvalidInput, Conflict."""
        rules.check_name(name, "credential")
        private_key = "".join(f"{line.strip()}\n" for line in private_key.strip().splitlines())  # as ssh reads it
        key = channels.load_private_key(private_key)
        identity = new_id()
        credential = Credential(
            id=identity,
            name=name,
            fingerprint=host_keys.fingerprint(f"{key.get_name()} {key.get_base64()}"),
            sealed=self._vault.seal(private_key.encode(), identity),
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
        """Return the private key that reaches a host, for the moment of its use.  Raises InvalidInput, SealBroken."""
        with self._database.reading() as session:
            credential = session.get(Credential, host.credential_id) if host.credential_id else None
        if credential is None:
            raise InvalidInput(f"{host.name}: no credential to reach it by", mend="verdelta credential add")
        return self._vault.open(credential.sealed, credential.id).decode()

    # -- hosts

    def add_host(self, new: NewHost) -> Host:
        """Look after one more host.  Raises InvalidInput, Conflict."""
        new = rules.checked(new)
        with self._database.transaction() as session:
            if session.exec(select(Host).where(Host.name == new.name)).first():
                raise Conflict(f"there is a host named {new.name}", mend=f"verdelta host show {new.name}")
            _check_environment(session, new.environment)
            given = new._asdict()
            credential = _credential_named(session, given.pop("credential"))
            host = Host(id=new_id(), created_at=now(), credential_id=credential.id if credential else None, **given)
            host.host_key_pinned_at = now() if new.host_key else None
            session.add(host)
            session.flush()
            trusted = {}
            if host.reach == "ssh" and host.agent == "agentless":
                trusted = said_of(self.keys.trust(session, host, signing.SSHSIG, host.host_key))
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

    def change_host(self, name: str, changes: Mapping[str, Any]) -> Host:
        """Change how a host is reached or grouped.  Raises NotFound, InvalidInput."""
        for field in changes:
            if field not in CHANGEABLE:
                raise InvalidInput(f"{field} of a host cannot be changed", mend=f"One of {', '.join(CHANGEABLE)}.")
        with self._database.transaction() as session:
            host = _host_named(session, name)
            known = host.model_dump(include=set(NewHost._fields))
            new = rules.checked(NewHost(**{**known, **changes}))
            if "environment" in changes:
                _check_environment(session, new.environment)
            for field in changes:
                if field != "credential":
                    setattr(host, field, getattr(new, field))
                elif (credential := _credential_named(session, new.credential)) is not None:
                    host.credential_id = credential.id
            session.add(host)
            said = {"host_id": host.id, "changes": {field: getattr(new, field) for field in changes}}
            self._evidence.append(session, "host-changed", host.name, said, now())
        return host

    def repin(self, name: str, host_key: str) -> Host:
        """Pin another SSH host key, because the host was reinstalled; the same one again changes nothing.

        Raises NotFound, InvalidInput, GateClosed (the host is not reached over SSH), Conflict.
        """
        host_key = host_keys.normal(host_key)
        with self._database.transaction() as session:
            host = _host_named(session, name)
            if host.reach != "ssh":
                raise GateClosed(f"{name} is reached by {host.reach}: there is no SSH host key to pin")
            if host.host_key == host_key:
                return host
            was, host.host_key, host.host_key_pinned_at = host.host_key, host_key, now()
            session.add(host)
            trusted = {}
            if host.agent == "agentless":
                trusted = said_of(self.keys.trust(session, host, signing.SSHSIG, host_key))
            content = {"host_id": host.id, "was": was, "host_key": host_key, **trusted}
            self._evidence.append(session, "host-key-pinned", host.name, content, now())
        return host

    # -- enrolment

    def invite(self, name: str) -> str:
        """Return a one-time token with which the agent of a host enrols a key of its own, within the hour."""
        secret = new_secret()
        with self._database.transaction() as session:
            host = _host_named(session, name)
            token = wire.Token(self.audience, host.id, self.keys.next_epoch(session, host.id), secret)
            session.add(
                EnrolmentToken(
                    secret_digest=digest_of_secret(secret),
                    host_id=host.id,
                    created_at=now(),
                    expires_at=now() + INVITATION_LIFE,
                )
            )
        return str(token)

    def enrol(self, data: bytes) -> AgentKey:
        """Take in an agent's enrolment: its token is spent, its key is trusted from now on for this host alone.

        The same enrolment again (its answer was lost) has no second effect.
        Raises InvalidInput, BadSignature, NotAllowed (token unknown, spent or expired), Conflict (key in use).
        """
        enrolment = Enrolment.parse(data, self.audience)
        with self._database.transaction() as session:
            host = session.get(Host, enrolment.host_id, with_for_update=True)  # one enrolment of a host at a time
            known = self.keys.find(session, enrolment.key_id)
            if known is not None:
                return _enrolled_before(known, enrolment)
            token = session.get(EnrolmentToken, enrolment.secret_digest)
            if host is None or token is None or token.host_id != host.id:
                raise NotAllowed("the enrolment token is not known", mend="Ask for one: verdelta host invite")
            if token.used_at is not None or token.expires_at <= now():
                raise NotAllowed("the enrolment token is used or expired", mend=f"verdelta host invite {host.name}")
            if enrolment.epoch != self.keys.next_epoch(session, host.id):
                raise NotAllowed("the host has enrolled another key since this token was made")
            token.used_at = now()
            session.add(token)
            key = self.keys.trust(session, host, enrolment.scheme, enrolment.public_key)
            self.keys.advance(session, key, enrolment.sequence, enrolment.digest)
            host.agent = "installed"
            session.add(host)
            content = {"host_id": host.id, **said_of(key), "envelope": data.decode()}
            self._evidence.append(session, "enrolled", host.name, content, now())
            return key

    # -- reaching

    def open_channel(self, host: Host) -> Channel:
        """Return a connection to a host.  Raises Unreachable, HostKeyChanged, InvalidInput."""
        if host.reach == "local":
            return LocalChannel()
        if host.reach == "check-in":
            raise channels.Unreachable(f"{host.name} is not reached: its agent calls the controller")
        address = Address(host.name, host.address, host.port, host.user, host.host_key)
        return SshChannel(address, channels.load_private_key(self.private_key_of(host)))


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


def _check_environment(session: Session, name: str) -> None:
    """Raise InvalidInput for an environment that is not there; one that is stays until the transaction ends."""
    if not name:
        return
    try:
        held(session, name, share=True)
    except NotFound as error:
        raise InvalidInput(error.message, mend=error.mend) from error


def _credential_named(session: Session, name: str) -> Credential | None:
    """Return a credential, None where none is named.  Raises NotFound."""
    if not name:
        return None
    found = session.exec(select(Credential).where(Credential.name == name)).first()
    if found is None:
        raise NotFound(f"there is no credential named {name}", mend="verdelta credential list")
    return found


def _enrolled_before(known: AgentKey, enrolment: Enrolment) -> AgentKey:
    """Return the key of an enrolment that comes again: its answer was lost.  Raises Conflict for any other use."""
    if known.host_id != enrolment.host_id:
        raise Conflict("this key belongs to another host", mend="Was the machine cloned? Enrol it with a new key.")
    if known.epoch != enrolment.epoch:
        raise Conflict("this host enrolled this key before", mend="Enrol a new one: verdelta-agent enrol --replace")
    return known
