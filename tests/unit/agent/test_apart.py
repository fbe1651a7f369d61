"""The agent goes on in a child where something mounted may fall silent, and nobody sees a difference."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from verdelta_agent import apart

SOURCES = str(Path(__file__).parents[3] / "agent/src")
LINE = "36 25 0:32 / {point} rw,relatime shared:1 - {kind} source rw\n"


@pytest.mark.parametrize(
    ("kind", "point", "silent"),
    [
        ("ext4", "/", False),
        ("overlay", "/", False),
        ("tmpfs", "/tmp", False),
        ("fusectl", "/sys/fs/fuse/connections", False),
        ("nfsd", "/proc/fs/nfsd", False),
        ("autofs", "/proc/sys/fs/binfmt_misc", False),
        ("autofs", "/home", True),
        ("fuse.sshfs", "/srv", True),
        ("fuseblk", "/media/stick", True),
        ("nfs4", "/srv", True),
        ("cifs", "/srv", True),
        ("9p", "/", True),
    ],
)
def test_only_what_another_machine_or_a_program_serves_may_fall_silent(
    kind: str, point: str, silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(LINE.format(kind="ext4", point="/") + LINE.format(kind=kind, point=point))
    monkeypatch.setattr(apart, "MOUNTINFO", str(mountinfo))
    assert apart.may_fall_silent() is silent


def test_where_nobody_says_what_is_mounted_the_agent_works_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MOUNTINFO", "/nonexistent")
    assert apart.may_fall_silent() is False


ASIDE = """
import os, signal, sys, time
sys.path.insert(0, {sources!r})
from verdelta_agent import apart
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)  # whatever those who run the tests have ignored
end = apart.step_aside()
{work}
"""


def aside(work: str) -> "subprocess.Popen[bytes]":
    program = ASIDE.format(sources=SOURCES, work=work)
    return subprocess.Popen([sys.executable, "-ISE", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_output_and_exit_code_are_the_childs() -> None:
    process = aside("print('seen', flush=True); end(3)")
    assert process.communicate(timeout=60) == (b"seen\n", b"")
    assert process.returncode == 3


@pytest.mark.parametrize(("work", "code"), [("os.kill(os.getpid(), signal.SIGKILL)", 137), ("os._exit(5)", 5)])
def test_a_child_that_ends_without_a_word_is_no_success(work: str, code: int) -> None:
    process = aside(work)
    process.communicate(timeout=60)
    assert process.returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_ends_the_agent_ends_the_child(number: signal.Signals) -> None:
    process = aside("print('here', flush=True); time.sleep(3600)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.send_signal(number)
    assert process.communicate(timeout=60) == (b"", b"")  # which it would not see the end of while the child is there
    assert process.returncode in (128 + number, -number)
