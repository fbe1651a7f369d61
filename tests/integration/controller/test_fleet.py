"""Hosts, credentials and enrolment, on both databases."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.support import sshd
from tests.support.agents import Agent
from tests.support.concurrently import at_once

from verdelta_agent import wire
from verdelta_controller.fleet import service
from verdelta_controller.fleet.routes import CredentialOrder
from verdelta_controller.fleet.rules import NewHost
from verdelta_controller.fleet.service import FleetService
from verdelta_controller.fleet.tables import AgentKey, Host
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import (
    Conflict,
    GateClosed,
    InvalidInput,
    NotAllowed,
    NotFound,
    TooLarge,
)
from verdelta_controller.foundation.evidence import EvidenceLog
from verdelta_controller.foundation.signing import BadSignature, SealBroken, SigningKey, Vault, key_id

LOG = EvidenceLog(SigningKey(b"k" * 32), "verdelta.example/log")
AUDIENCE = "a" * 32


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def fleet(database: Database) -> FleetService:
    return FleetService(database, LOG, Vault(b"v" * 32), AUDIENCE)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass."""
    moment = [datetime.now(UTC)]
    monkeypatch.setattr(service, "now", lambda: moment[0])

    def pass_by(time: timedelta) -> None:
        moment[0] += time

    return pass_by


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path / "agent")


@pytest.fixture(scope="module")
def host_keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("keys")
    return [" ".join(sshd.make_key(folder / f"key{number}").split()[:2]) for number in range(3)]


def over_ssh(name: str, host_key: str, **other: Any) -> NewHost:
    return NewHost(name, address="192.0.2.7", user="deploy", host_key=host_key, **other)


def evidence(database: Database, kind: str) -> list[Any]:
    with database.reading() as session:
        return [json.loads(entry.content) for entry in LOG.entries(session, kind=kind)]


def keys_of(database: Database, host: Host) -> list[AgentKey]:
    with database.reading() as session:
        found = session.execute(text("SELECT epoch FROM agent_key WHERE host_id = :id ORDER BY epoch"), {"id": host.id})
        return [session.get(AgentKey, (host.id, epoch)) for (epoch,) in found]  # type: ignore[misc]


# -- credentials


def test_a_credential_is_sealed_for_itself_alone(fleet, database, tmp_path, host_keys):
    sshd.make_key(tmp_path / "login")
    private = (tmp_path / "login").read_text()
    made = fleet.add_credential("deploy-key", private)
    host = fleet.add_host(over_ssh("web-07", host_keys[0], credential="deploy-key"))
    assert fleet.private_key_of(host) == private
    assert not any(line.encode() in made.sealed for line in private.splitlines())

    sshd.make_key(tmp_path / "other")
    other = fleet.add_credential("other-key", (tmp_path / "other").read_text())
    with database.transaction() as session:  # somebody with the database alone exchanges what is sealed
        session.execute(
            text("UPDATE credential SET sealed = :sealed WHERE id = :id"), {"sealed": other.sealed, "id": made.id}
        )
    with pytest.raises(SealBroken):
        fleet.private_key_of(host)


def test_a_private_key_is_kept_as_ssh_reads_it_however_it_was_pasted(fleet, tmp_path, host_keys):
    sshd.make_key(tmp_path / "login")
    private = (tmp_path / "login").read_text()
    for number, pasted in enumerate((private.strip(), private.replace("\n", "\r\n"), f"\n\n  {private}\n\n")):
        name = f"key-{number}"
        fleet.add_credential(name, pasted)
        host = fleet.add_host(over_ssh(f"web-{number}", host_keys[number], credential=name))
        assert fleet.private_key_of(host) == private


def test_a_private_key_is_in_no_log_no_error_and_no_description(fleet, database, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)
    sshd.make_key(tmp_path / "login")
    private = (tmp_path / "login").read_text()
    try:
        made = fleet.add_credential("deploy-key", private)
        with pytest.raises(Conflict) as refused:
            fleet.add_credential("deploy-key", private)
    finally:
        logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    order = CredentialOrder(name="deploy-key", private_key=private)
    said = f"{caplog.text} {refused.value!r} {made!r} {order!r} {order} {evidence(database, 'credential-added')}"
    assert "INSERT INTO credential" in said
    assert not any(line in said for line in private.splitlines()[1:-1])


def test_of_two_credentials_with_one_name_one_is_kept(fleet, tmp_path):
    sshd.make_key(tmp_path / "login")
    private = (tmp_path / "login").read_text()
    results = at_once([lambda: fleet.add_credential("deploy-key", private)] * 3)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Conflict", "Credential"]


