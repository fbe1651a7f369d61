"""Messages of agents are taken in once, in order, wholly or not at all; on both databases, and really signed."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.agents import Agent, Said, failed, packages, root_of
from tests.support.concurrently import at_once

from verdelta_agent import model, wire
from verdelta_agent.model import Section
from verdelta_controller.fleet.rules import NewHost
from verdelta_controller.fleet.service import FleetService
from verdelta_controller.foundation.database import Database
from verdelta_controller.foundation.errors import InvalidInput, NotAuthenticated, NotFound, TooLarge
from verdelta_controller.foundation.evidence import EvidenceLog
from verdelta_controller.foundation.signing import BadSignature, SigningKey, Vault
from verdelta_controller.inventory.rules import Forked, Replayed, WrongAudience, WrongEpoch, WrongHost
from verdelta_controller.inventory.service import InventoryService, StaleAudit, TakenIn

LOG = EvidenceLog(SigningKey(b"k" * 32), "verdelta.example/log")
AUDIENCE = "a" * 32
LIMIT = 4 << 20

A: Said = {"software.dpkg": packages(3), "system.users": {"root": {"uid": 0}}}
B: Said = {"software.dpkg": packages(3, "1.1"), "system.users": {"root": {"uid": 0}}}


class Controller:
    """The part of a controller that takes messages in."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.database = Database(url)
        self.database.migrate()
        self.fleet = FleetService(self.database, LOG, Vault(b"v" * 32), AUDIENCE)
        self.inventory = InventoryService(self.database, self.fleet, LOG, LIMIT)

    def agent(self, name: str) -> Agent:
        """Return the agent of a new host, enrolled."""
        self.fleet.add_host(NewHost(name, reach="check-in"))
        agent = Agent(self.folder / name)
        self.enrol(name, agent)
        return agent

    def enrol(self, name: str, agent: Agent) -> None:
        agent.heard(self.fleet.enrol(agent.enrolment(self.fleet.invite(name))).last_digest)

    def take(self, agent: Agent, data: bytes, challenge: str | None = None) -> TakenIn:
        """Take a message in, and let the agent hear of it."""
        taken = self.inventory.take_in(data, challenge)
        agent.heard(taken.digest)
        return taken

    def count(self, table: str) -> int:
        with self.database.reading() as session:
            (count,) = session.execute(text(f"SELECT count(*) FROM {table}")).one()  # noqa: S608 - named by the tests
        return int(count)

    def counts(self) -> dict[str, int]:
        return {table: self.count(table) for table in ("snapshot", "section_content", "envelope", "evidence_entry")}


@pytest.fixture
def controller(database_url: str, tmp_path: Path) -> Iterator[Controller]:
    controller = Controller(database_url, tmp_path)
    yield controller
    controller.database.close()


@pytest.fixture
def agent(controller: Controller) -> Agent:
    return controller.agent("web-07")


# -- digests first


def test_a_first_check_in_is_asked_for_every_section_and_the_audit_brings_them(controller, agent):
    first = controller.take(agent, agent.check_in(A))
    assert (first.unknown, first.known, first.snapshot) == (["software.dpkg", "system.users"], {}, None)
    taken = controller.take(agent, agent.audit(A))
    assert taken.unknown == [] and taken.snapshot is not None
    sections = controller.inventory.sections_of(taken.snapshot)
    assert {name: section.rows for name, section in sections.items()} == A


def test_a_night_without_a_change_costs_one_small_message_and_no_new_state(controller, agent):
    controller.take(agent, agent.audit(A))
    before, known = controller.counts(), controller.inventory.last_known(agent.identity.host_id)
    data = agent.check_in(A)
    taken = controller.take(agent, data)
    assert (taken.unknown, taken.known) == ([], {})
    after = controller.counts()
    assert (after["snapshot"], after["section_content"]) == (before["snapshot"], before["section_content"])
    assert after["envelope"] - before["envelope"] == after["evidence_entry"] - before["evidence_entry"] == 1
    assert len(data) < 1600
    assert taken.snapshot is not None and known is not None
    assert taken.snapshot.id == known.id and taken.snapshot.confirmed_at > known.confirmed_at
    assert taken.snapshot.confirmed_by == taken.digest and taken.snapshot.envelope_digest == known.envelope_digest


