"""The command as a process: a controller on a port of its own, a client that asks it, and their ends."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine

COMMAND = [sys.executable, "-m", "verdelta_controller"]
MANIFEST = """\
release: labapp
version: "1.1"
type: minor
service: lab
components:
  - {kind: in-house-application, name: labapp, manager: file, version: "1.1", artifact: labapp.py}
install: {playbook: deploy_files.yml, with: {destination: /opt/labapp}}
changes:
  - {section: system.files, key: /opt/labapp/labapp.py, after: any}
"""


class Machine:
    """A home directory, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VERDELTA_")},
            "XDG_CONFIG_HOME": str(folder / "config"),
            "VERDELTA_STATE": str(folder / "state"),
            "COLUMNS": "100",
        }

    def verdelta(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run `verdelta …`."""
        words = [*COMMAND, *map(str, arguments)]
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    @contextmanager
    def serving(self, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
        """Run `verdelta serve`; it is up when this begins, and its address is in the environment."""
        words = [*COMMAND, "serve", "--port", "0", *arguments]
        server = subprocess.Popen(
            words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.search(r"https?://\S+", line)
            assert found is not None, line
            self.environment["VERDELTA_URL"] = found[0]
            yield server
        finally:
            server.kill()
            server.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which `verdelta init` was called."""
    assert CommandLine(tmp_path)("init", "--policy", "one-person").exit_code == 0
    return Machine(tmp_path)


def test_from_nothing_to_a_release_and_a_clean_end(machine: Machine, tmp_path: Path):
    (tmp_path / "release.yaml").write_text(MANIFEST)
    (tmp_path / "labapp.py").write_bytes(os.urandom(3 << 20))

    with machine.serving() as server:
        added = machine.verdelta("host", "add", "h1", "--reach", "check-in")
        built = machine.verdelta("release", "build", tmp_path)
        machine.verdelta("release", "authorise", "labapp", "1.1", "--yes")
        (tmp_path / "labapp.py").write_text("other")
        other = machine.verdelta("release", "build", tmp_path, "--update-lock")
        audited = machine.verdelta("audit", "h1")
        twice = machine.verdelta("serve", "--port", "0")
        server.send_signal(signal.SIGTERM)
        out, log = server.communicate(timeout=30)

    assert (added.returncode, built.returncode) == (0, 0), added.stderr + built.stderr
    assert "labapp.py  3.0 MiB  brought in" in built.stdout
    assert other.returncode == 2 and "exists with other content" in other.stderr
    assert audited.returncode == 1 and "its agent calls the controller" in audited.stderr
    assert twice.returncode == 1
    assert twice.stderr.splitlines()[0] == f"another controller runs on {tmp_path}/state"
    assert server.returncode == 0
    assert out == ""
    assert all(json.loads(line)["level"] for line in log.splitlines())


def test_ctrl_c_ends_the_controller_cleanly_and_then_nobody_answers(machine: Machine):
    with machine.serving() as server:
        assert machine.verdelta("host", "list").returncode == 0
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0

    gone = machine.verdelta("host", "list")
    assert gone.returncode == 1
    assert gone.stderr == (
        f"no controller answers at {machine.environment['VERDELTA_URL']}\n  Start it: verdelta serve\n"
    )


def test_off_loopback_it_speaks_tls_and_the_client_insists_on_its_ca(machine: Machine, tmp_path: Path):
    with machine.serving("--listen", "0.0.0.0", "--url", "https://deploy.example.org:8470"):
        assert machine.environment["VERDELTA_URL"].startswith("https://127.0.0.1:")
        trusted = machine.verdelta("host", "list")
        machine.environment["VERDELTA_CA"] = "/etc/ssl/certs/ca-certificates.crt"
        distrusted = machine.verdelta("host", "list")
        machine.environment["VERDELTA_CA"] = str(tmp_path / "nosuch.pem")
        without = machine.verdelta("host", "list")

    assert trusted.returncode == 0, trusted.stderr
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        assert distrusted.returncode == 1
        assert "its certificate is not trusted" in distrusted.stderr and "--ca" in distrusted.stderr
    assert without.returncode == 2 and "nosuch.pem" in without.stderr


def test_output_that_nobody_reads_any_more_is_no_traceback(machine: Machine):
    line = " ".join([*COMMAND, "release", "schema"])

    done = subprocess.run(
        ["sh", "-c", f"{line} | head -c 1"], env=machine.environment, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_signs_do_not_break_a_terminal_that_cannot_show_them(machine: Machine, locale: str):
    machine.environment |= {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    done = machine.verdelta("doctor", "--state", machine.folder / "nosuch")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