def test_a_host_without_a_credential_says_so(fleet, host_keys):
    host = fleet.add_host(over_ssh("web-07", host_keys[0]))
    with pytest.raises(InvalidInput, match="web-07: no credential to reach it by"):
        fleet.open_channel(host)
    with pytest.raises(NotFound, match="no credential named nobody"):
        fleet.add_host(over_ssh("web-08", host_keys[1], credential="nobody"))


# -- hosts


def test_what_is_said_of_a_host_is_checked_when_it_is_added_and_when_it_is_changed(fleet, host_keys):
    with pytest.raises(InvalidInput, match="is no address"):
        fleet.add_host(over_ssh("web-07", host_keys[0])._replace(address="-oProxyCommand=id"))
    fleet.add_host(over_ssh("web-07", host_keys[0]))
    for field, value in {"address": "a b", "user": "-l", "python": "python", "groups": ["all"], "port": 0}.items():
        with pytest.raises(InvalidInput):
            fleet.change_host("web-07", {field: value})
    with pytest.raises(InvalidInput, match="needs address"):
        fleet.change_host("web-07", {"address": ""})
    with pytest.raises(InvalidInput, match="host_key of a host cannot be changed"):
        fleet.change_host("web-07", {"host_key": host_keys[1]})
    unchanged = fleet.host_named("web-07")
    assert (unchanged.address, unchanged.user, unchanged.groups) == ("192.0.2.7", "deploy", [])


def test_a_change_is_kept_and_is_evidence(fleet, database, tmp_path, host_keys):
    sshd.make_key(tmp_path / "login")
    credential = fleet.add_credential("deploy-key", (tmp_path / "login").read_text())
    fleet.add_host(over_ssh("web-07", host_keys[0]))
    fleet.change_host("web-07", {"groups": ["web"], "port": 2222, "credential": "deploy-key"})
    changed = fleet.host_named("web-07")
    assert (changed.groups, changed.port, changed.credential_id) == (["web"], 2222, credential.id)
    (said,) = evidence(database, "host-changed")
    assert said["changes"] == {"groups": ["web"], "port": 2222, "credential": "deploy-key"}


def test_of_two_hosts_with_one_name_one_is_kept(fleet):
    results = at_once([lambda: fleet.add_host(NewHost("web-07", reach="check-in"))] * 4)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["Host"]
    with pytest.raises(Conflict, match="there is a host named web-07"):
        fleet.add_host(NewHost("web-07", reach="check-in"))


def test_the_same_ssh_key_on_two_hosts_is_noticed(fleet, host_keys):
    fleet.add_host(over_ssh("web-07", host_keys[0]))
    with pytest.raises(Conflict, match=r"web-08: its key SHA256:\S+ is the key of web-07") as refused:
        fleet.add_host(over_ssh("web-08", host_keys[0]))
    assert "cloned" in str(refused.value)
    assert [host.name for host in fleet.hosts()] == ["web-07"]


def test_a_repinned_host_signs_with_its_new_key_and_no_longer_with_the_old_one(fleet, database, host_keys):
    host = fleet.add_host(over_ssh("web-07", host_keys[0]))
    fleet.repin("web-07", f"{host_keys[1]} root@web-07")
    assert fleet.host_named("web-07").host_key == host_keys[1]
    assert [(key.epoch, key.public_key) for key in keys_of(database, host)] == [(1, host_keys[0]), (2, host_keys[1])]
    with database.reading() as session:
        assert fleet.keys.newest(session, host.id).key_id == key_id("sshsig", host_keys[1])
    (said,) = evidence(database, "host-key-pinned")
    assert (said["was"], said["host_key"], said["epoch"]) == (host_keys[0], host_keys[1], 2)


def test_pinning_the_same_key_again_changes_nothing(fleet, database, host_keys):
    host = fleet.add_host(over_ssh("web-07", host_keys[0]))
    again = fleet.repin("web-07", host_keys[0])
    assert again.host_key_pinned_at == host.host_key_pinned_at
    assert len(keys_of(database, host)) == 1 and evidence(database, "host-key-pinned") == []


def test_a_key_that_was_replaced_is_not_trusted_again(fleet, host_keys):
    fleet.add_host(over_ssh("web-07", host_keys[0]))
    fleet.repin("web-07", host_keys[1])
    with pytest.raises(Conflict, match="was its key before, and was replaced"):
        fleet.repin("web-07", host_keys[0])
    assert fleet.host_named("web-07").host_key == host_keys[1]


def test_only_hosts_that_are_reached_over_ssh_have_a_key_to_pin(fleet, host_keys):
    fleet.add_host(NewHost("laptop", reach="check-in"))
    with pytest.raises(GateClosed, match="reached by check-in"):
        fleet.repin("laptop", host_keys[0])
    with pytest.raises(InvalidInput, match="not a public host key"):
        fleet.repin("laptop", "nonsense")