def test_a_change_is_sent_as_a_patch_of_what_is_known(controller, agent):
    controller.take(agent, agent.audit(A))
    asked = controller.take(agent, agent.check_in(B))
    base = model.rows_digest(A["software.dpkg"])
    assert (asked.unknown, asked.known) == (["software.dpkg"], {"software.dpkg": base})
    taken = controller.take(agent, agent.audit(B, {"software.dpkg": A["software.dpkg"]}))
    assert taken.snapshot is not None
    assert controller.inventory.sections_of(taken.snapshot)["software.dpkg"].rows == B["software.dpkg"]


def test_what_another_host_brought_is_not_asked_for_again(controller, agent):
    controller.take(agent, agent.audit(A))
    other = controller.agent("web-08")
    taken = controller.take(other, other.check_in(A))
    assert taken.unknown == [] and taken.snapshot is not None
    assert controller.count("section_content") == 2 and controller.count("snapshot") == 2
    assert {n: s.rows for n, s in controller.inventory.sections_of(taken.snapshot).items()} == A


def test_a_state_that_comes_back_is_a_state_of_its_own(controller, agent):
    for said in (A, B, A):
        controller.take(agent, agent.audit(said))
        controller.take(agent, agent.check_in(said))
    roots = [snapshot.root for snapshot in controller.inventory.snapshots(agent.identity.host_id)]
    assert len(roots) == 3 and roots[0] == roots[2] != roots[1]
    assert controller.count("section_content") == 3


def test_a_section_without_rows_is_known_without_being_sent(controller, agent):
    said = {"software.rpm": Section("absent", {}, {}), "software.pip": {}, "system.users": failed()}
    taken = controller.take(agent, agent.check_in(said))
    assert taken.unknown == [] and taken.snapshot is not None
    sections = controller.inventory.sections_of(taken.snapshot)
    assert {n: (s.status, s.rows, s.error) for n, s in sections.items()} == {
        "software.rpm": ("absent", {}, None),
        "software.pip": ("ok", {}, None),
        "system.users": ("failed", {}, "permission: denied"),
    }


def test_volatile_values_are_kept_with_the_newest_state_and_make_no_new_one(controller, agent):
    def said(free: int) -> Said:
        return {"system.mounts": Section("ok", {"/": {"fstype": "ext4"}}, {"/": {"free": free}})}

    controller.take(agent, agent.audit(said(1)))
    controller.take(agent, agent.audit(said(2)))
    (known,) = controller.inventory.snapshots(agent.identity.host_id)
    assert known.volatile == {"system.mounts": {"/": {"free": 2}}}


# -- what is not taken


def test_rows_that_are_neither_known_nor_sent_are_missed(controller, agent):
    body = agent.audit({"software.dpkg": {}})
    assert controller.take(agent, body).unknown == []
    with pytest.raises(InvalidInput, match=r"the rows of software\.dpkg are neither known nor in it"):
        controller.take(agent, agent.audit(A, contents={"system.users": {"rows": A["system.users"]}}))
    assert controller.count("section_content") == 0


def test_a_patch_of_a_state_that_nobody_sent_is_refused(controller, agent):
    with pytest.raises(InvalidInput, match="a patch against a state that is not known here"):
        controller.take(agent, agent.audit(B, {"software.dpkg": A["software.dpkg"]}))
    assert controller.counts()["snapshot"] == 0


def test_rows_are_held_against_the_digest_that_was_signed(controller, agent):
    with pytest.raises(InvalidInput, match="do not have the digest that the message gives"):
        controller.take(agent, agent.audit(A, contents={"software.dpkg": {"rows": packages(2)}}))
    with pytest.raises(InvalidInput, match="the root is not the digest"):
        controller.take(agent, agent.audit(A, root="0" * 64))
    with pytest.raises(InvalidInput, match=r"rows of system\.groups, which the snapshot does not have"):
        controller.take(agent, agent.audit(A, contents={"system.groups": {"rows": {}}}))


def test_a_refused_message_changes_nothing_and_the_next_one_is_taken(controller, agent):
    controller.take(agent, agent.audit(A))
    before = controller.counts()
    with pytest.raises(InvalidInput):
        controller.inventory.take_in(agent.audit(B, root="0" * 64))
    assert controller.counts() == before
    assert controller.take(agent, agent.audit(B)).snapshot is not None


