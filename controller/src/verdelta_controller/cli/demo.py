"""The main job on this very machine: everything that `verdelta demo` shows is done by the real commands.

All that it makes lies in one temporary folder, which is gone when it ends.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

HOST = "this-machine"
GREETING = (
    '#!/usr/bin/env python3\n"""The application that the demo releases."""\n\nprint("hello from greeter {version}")\n'
)

HONEST = """\
release: greeter
version: "1.0"
type: minor
service: demo
components:
  - {{kind: in-house-application, name: greeter, manager: file, version: "1.0", artifact: greeter.py, sha256: {digest}}}
install:  {{playbook: deploy_files.yml, with: {{destination: {app}, mode: "0755"}}}}
back_out: {{playbook: remove_files.yml, with: {{destination: {app}}}}}
changes:                                        # what is different on the machine afterwards, and nothing else is
  - {{section: system.files, key: {app}, after: {{kind: directory}}}}
  - {{section: system.files, key: {app}/greeter.py, after: {{kind: file, mode: "0755", digest: {digest}}}}}
"""

SNEAKY = """\
release: greeter
version: "1.1"
type: minor
service: demo
components:
  - {{kind: in-house-application, name: greeter, manager: file, version: "1.1", artifact: greeter.py, sha256: {digest}}}
install:  {{playbook: install.yml, with: {{app: {app}, cron: {cron}}}}}
changes:
  - {{section: system.files, key: {app}/greeter.py, after: {{digest: {digest}}}}}
"""

SNEAKY_PLAYBOOK = """\
# Installs the greeter, and does one thing more that release.yaml does not declare.
- name: Install the greeter
  hosts: all
  gather_facts: false
  tasks:
    - name: Copy the application
      ansible.builtin.copy: {src: "{{ verdelta_files['greeter.py'] }}", dest: "{{ app }}/greeter.py", mode: "0755"}
    - name: Tidy up
      ansible.builtin.copy: {content: "* * * * * root phone-home\\n", dest: "{{ cron }}/phone-home", mode: "0644"}
"""


class DemoFailed(Exception):
    """A step of the demo did not end as it should."""


def run(once: bool, port: int | None) -> int:
    """Run the demo; with `once` end after the report, otherwise keep the controller until Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="verdelta-demo-"))
    try:
        with _controller(folder, port or 0) as (url, show):
            _tell(f"A controller runs at {url}; everything it keeps is in {folder}.")
            _enrol(folder, url, show)
            _release_as_declared(folder, show)
            _release_with_a_surprise(folder, show)
            if not once:
                _tell("The page (the link opens it once):")
                show("web", "link")
                _tell("The controller runs until you press Ctrl-C; then everything is removed.")
                signal.pause()
    except KeyboardInterrupt:
        print()
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("Removed everything that the demo made.")
    return 0