# -- enrolment


def test_an_agent_enrols_once_with_an_invitation(fleet, database, agent):
    host = fleet.add_host(NewHost("web-07", reach="check-in"))
    data = agent.enrolment(fleet.invite("web-07"))
    key = fleet.enrol(data)
    assert (key.host_id, key.epoch, key.last_sequence) == (host.id, 1, 1)
    assert key.last_digest == wire.decode_envelope(data).digest
    assert fleet.host_named("web-07").agent == "installed"
    (said,) = evidence(database, "enrolled")
    assert (said["host_id"], said["epoch"], said["key_id"]) == (host.id, 1, key.key_id)
    assert said["envelope"].encode() == data


def test_the_same_enrolment_again_has_no_second_effect(fleet, database, agent):
    host = fleet.add_host(NewHost("web-07", reach="check-in"))
    data = agent.enrolment(fleet.invite("web-07"))
    first = fleet.enrol(data)
    again = fleet.enrol(data)
    assert (again.epoch, again.last_digest) == (first.epoch, first.last_digest)
    assert len(keys_of(database, host)) == 1 and len(evidence(database, "enrolled")) == 1


def test_the_same_enrolment_several_times_at_once_has_one_effect(fleet, database, agent):
    host = fleet.add_host(NewHost("web-07", reach="check-in"))
    data = agent.enrolment(fleet.invite("web-07"))
    results = at_once([lambda: fleet.enrol(data)] * 4)
    assert [getattr(result, "epoch", result) for result in results] == [1] * 4
    assert len(keys_of(database, host)) == 1 and len(evidence(database, "enrolled")) == 1


def test_an_invitation_is_for_one_agent_also_when_two_come_at_once(fleet, database, tmp_path):
    agents = [Agent(tmp_path / f"agent{number}") for number in range(2)]
    for round_ in range(4):
        host = fleet.add_host(NewHost(f"web-{round_}", reach="check-in"))
        token = fleet.invite(host.name)
        if round_:
            agents = [Agent(tmp_path / f"agent{round_}{number}") for number in range(2)]
        messages = [agent.enrolment(token) for agent in agents]
        results = at_once([lambda data=data: fleet.enrol(data) for data in messages])
        assert sorted(type(result).__name__ for result in results) == ["AgentKey", "NotAllowed"]
        assert len(keys_of(database, host)) == 1


def test_a_spent_invitation_lets_nobody_in(fleet, agent, tmp_path):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = fleet.invite("web-07")
    fleet.enrol(agent.enrolment(token))
    with pytest.raises(NotAllowed, match="used or expired") as refused:
        fleet.enrol(Agent(tmp_path / "second").enrolment(token))
    assert refused.value.mend == "verdelta host invite web-07"


def test_an_invitation_is_good_for_an_hour(fleet, agent, later):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = fleet.invite("web-07")
    later(timedelta(hours=1))
    with pytest.raises(NotAllowed, match="used or expired"):
        fleet.enrol(agent.enrolment(token))


def test_an_invitation_is_for_its_host_alone(fleet, agent):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    other = fleet.add_host(NewHost("web-08", reach="check-in"))
    token = wire.parse_token(fleet.invite("web-07"))
    with pytest.raises(NotAllowed, match="token is not known"):
        fleet.enrol(agent.enrolment(str(token._replace(host_id=other.id))))
    with pytest.raises(InvalidInput, match="name different hosts"):
        data = agent.message(wire.ENROL, {"token": str(token), "scheme": "sshsig", "public_key": ""}, host_id=other.id)
        fleet.enrol(data)


@pytest.mark.parametrize(
    "wrong",
    [{"secret": "0" * 64}, {"host_id": "0" * 32}, {"epoch": 2}, {"secret": "x" * 900}, {"host_id": "x" * 900}],
)
def test_an_invitation_that_was_not_given_lets_nobody_in(fleet, agent, wrong):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = wire.parse_token(fleet.invite("web-07"))
    with pytest.raises((NotAllowed, InvalidInput)) as refused:
        fleet.enrol(agent.enrolment(str(token._replace(**wrong))))
    assert token.secret not in str(refused.value)


def test_an_enrolment_for_another_controller_is_refused(fleet, agent):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = wire.parse_token(fleet.invite("web-07"))
    with pytest.raises(InvalidInput, match="for another controller"):
        fleet.enrol(agent.enrolment(str(token._replace(audience="b" * 32))))