def test_more_than_is_taken_is_refused_unread(controller, monkeypatch):
    monkeypatch.setattr("verdelta_controller.inventory.messages.open_envelope", lambda _: pytest.fail("it was read"))
    with pytest.raises(TooLarge, match=f"a message of {LIMIT + 1} bytes; at most {LIMIT}"):
        controller.inventory.take_in(b"x" * (LIMIT + 1))


@pytest.mark.parametrize("data", [b"", b"null", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_message_is_refused(controller, data):
    with pytest.raises(InvalidInput):
        controller.inventory.take_in(data)


def test_an_unknown_key_is_not_known_whatever_it_is_called(controller, agent, tmp_path):
    stranger = Agent(tmp_path / "stranger")
    stranger.identity = agent.identity
    for data in (
        stranger.audit(A),
        *(wire.encode_envelope(wire.Envelope(b"{}", name, b"x")) for name in ("", "\0", "' OR 1=1", "\N{SNOWMAN}")),
    ):
        with pytest.raises((NotAuthenticated, InvalidInput)):
            controller.inventory.take_in(data)


def test_nothing_is_parsed_whose_signature_does_not_hold(controller, agent, monkeypatch):
    monkeypatch.setattr("verdelta_controller.inventory.messages.read_message", lambda _: pytest.fail("it was parsed"))
    envelope = wire.decode_envelope(agent.audit(A))
    for changed in (
        envelope._replace(payload=envelope.payload.replace(b"package-0000", b"package-9999")),
        envelope._replace(payload=b"[" * 1_000_000),
        envelope._replace(signature=b""),
        envelope._replace(signature=envelope.signature[:-1] + bytes([envelope.signature[-1] ^ 1])),
    ):
        with pytest.raises(BadSignature):
            controller.inventory.take_in(wire.encode_envelope(changed))


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"audience": "b" * 32}, WrongAudience),
        ({"host_id": "0" * 32}, WrongHost),
        ({"host_id": "\0"}, WrongHost),
        ({"epoch": 2}, WrongEpoch),
        ({"epoch": 0}, WrongEpoch),
        ({"sequence": 0}, InvalidInput),
        ({"sequence": 2**63}, InvalidInput),
        ({"kind": "enrol"}, InvalidInput),
        ({"kind": "reboot"}, InvalidInput),
    ],
)
def test_a_message_speaks_for_its_own_host_to_this_controller(controller, agent, other, error):
    controller.take(agent, agent.audit(A))
    body = json.loads(wire.decode_envelope(agent.check_in(A)).payload)["body"]
    with pytest.raises(error):
        controller.inventory.take_in(agent.message(wire.CHECK_IN, body, **other))


def test_the_largest_number_that_is_counted_to_is_kept(controller, agent):
    body = json.loads(wire.decode_envelope(agent.check_in({})).payload)["body"]
    assert controller.inventory.take_in(agent.message(wire.CHECK_IN, body, sequence=2**63 - 1)).unknown == []


def test_a_host_that_nobody_enrolled_is_asked_for_nothing(controller):
    host = controller.fleet.add_host(NewHost("web-08", reach="check-in"))
    with pytest.raises(NotFound, match="not enrolled"):
        controller.inventory.request_for(host.id, "c", None)


# -- order


def test_the_same_message_again_has_no_second_effect_and_the_same_answer(controller, agent):
    data = agent.check_in(A)
    first = controller.inventory.take_in(data)
    before = controller.counts()
    again = controller.inventory.take_in(data)
    assert (again.digest, again.unknown, again.known) == (first.digest, first.unknown, first.known)
    assert controller.counts() == before
    audit = agent.audit(A)
    one, other = controller.inventory.take_in(audit), controller.inventory.take_in(audit)
    assert one.snapshot is not None and other.snapshot is not None and one.snapshot.id == other.snapshot.id


def test_the_same_message_several_times_at_once_has_one_effect(controller, agent):
    data = agent.audit(A)
    results = at_once([lambda: controller.inventory.take_in(data)] * 4)
    assert [getattr(result, "unknown", result) for result in results] == [[]] * 4
    assert controller.counts() == {"snapshot": 1, "section_content": 2, "envelope": 1, "evidence_entry": 3}


