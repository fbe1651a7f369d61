"""Real Ansible on this machine: what it is told, what it tells, and what it leaves behind, which is nothing."""

import getpass
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.rollouts.installers import ansible
from verdelta_controller.rollouts.installers.ansible import Play, RunFailed, Target, Waiting
from verdelta_controller.rollouts.installers.listener import Step

ROOT = Path(__file__).parents[2]
SECRET = "a-private-key-that-nobody-may-see"
HERE = Target("here", {"ansible_connection": "local", "ansible_python_interpreter": sys.executable})


def play(tmp_path: Path, text: str, **variables: object) -> Play:
    """Return a play of a playbook with this text."""
    source = tmp_path / "source"
    source.write_text(text)
    return Play(source, "release.yml", variables, forks=2)


def tasks(*lines: str) -> str:
    """Return a playbook of these tasks."""
    return "- hosts: all\n  gather_facts: false\n  tasks:\n" + "".join(f"    - {line}\n" for line in lines)


def gone(path: Path, patience: float = 20) -> bool:
    """Return whether a directory goes within some seconds: Ansible's own way out takes a moment."""
    deadline = time.monotonic() + patience
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


def test_nothing_is_done_before_the_hosts_are_handed_over(tmp_path: Path) -> None:
    made = tmp_path / "made"
    waiting = Waiting(play(tmp_path, tasks(f"ansible.builtin.file: {{path: {made}, state: touch}}")), tmp_path / "run")
    time.sleep(3)  # Ansible is up and waits at the gate
    assert not made.exists()
    steps: list[Step] = []
    outcome = waiting.go([HERE], steps.append, lambda: False)
    assert outcome.hosts == {"here": "ok"}
    assert made.exists()
    assert [(step.host, step.kind) for step in steps][-1] == ("here", "changed")
    assert set(outcome.ended_at) == {"here"}
    assert gone(tmp_path / "run")


def test_a_play_that_is_abandoned_did_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    Waiting(play(tmp_path, tasks(f"ansible.builtin.file: {{path: {made}, state: touch}}")), tmp_path / "run").abandon()
    assert gone(tmp_path / "run")
    assert not made.exists()


def test_a_host_that_fails_is_told_from_one_that_does_not_and_says_why(tmp_path: Path) -> None:
    text = tasks("{ansible.builtin.fail: {msg: not on this one}, when: inventory_hostname == 'there'}")
    waiting = Waiting(play(tmp_path, text), tmp_path / "run")
    outcome = waiting.go([HERE, Target("there", HERE.variables)], lambda step: None, lambda: False)
    assert outcome.hosts == {"here": "ok", "there": "failed"}
    assert "not on this one" in outcome.errors["there"]


@pytest.mark.parametrize("text", ["- hosts: [", "hello", "", "- hosts: all\n  tasks:\n    - no_such_module: {}\n"])
def test_a_playbook_that_is_none_fails_with_what_ansible_says(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunFailed, match=r"release.yml could not be run"):
        Waiting(play(tmp_path, text), tmp_path / "run").go([HERE], lambda step: None, lambda: False)
    assert gone(tmp_path / "run")


def test_no_value_is_ever_a_template_on_the_controller(tmp_path: Path) -> None:
    bait, trap = tmp_path / "pwned", "{{ lookup('pipe', 'touch %s') }}"
    hostile = {**HERE.variables, "from_host": trap % bait}
    show = tasks(
        f"ansible.builtin.copy: {{content: '{{{{ from_host }}}} {{{{ given.deep[0] }}}}', dest: {tmp_path}/out}}"
    )
    waiting = Waiting(play(tmp_path, show, given={"deep": [trap % bait]}), tmp_path / "run")
    outcome = waiting.go([Target("here", hostile)], lambda step: None, lambda: False)
    assert outcome.hosts == {"here": "ok"}
    assert (tmp_path / "out").read_text() == f"{trap % bait} {trap % bait}"
    assert not bait.exists()


def test_a_key_lies_in_a_private_directory_while_it_is_used_and_nowhere_afterwards(tmp_path: Path) -> None:
    text = tasks("ansible.builtin.command: sleep 2")
    waiting = Waiting(play(tmp_path, text), tmp_path / "run")
    seen: list[tuple[int, str]] = []

    def look(step: Step) -> None:
        keys = (tmp_path / "run").rglob("key-*")
        seen.extend((path.stat().st_mode & 0o777, path.read_text()) for path in keys)
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            assert SECRET.encode() not in told

    target = Target("here", {**HERE.variables, "ansible_host": "127.0.0.1", "host_key": "ssh-ed25519 AAAA"}, SECRET)
    waiting.go([target], look, lambda: False)
    assert seen and set(seen) == {(0o600, SECRET)}
    assert gone(tmp_path / "run")


def test_a_cancelled_play_ends_and_its_hosts_are_not_called_ok(tmp_path: Path) -> None:
    waiting = Waiting(play(tmp_path, tasks("ansible.builtin.command: sleep 60")), tmp_path / "run")
    stop = threading.Event()
    outcome = waiting.go([HERE], lambda step: stop.set(), stop.is_set)
    assert outcome.status == "canceled"
    assert outcome.hosts == {"here": "not reached"}


def test_what_a_killed_controller_left_running_is_ended_by_the_next_one(tmp_path: Path) -> None:
    scratch = tmp_path / "run"
    program = f"""
import sys
from pathlib import Path
from tests.integration.test_ansible_runs import HERE, play, tasks
from verdelta_controller.rollouts.installers.ansible import Waiting
waiting = Waiting(play(Path({str(tmp_path)!r}), tasks("ansible.builtin.command: sleep 60")), Path({str(scratch)!r}))
waiting.go([HERE], lambda step: print(step.kind, flush=True), lambda: False)
"""
    controller = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert controller.stdout is not None
    with controller.stdout:
        assert controller.stdout.readline() == "started\n"
        controller.kill()
        controller.wait()
    ansible.stop_survivors(scratch)
    deadline = time.monotonic() + 10
    while survivors := [path for path in Path("/proc").glob("[0-9]*/cmdline") if _names(path, scratch)]:
        assert time.monotonic() < deadline, [path.read_bytes() for path in survivors]
        time.sleep(0.1)
    assert list(scratch.glob("*")) == []


def _names(path: Path, scratch: Path) -> bool:
    try:
        return os.fsencode(str(scratch)) in path.read_bytes()
    except OSError:
        return False


@pytest.mark.skipif(getpass.getuser() != "root", reason="only root can make another user's directory")
def test_a_directory_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    scratch = tmp_path / "run"
    scratch.mkdir()
    os.chown(scratch, 65534, 65534)
    with pytest.raises(InvalidInput, match="private directory"):
        Waiting(play(tmp_path, tasks()), scratch)
