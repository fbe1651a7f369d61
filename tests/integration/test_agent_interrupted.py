"""The agent killed before each of its steps, as by a power cut: the same command again always goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agents_door import AgentProcess, Door, open_door, real, said
from tests.support.web import a_controller

import verdelta_agent
from verdelta_agent import wire
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.wiring import Services

# Ends the process, without any farewell, before its step number STEP: a file made, replaced or removed, a command run,
# something sent or received.
KILLED = """
import http.client, os, signal, subprocess, sys
sys.path.insert(0, {sources!r})
from verdelta_agent import cli
cli.SECTIONS = tuple(c for c in cli.SECTIONS if c.name in ("system.host", "system.files"))
left = int(sys.argv.pop(1))

def counted(step, counts=lambda *arguments: True):
    def run(*arguments, **options):
        global left
        if counts(*arguments):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)
    return run

os.open = counted(os.open, lambda path, flags, *mode: flags & os.O_CREAT)
for name in ("rename", "unlink", "fsync", "mkdir", "chmod"):
    setattr(os, name, counted(getattr(os, name)))
for name in ("connect", "send", "getresponse", "close"):
    setattr(http.client.HTTPConnection, name, counted(getattr(http.client.HTTPConnection, name)))
subprocess.run = counted(subprocess.run)
status = cli.main()
sys.stdout.flush()
counted(lambda: None)()
sys.exit(status)
"""

STEPS = 100  # more than any command has


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path / "controller") as services:
        yield services


@pytest.fixture
def door(services: Services) -> Iterator[Door]:
    with open_door(real(services)) as door:
        yield door


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("killer") / "agent.py"
    path.write_text(KILLED.format(sources=str(Path(verdelta_agent.__file__).parents[1])))
    return path


def killed(killer: Path, agent: AgentProcess, step: int, *arguments: str, data: bytes = b"") -> bool:
    """Run a command that is killed before one of its steps; return False when it has no such step."""
    command = [sys.executable, "-ISE", str(killer), str(step), "--state", str(agent.state), *arguments]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
    if done.returncode == -signal.SIGKILL:
        return True
    assert done.returncode == 0, done.stderr
    return False


def host(services: Services, folder: Path, name: str) -> AgentProcess:
    services.fleet.add_host(NewHost(name, reach="check-in", agent="installed"))
    return AgentProcess(folder / name)


def assert_reports(agent: AgentProcess, services: Services, name: str) -> None:
    """Check that a host is in good standing: it reports, and the controller knows what it looks like."""
    agent.watch_folder()
    done = agent.run("report")
    assert done.returncode == 0, done.stderr
    assert agent.history().pending == ()
    known = services.inventory.last_known(services.fleet.host_named(name).id)
    assert known is not None
    assert done.stdout.startswith(f"reported {known.root[:12]}: ".encode())


def test_an_enrolment_killed_before_any_step_is_finished_by_the_same_command(services, door, killer, tmp_path) -> None:
    steps = []
    for step in range(1, STEPS):
        name = f"web-{step}"
        agent = host(services, tmp_path, name)
        token = services.fleet.invite(name).encode()
        command = ("enrol", "--url", door.url)
        was_killed = killed(killer, agent, step, *command, data=token)
        again = agent.run(*command, data=token)
        assert again.returncode == 0 or "enrolled as" in said(again)
        assert_reports(agent, services, name)
        if not was_killed:
            break
        steps.append(again.returncode)
    assert len(steps) > 10  # there were so many steps to be killed before
    assert 2 in steps  # the last of them when all was done


def test_another_enrolment_killed_before_any_step_is_finished_by_the_same_command(
    services, door, killer, tmp_path
) -> None:
    agent = host(services, tmp_path, "web-07")
    agent.run("enrol", "--url", door.url, data=services.fleet.invite("web-07").encode())
    for step in range(1, STEPS):
        token = services.fleet.invite("web-07")
        command = ("enrol", "--replace", "--url", door.url)
        was_killed = killed(killer, agent, step, *command, data=token.encode())
        if not was_killed:
            break
        if f'"epoch": {wire.parse_token(token).epoch},' not in _text(agent, "identity.json"):
            again = agent.run(*command, data=token.encode())
            assert again.returncode == 0, said(again)
        assert_reports(agent, services, "web-07")
    assert 10 < step < STEPS


def test_a_report_killed_before_any_step_is_made_good_by_the_next_one(services, door, killer, tmp_path) -> None:
    agent = host(services, tmp_path, "web-07")
    agent.run("enrol", "--url", door.url, data=services.fleet.invite("web-07").encode())
    assert_reports(agent, services, "web-07")
    for step in range(1, STEPS):
        (agent.watched / f"new-{step}").touch()
        was_killed = killed(killer, agent, step, "report")
        (agent.watched / "motd").write_text(f"after step {step}\n")
        assert_reports(agent, services, "web-07")
        if not was_killed:
            break
    assert 15 < step < STEPS


def test_an_audit_killed_before_any_step_is_made_good_by_the_next_report(services, door, killer, tmp_path) -> None:
    agent = host(services, tmp_path, "web-07")
    agent.run("enrol", "--url", door.url, data=services.fleet.invite("web-07").encode())
    agent.watch_folder()
    for step in range(1, STEPS):
        (agent.watched / f"new-{step}").touch()
        was_killed = killed(killer, agent, step, "audit")
        if not was_killed:
            break
    assert 5 < step < STEPS
    assert_reports(agent, services, "web-07")


def test_reports_killed_at_any_moment_leave_a_host_that_reports(services, door, tmp_path) -> None:
    agent = host(services, tmp_path, "web-07")
    agent.run("enrol", "--url", door.url, data=services.fleet.invite("web-07").encode())
    agent.watch_folder()
    for attempt in range(20):
        (agent.watched / "motd").write_text(f"attempt {attempt}\n")
        run = agent.start("report", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05 + attempt * 0.023)
        run.kill()
        run.wait()
    assert_reports(agent, services, "web-07")


def _text(agent: AgentProcess, name: str) -> str:
    path = agent.state / name
    return path.read_text() if os.path.exists(path) else ""