def test_an_old_message_is_refused(controller, agent):
    old = agent.audit(A)
    controller.take(agent, old)
    controller.take(agent, agent.audit(B))
    before = controller.counts()
    with pytest.raises(Replayed):
        controller.inventory.take_in(old)
    assert controller.counts() == before
    assert controller.take(agent, agent.check_in(B)).unknown == []


def test_messages_whose_answers_were_lost_may_come_late_or_never(controller, agent):
    first, second, third = agent.check_in(A), agent.check_in(A), agent.audit(A)
    controller.inventory.take_in(second)
    with pytest.raises(Replayed):
        controller.inventory.take_in(first)
    assert controller.take(agent, third).snapshot is not None


def test_two_machines_with_one_key_are_noticed_and_neither_is_believed_any_more(controller, agent):
    controller.take(agent, agent.audit(A))
    twin = agent.copy()
    controller.take(agent, agent.audit(B))
    before = controller.counts()
    with pytest.raises(Forked, match="two machines hold the identity"):
        controller.inventory.take_in(twin.audit(A))
    with pytest.raises(Forked):
        controller.inventory.take_in(agent.check_in(B))
    after = controller.counts()
    assert after["evidence_entry"] == before["evidence_entry"] + 1  # the fork itself, once
    assert {**after, "evidence_entry": 0} == {**before, "evidence_entry": 0}
    controller.enrol("web-07", fresh := Agent(controller.folder / "fresh"))
    assert controller.take(fresh, fresh.check_in(B)).unknown == []


def test_of_two_machines_with_one_key_that_report_at_once_one_is_believed(controller, agent):
    controller.take(agent, agent.audit(A))
    twin = agent.copy()
    messages = [agent.audit(A), twin.audit(B)]
    results = at_once([lambda data=data: controller.inventory.take_in(data) for data in messages])
    assert sorted(type(result).__name__ for result in results) == ["Forked", "TakenIn"]


def test_a_key_of_an_earlier_enrolment_does_not_speak_for_its_host_any_more(controller, agent):
    controller.take(agent, agent.audit(A))
    late = agent.audit(B)
    controller.enrol("web-07", fresh := Agent(controller.folder / "fresh"))
    with pytest.raises(WrongEpoch):
        controller.inventory.take_in(late)
    body = json.loads(wire.decode_envelope(late).payload)["body"]
    with pytest.raises(WrongEpoch):  # nor does it by calling itself the newer one
        controller.inventory.take_in(agent.message(wire.AUDIT, body, epoch=2, sequence=2))
    known = controller.inventory.last_known(agent.identity.host_id)
    assert known is not None and known.root == root_of(A)
    assert controller.take(fresh, fresh.audit(B)).snapshot is not None


def test_an_audit_answers_the_request_that_was_made(controller, agent):
    with pytest.raises(StaleAudit):
        controller.inventory.take_in(agent.audit(A, challenge="yesterday's"), "today's")
    assert controller.counts()["snapshot"] == 0
    assert controller.take(agent, agent.audit(A, challenge="today's"), "today's").snapshot is not None


# -- deltas


def test_a_delta_says_what_changed_and_what_cannot_be_known(controller, agent):
    first = controller.take(agent, agent.audit({**A, "hardware.cpu": {"0": {"model": "x"}}})).snapshot
    now = {"software.dpkg": failed(), "system.users": {"root": {"uid": 0}, "eve": {"uid": 0}}, "system.groups": {}}
    second = controller.take(agent, agent.audit(now)).snapshot
    assert first is not None and second is not None
    for before, after in ((first, second), (second, first)):
        delta = controller.inventory.compare(before, after)
        assert delta.unknown == ["hardware.cpu", "software.dpkg", "system.groups"]  # never: all removed, all added
        assert [(change.section, change.key) for change in delta.changes] == [("system.users", "eve")]
    assert controller.inventory.compare(first, first).changes == []


# -- many at once, and power cuts