class Show:
    """Runs the real commands, and shows them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: str, expect: int = 0, data: str | None = None) -> None:
        """Print a command, run it, and insist on its exit code."""
        print(f"\n$ verdelta {shlex.join(arguments)}", flush=True)
        done = subprocess.run([*_verdelta(), *arguments], env=self._environment, input=data, text=True, check=False)
        if done.returncode != expect:
            raise DemoFailed(f"`verdelta {shlex.join(arguments)}` ended with {done.returncode}, not {expect}")

    def ask(self, *arguments: str) -> Any:
        """Run a command for what it prints as JSON."""
        return json.loads(self.read(*arguments, "-o", "json"))

    def read(self, *arguments: str, expect: Sequence[int] = (0, 3)) -> str:
        """Run a command for what it prints."""
        done = subprocess.run(
            [*_verdelta(), *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in expect:
            raise DemoFailed(f"`verdelta {shlex.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout


def _verdelta() -> list[str]:
    return [sys.executable, "-m", "verdelta_controller"]


def _tell(text: str) -> None:
    print("\n" + textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False), flush=True)


@contextmanager
def _controller(folder: Path, port: int) -> Iterator[tuple[str, Show]]:
    """Run a controller of its own on loopback; yields its URL and the commands that speak to it."""
    state = folder / "controller"
    environment = {
        **os.environ,
        "VERDELTA_STATE": str(state),
        "VERDELTA_PROFILE": str(folder / "client.json"),
        "VERDELTA_PORT": str(port),
    }
    for name in ("VERDELTA_URL", "VERDELTA_TOKEN", "VERDELTA_CA", "VERDELTA_LISTEN", "VERDELTA_CONFIG"):
        environment.pop(name, None)
    show = Show(environment)
    show.read("init", "--state", str(state), "--policy", "one-person")
    log = (folder / "controller.log").open("wb")
    server = subprocess.Popen([*_verdelta(), "serve"], env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        url = _wait_for_url(server, folder / "controller.log")
        environment["VERDELTA_URL"] = url
        yield url, show
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _wait_for_url(server: subprocess.Popen[str], log: Path) -> str:
    if server.stdout is not None:
        for line in server.stdout:
            for word in line.split():
                if word.startswith("http://"):
                    return word.rstrip(".,")
    raise DemoFailed(f"the controller did not start:\n{log.read_text()[-2000:]}")


def _enrol(folder: Path, url: str, show: Show) -> None:
    """Enrol a real agent on this machine: a one-time token, a key of its own."""
    watched, program, state = folder / "machine", folder / "verdelta-agent.pyz", folder / "agent"
    for directory in (watched, watched / "cron.d"):
        directory.mkdir()
    _write_agent(program)
    _tell("1. This machine becomes a host. Its agent makes a key of its own and enrols it with a one-time token.")
    local = ["--reach", "local", "--python", sys.executable, "--agent-path", str(program), "--agent-state", str(state)]
    show("host", "add", HOST, *local)
    token = show.read("host", "invite", HOST).strip()
    agent = [sys.executable, "-ISE", str(program), "--state", str(state)]
    print(f"$ verdelta host invite {HOST} | verdelta-agent enrol --url {url} --watch {watched}", flush=True)
    enrol = [*agent, "enrol", "--url", url, "--watch", str(watched)]
    if subprocess.run(enrol, input=token, text=True, check=False).returncode != 0:
        raise DemoFailed("the agent did not enrol")
    gaps = _gaps(show)
    if gaps:
        _tell(f"Not everything can be read here without root; the host's operator accepts that for: {', '.join(gaps)}.")
        show("host", "set", HOST, *(word for gap in gaps for word in ("--accept-gap", gap)))
    show("audit", HOST)


def _write_agent(program: Path) -> None:
    from ..fleet import agent_archive

    program.write_bytes(agent_archive.build())


def _gaps(show: Show) -> list[str]:
    """Return the sections that this user cannot read completely."""
    show.read("audit", HOST)
    sections = show.ask("inventory", HOST)["sections"]
    return sorted(name for name, one in sections.items() if one["error"] or one["status"] == "failed")


def _release_as_declared(folder: Path, show: Show) -> None:
    release = _write_release(folder, "1.0", HONEST)
    _tell("2. A release that does what it declares: an application with a checksum, put there by Ansible.")
    show("release", "build", str(release / "release.yaml"))
    show("release", "authorise", "greeter", "1.0", "--yes")
    show("rollout", "start", "greeter", "1.0", "--host", HOST, "--watch")
    show("diff", HOST, "--rollout", "1", expect=3)


def _release_with_a_surprise(folder: Path, show: Show) -> None:
    release = _write_release(folder, "1.1", SNEAKY)
    (release / "install.yml").write_text(SNEAKY_PLAYBOOK)
    _tell("3. A release whose installer does one thing more than it declares. Ansible is content; the audit is not.")
    show("release", "build", str(release / "release.yaml"))
    show("release", "authorise", "greeter", "1.1", "--yes")
    show("rollout", "start", "greeter", "1.1", "--host", HOST, "--watch", expect=3)
    show("diff", HOST, "--rollout", "2", expect=3)


def _write_release(folder: Path, version: str, template: str) -> Path:
    release = folder / f"greeter-{version}"
    release.mkdir()
    application = GREETING.format(version=version)
    (release / "greeter.py").write_text(application)
    digest = sha256(application.encode()).hexdigest()
    paths = {"app": folder / "machine" / "greeter", "cron": folder / "machine" / "cron.d"}
    (release / "release.yaml").write_text(template.format(digest=digest, **paths))
    return release