def test_an_enrolment_proves_that_the_agent_has_the_key(fleet, agent, tmp_path):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = fleet.invite("web-07")
    with pytest.raises(BadSignature):
        fleet.enrol(agent.enrolment(token, public_key=Agent(tmp_path / "other").key.public_key))
    assert fleet.enrol(agent.enrolment(token)).epoch == 1  # and the invitation is not spent by that


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"public_key": "ssh-rsa AAAAB3NzaC1yc2E="}, InvalidInput),
        ({"public_key": "\0"}, InvalidInput),
        ({"public_key": None}, InvalidInput),
        ({"scheme": "none"}, InvalidInput),
        ({"scheme": ["sshsig"]}, InvalidInput),
        ({"token": None}, InvalidInput),
        ({"token": "a.b.c"}, InvalidInput),
        ({"token": "a.b.\N{SUPERSCRIPT TWO}.c"}, InvalidInput),
        ({"token": "a.b." + "9" * 5000 + ".c"}, InvalidInput),
        ({"token": f"{AUDIENCE}.\0.1.c"}, InvalidInput),
    ],
)
def test_an_enrolment_that_makes_no_sense_is_refused(fleet, agent, other, error):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    with pytest.raises(error):
        fleet.enrol(agent.enrolment(fleet.invite("web-07"), **other))


@pytest.mark.parametrize("sequence", [-1, 0, 2**63, 10**30])
def test_an_enrolment_counts_within_what_can_be_counted(fleet, agent, sequence):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    agent.enrolment(token := fleet.invite("web-07"))
    body = {"token": token, "scheme": agent.key.scheme, "public_key": agent.key.public_key}
    with pytest.raises(InvalidInput):
        fleet.enrol(agent.message(wire.ENROL, body, sequence=sequence))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 60_000, b'{"payload": 1}', b"null", b"NaN"])
def test_what_is_no_enrolment_is_refused(fleet, data):
    with pytest.raises(InvalidInput, match="enrolment"):
        fleet.enrol(data)


def test_an_enrolment_that_is_too_large_is_refused_unread(fleet):
    with pytest.raises((InvalidInput, TooLarge), match="at most"):
        fleet.enrol(b"x" * ((64 << 10) + 1))


def test_the_same_key_on_two_hosts_is_refused_when_the_second_one_enrols(fleet, database, agent):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    clone = fleet.add_host(NewHost("web-08", reach="check-in"))
    fleet.enrol(agent.enrolment(fleet.invite("web-07")))
    with pytest.raises(Conflict, match="belongs to another host") as refused:
        fleet.enrol(agent.enrolment(fleet.invite("web-08")))
    assert "cloned" in str(refused.value)
    assert keys_of(database, clone) == []


def test_the_same_key_on_two_hosts_at_once_is_trusted_for_one(fleet, database, agent):
    hosts = [fleet.add_host(NewHost(f"web-{number}", reach="check-in")) for number in range(2)]
    messages = [agent.enrolment(fleet.invite(host.name)) for host in hosts]
    results = at_once([lambda data=data: fleet.enrol(data) for data in messages])
    assert sorted(type(result).__name__ for result in results) == ["AgentKey", "Conflict"]
    assert sorted(len(keys_of(database, host)) for host in hosts) == [0, 1]


def test_enrolling_anew_takes_a_new_key_and_an_invitation_made_since(fleet, database, agent, tmp_path):
    host = fleet.add_host(NewHost("web-07", reach="check-in"))
    early, late = fleet.invite("web-07"), fleet.invite("web-07")
    fleet.enrol(agent.enrolment(early))
    with pytest.raises(NotAllowed, match="another key since this token was made"):
        fleet.enrol(Agent(tmp_path / "second").enrolment(late))
    with pytest.raises(Conflict, match="this host enrolled this key before") as refused:
        fleet.enrol(agent.enrolment(fleet.invite("web-07")))
    assert "--replace" in str(refused.value)
    second = fleet.enrol(Agent(tmp_path / "third").enrolment(fleet.invite("web-07")))
    assert second.epoch == 2
    with database.reading() as session:
        assert fleet.keys.newest(session, host.id).key_id == second.key_id


def test_an_old_enrolment_again_does_not_bring_its_key_back(fleet, database, agent, tmp_path):
    host = fleet.add_host(NewHost("web-07", reach="check-in"))
    old = agent.enrolment(fleet.invite("web-07"))
    fleet.enrol(old)
    fleet.enrol(Agent(tmp_path / "second").enrolment(fleet.invite("web-07")))
    fleet.enrol(old)
    with database.reading() as session:
        assert fleet.keys.newest(session, host.id).epoch == 2
    assert len(keys_of(database, host)) == 2


def test_of_an_invitation_only_a_digest_is_stored(fleet, database):
    fleet.add_host(NewHost("web-07", reach="check-in"))
    token = wire.parse_token(fleet.invite("web-07"))
    with database.reading() as session:
        rows = session.execute(text("SELECT * FROM enrolment_token")).all()
    assert len(rows) == 1 and token.secret not in str(rows)
