"""What cannot be delivered waits, in its order and within bounds, and is delivered once the controller is there."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_agent_interrupted import KILLED
from tests.support.agents_door import AgentProcess, Answer, Door, Reply, accepting, open_door, real, said
from tests.support.web import a_controller

import verdelta_agent
from verdelta_agent import wire
from verdelta_agent.spool import Spool
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.wiring import Services

FILES = "system.files"


@pytest.fixture
def agent(tmp_path: Path) -> AgentProcess:
    return AgentProcess(tmp_path / "host")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path / "controller") as services:
        services.fleet.add_host(NewHost("web-07", reach="check-in", agent="installed"))
        yield services


def away(path: str, data: bytes) -> Reply:
    """Answer as a proxy does when there is nobody behind it."""
    return Reply(502, b"Bad Gateway")


def enrolled(agent: AgentProcess, door: Door, services: Services) -> None:
    assert agent.run("enrol", "--url", door.url, data=services.fleet.invite("web-07").encode()).returncode == 0
    agent.watch_folder()
    assert agent.run("report").returncode == 0


def kinds(door: Door) -> list[str]:
    return [message.kind for message in door.messages]


def test_audits_wait_in_their_order_and_come_before_the_next_report(agent: AgentProcess, services: Services) -> None:
    host_id = services.fleet.host_named("web-07").id
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        door.answer = away
        for night in (1, 2):
            (agent.watched / "motd").write_text(f"night {night}\n")
            assert agent.run("report").returncode == 1
        assert "Nothing changed" in said(agent.run("report"))
        (agent.watched / "motd").write_text("at last\n")
        door.answer, start = real(services), len(door.sent)
        assert agent.run("report").stdout.endswith(b": 1 sections sent\n")
        assert kinds(door)[start:] == [wire.AUDIT, wire.AUDIT, wire.CHECK_IN, wire.AUDIT]
        patches = [message.body["contents"][FILES] for message in door.messages[start : start + 2]]
    assert all(set(patch) == {"base", "set", "removed"} and len(patch["set"]) == 1 for patch in patches)
    states = services.inventory.snapshots(host_id)
    assert len(states) == 4
    assert [state.taken_at for state in states] == sorted((state.taken_at for state in states), reverse=True)
    assert Spool(str(agent.state)).waiting()[::3] == (0, 0)
    assert agent.history().pending == ()


def test_what_waits_and_what_was_dropped_is_shown(agent: AgentProcess, services: Services, monkeypatch) -> None:
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        door.answer = away
        (agent.watched / "motd").write_text("changed\n")
        done = agent.run("report")
        assert said(done).splitlines()[1] == "  The audit is kept: 1 in the spool, 0 dropped so far."
        shown = json.loads(agent.run("status", "-o", "json").stdout)
        assert (shown["spooled"], shown["dropped"], shown["controller"]) == (1, 0, door.url)
        assert shown["unanswered"] == 2  # the check-in that failed, and the audit that waits
        spool = Spool(str(agent.state))
        spool.drop(spool.names()[0])
        assert "spool       0 waiting, 1 dropped so far\n" in agent.run("status").stdout.decode()
        door.answer = real(services)
        assert agent.run("report").returncode == 0
        assert door.messages[-1].body["dropped"] == 1


def test_the_spool_is_bounded_by_number_and_by_size_and_drops_the_oldest(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("verdelta_agent.spool.MESSAGES", 5)
    spool = Spool(str(tmp_path))
    for number in range(1, 9):
        spool.add(number, b"%d" % number)
    assert [spool.read(name) for name in spool.names()] == [b"4", b"5", b"6", b"7", b"8"]
    assert spool.dropped() == 3
    monkeypatch.setattr("verdelta_agent.spool.BYTES", 100)
    spool.add(9, b"x" * 98)
    assert [spool.read(name)[:1] for name in spool.names()] == [b"7", b"8", b"x"]
    spool.add(10, b"y" * 1000)  # the newest is kept, whatever its size
    assert [spool.read(name)[:1] for name in spool.names()] == [b"y"]
    assert spool.dropped() == 9
    assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "spool", *(tmp_path / "spool").iterdir()])


def refusing(first: int, then: Answer) -> Answer:
    numbers = iter(range(1000))

    def answer(path: str, data: bytes) -> Reply:
        if next(numbers) < first:
            return Reply(409, b'{"error": "this message is older than the last one"}')
        return then(path, data)

    return answer


def test_what_the_controller_refuses_for_ever_is_dropped_and_counted(agent, services: Services) -> None:
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        door.answer = away
        for night in range(2):
            (agent.watched / "motd").write_text(f"night {night}\n")
            agent.run("report")
        door.answer = refusing(1, real(services))
        assert agent.run("report").returncode == 0
        known = services.inventory.last_known(services.fleet.host_named("web-07").id)
        assert known is not None
        assert agent.run("report").stdout.startswith(f"reported {known.root[:12]}: nothing".encode())
    assert Spool(str(agent.state)).waiting()[::3] == (0, 2)  # the second one is a patch against the first


@pytest.mark.parametrize(
    "answer",
    [
        away,
        lambda *_: Reply(None),
        lambda *_: Reply(404, b"<html>portal"),
        lambda *_: Reply(429, b'{"error": "later"}'),
    ],
    ids=["no gateway", "no answer", "a portal", "later"],
)
def test_nothing_is_dropped_by_what_is_no_word_of_the_controller(agent, services: Services, answer) -> None:
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        door.answer = away
        (agent.watched / "motd").write_text("changed\n")
        agent.run("report")
        door.answer = answer
        assert agent.run("report").returncode == 1
        assert Spool(str(agent.state)).waiting()[::3] == (1, 0)
        door.answer = real(services)
        assert agent.run("report").returncode == 0
    assert Spool(str(agent.state)).waiting()[::3] == (0, 0)


def test_another_enrolment_forgets_what_waited(agent: AgentProcess, services: Services) -> None:
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        door.answer = away
        (agent.watched / "motd").write_text("changed\n")
        agent.run("report")
        door.answer = real(services)
        token = services.fleet.invite("web-07").encode()
        assert agent.run("enrol", "--replace", "--url", door.url, data=token).returncode == 0
        assert Spool(str(agent.state)).waiting()[::3] == (0, 0)
        agent.watch_folder()
        assert agent.run("report").returncode == 0


def test_a_report_into_the_spool_and_out_of_it_killed_before_any_step_loses_nothing(
    agent: AgentProcess, services: Services, tmp_path: Path
) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text(KILLED.format(sources=str(Path(verdelta_agent.__file__).parents[1])))
    host_id = services.fleet.host_named("web-07").id
    with open_door(real(services)) as door:
        enrolled(agent, door, services)
        for step in range(1, 200):
            killed = []
            for answer in (away, real(services)):
                door.answer = answer
                (agent.watched / "motd").write_text(f"{step} {len(killed)}\n")
                command = [sys.executable, "-ISE", str(killer), str(step), "--state", str(agent.state), "report"]
                done = subprocess.run(command, capture_output=True, timeout=120, check=False)
                assert b"Traceback" not in done.stderr
                killed.append(done.returncode == -signal.SIGKILL)
            final = agent.run("report")
            assert final.returncode == 0, final.stderr
            assert Spool(str(agent.state)).waiting()[::3] == (0, 0)
            known = services.inventory.last_known(host_id)
            assert known is not None
            assert final.stdout.startswith(f"reported {known.root[:12]}: ".encode())
            if not any(killed):
                break
    assert 15 < step < 199


# -- resident


def test_a_resident_agent_reports_when_asked_and_stops_when_told(agent: AgentProcess) -> None:
    with open_door(accepting(next_poll=86400)) as door:
        agent.enrolled(door.url)
        running = agent.start("run", "--splay", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stdout is not None
        printed = running.stdout.readline()
        running.send_signal(signal.SIGHUP)
        printed += running.stdout.readline()
        assert os.getpriority(os.PRIO_PROCESS, running.pid) >= 10
        running.terminate()
        _, complained = running.communicate(timeout=60)
    assert (running.returncode, len(door.sent)) == (0, 2)
    assert printed.count(b"reported ") == 2
    assert complained == b""


def test_a_resident_agent_whose_controller_is_away_stays_and_keeps_what_it_saw(agent: AgentProcess) -> None:
    with open_door(away) as door:
        agent.enrolled(door.url)
        running = agent.start("run", "--splay", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert running.stderr is not None
        complained = running.stderr.readline() + running.stderr.readline()
        assert running.poll() is None
        running.terminate()
        printed, _ = running.communicate(timeout=60)
    assert (running.returncode, printed) == (0, b"")
    assert b"The audit is kept: 1 in the spool, 0 dropped so far." in complained
    assert len(Spool(str(agent.state)).names()) == 1


def test_a_resident_agent_of_a_host_that_never_enrolled_says_so_and_ends(agent: AgentProcess) -> None:
    done = agent.run("run")
    assert done.returncode == 1
    assert "this host is not enrolled" in said(done)