def test_messages_of_many_hosts_at_once_are_all_taken_in_and_what_they_share_is_kept_once(controller):
    hosts, rounds = 8, 3
    agents = [controller.agent(f"web-{number}") for number in range(hosts)]
    for number in range(rounds):
        shared = packages(50, f"{number}.0")
        messages = [
            agent.audit({"software.dpkg": shared, "system.users": {f"user-{number}-{mine}": {"uid": 0}}})
            for mine, agent in enumerate(agents)
        ]
        results = at_once([lambda data=data: controller.inventory.take_in(data) for data in messages])
        assert [getattr(result, "unknown", result) for result in results] == [[]] * hosts
        for agent, taken in zip(agents, results, strict=True):
            agent.heard(taken.digest)
    assert controller.count("snapshot") == controller.count("envelope") == hosts * rounds
    assert controller.count("section_content") == rounds * (hosts + 1)
    with controller.database.reading() as session:
        assert LOG.size(session) == controller.count("evidence_entry") == hosts * (rounds + 2)


STEPS = ("INSERT INTO section_content", "UPDATE agent_key", "INSERT INTO envelope", "INSERT INTO evidence_entry",
         "UPDATE evidence_head", "INSERT INTO snapshot", "COMMIT", "after")  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_controller_that_is_killed_while_it_takes_a_message_in_has_all_of_it_or_nothing(tmp_path, step):
    url = f"sqlite:///{tmp_path / 'controller.sqlite'}"
    controller = Controller(url, tmp_path)
    agent = controller.agent("web-07")
    controller.take(agent, agent.audit(A))
    before = controller.counts()
    data = agent.audit(B)
    (tmp_path / "message").write_bytes(data)
    controller.database.close()

    program = f"""
        import os, pathlib, sys
        from sqlalchemy import event
        from tests.integration.controller.test_taking_in import Controller
        folder = pathlib.Path({str(tmp_path)!r})
        controller = Controller({url!r}, folder)
        step = {step!r}

        def die(*_):
            os.kill(os.getpid(), 9)

        def watch(connection, cursor, statement, *_):
            if statement.startswith(step):
                die()

        event.listen(controller.database.engine, "after_cursor_execute", watch)
        if step == "COMMIT":
            event.listen(controller.database.engine, "commit", die)
        controller.inventory.take_in((folder / "message").read_bytes())
        die()
        """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    controller = Controller(url, tmp_path)
    grown = {table: count - before[table] for table, count in controller.counts().items()}
    whole = step == "after"
    assert grown == dict.fromkeys(before, 1 if whole else 0)
    taken = controller.inventory.take_in(data)  # the agent says it again, because it got no answer
    assert taken.snapshot is not None
    assert {t: count - before[t] for t, count in controller.counts().items()} == dict.fromkeys(before, 1)
    with controller.database.reading() as session:
        assert LOG.size(session) == controller.count("evidence_entry")
    controller.database.close()


# -- the real agent


def agent_command(folder: Path, *arguments: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "verdelta_agent", "--state", str(folder), *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


def test_the_real_agent_enrols_audits_this_machine_and_sends_patches(controller, tmp_path):
    host = controller.fleet.add_host(NewHost("this-machine", reach="check-in"))
    watched = tmp_path / "watched"
    watched.mkdir()
    token = controller.fleet.invite("this-machine").encode()
    enrolled = agent_command(tmp_path / "state", "enrol", "--print", "--watch", str(watched), data=token)
    assert enrolled.returncode == 0, enrolled.stderr.decode()
    controller.fleet.enrol(enrolled.stdout.strip())

    def audit() -> TakenIn:
        request = controller.inventory.request_for(host.id, "challenge", None)
        done = agent_command(tmp_path / "state", "audit", "--request", "-", data=wire.encode_request(request))
        assert done.returncode == 0, done.stderr.decode()
        return controller.inventory.take_in(done.stdout.strip(), "challenge")

    first = audit()
    assert first.snapshot is not None and "ok" in {section[0] for section in first.snapshot.sections.values()}
    (watched / "new").write_text("something")
    contents = controller.count("section_content")
    second = audit()
    assert second.snapshot is not None
    delta = controller.inventory.compare(first.snapshot, second.snapshot)
    assert str(watched / "new") in {change.key for change in delta.changes if change.section == "system.files"}
    assert controller.count("section_content") - contents <= 3  # not all sections over again
    stored = json.loads(wire.decode_envelope(controller.inventory.envelope(second.digest)).payload)
    assert "base" in stored["body"]["contents"]["system.files"]
