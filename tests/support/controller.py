"""A real controller in the lab's network, and the real command to speak to it."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab import Lab, LabHost

COMMAND = [sys.executable, "-m", "verdelta_controller"]
PORT = 8470
SETTLED = ("finished", "suspended", "cancelled", "backed_out")

# What labapp changes on a host when it is installed, on either family.
LABAPP_CHANGES = """
  - {{section: software.dpkg, key: "labapp:*", after: {{version: "{version}"}}, on: {{family: debian}}}}
  - {{section: software.dpkg, key: "liblab:*", after: {{version: "1.0"}}, on: {{family: debian}}}}
  - {{section: software.rpm, key: "labapp.*", after: {{version: "{version}-1"}}, on: {{family: rhel}}}}
  - {{section: software.rpm, key: "liblab.*", after: {{version: "1.0-1"}}, on: {{family: rhel}}}}
  - {{section: system.units, key: labapp.service, after: {{enabled: enabled}}}}
  - {{section: system.files, key: /etc/labapp.conf, after: {{kind: file, digest: any}}}}
  - {{section: system.files, key: /etc/systemd/system/multi-user.target.wants/labapp.service, after: {{kind: symlink}}}}
"""


class Controller:
    """`verdelta serve` as a process of its own, with a state directory of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self.folder = folder
        self.state = folder / "state"
        self.profile = folder / "client.json"
        self.url = f"https://{lab.gateway}:{PORT}"
        self._log = folder / "controller.log"
        self._process: subprocess.Popen[Any] | None = None

    @property
    def environment(self) -> list[str]:
        """The settings of this controller and its client, for env(1)."""
        return self.environment_for(self.profile)

    def environment_for(self, profile: Path) -> list[str]:
        """The settings of this controller and a client with a profile of its own, for env(1)."""
        settings = {
            "VERDELTA_STATE": self.state,
            "VERDELTA_PROFILE": profile,
            "VERDELTA_LISTEN": self._lab.gateway,
            "VERDELTA_PORT": PORT,
            "VERDELTA_URL": self.url,
            "NO_COLOR": 1,
            "COLUMNS": 140,
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items())]

    def start(self) -> None:
        """Start the controller and wait until it answers."""
        self._log.touch()
        self.run("init", "--policy", "one-person")
        with self._log.open("ab") as log:
            self._process = self._lab.popen([*self.environment, *COMMAND, "serve"], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self.run("token", "list", check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the controller did not start:\n{self.log()[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it as an administrator would."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(30) is not None
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        self._process = None

    def log(self) -> str:
        """Return what the controller logged."""
        return self._log.read_text(errors="replace")

    def run(
        self, *arguments: str, check: bool = True, data: str | None = None, timeout: float = 240
    ) -> "subprocess.CompletedProcess[str]":
        """Run `verdelta …` inside the lab."""
        done = self.run_with(self.environment, *arguments, data=data, timeout=timeout)
        if check:
            said = f"{done.stdout}\n{done.stderr}\n{self.log()[-1500:] if done.returncode else ''}"
            assert done.returncode == 0, f"verdelta {' '.join(arguments)}: {done.returncode}\n{said}"
        return done

    def run_with(
        self, environment: Sequence[str], *arguments: str, data: str | None = None, timeout: float = 240
    ) -> "subprocess.CompletedProcess[str]":
        """Run `verdelta …` inside the lab, as whom the environment says."""
        options: dict[str, Any] = {"input": data} if data else {}
        return self._lab.run([*environment, *COMMAND, *arguments], check=False, timeout=timeout, **options)

    def popen(self, words: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Begin a command inside the lab."""
        return self._lab.popen(list(words), **options)

    def json(self, *arguments: str, expect: Sequence[int] = (0, 3)) -> Any:
        """Return what a command prints with -o json."""
        done = self.run(*arguments, "-o", "json", check=False)
        assert done.returncode in expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def add(self, *hosts: LabHost, agent: bool = True, groups: Sequence[str] = ()) -> None:
        """Look after hosts of the lab: pinned, and with an agent of their own unless told otherwise; audited once."""
        if not any(c["name"] == "lab" for c in self.json("credential", "list")):
            self.run("credential", "add", "lab", "--private-key", str(self._lab.private_key))
        for host in hosts:
            where = ["--address", host.address, "--user", "deploy", "--become", "--credential", "lab"]
            more = [word for group in groups for word in ("--group", group)]
            self.run("host", "add", host.name, *where, *more, "--known-hosts", str(self._lab.known_hosts))
        names = [host.name for host in hosts]
        if agent:
            self.run("host", "bootstrap", *names)
        self.run("audit", *names, check=False)

    def build(self, text: str, **files: str) -> None:
        """Build a release of a manifest, and authorise it."""
        folder = self.folder / f"release-{time.monotonic_ns()}"
        folder.mkdir()
        (folder / "release.yaml").write_text(text)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content)
        self.run("release", "build", str(folder / "release.yaml"))
        fields = dict(line.split(": ", 1) for line in text.splitlines() if line.startswith(("release:", "version:")))
        self.run("release", "authorise", fields["release"], fields["version"].strip('"'), "--yes")

    def labapp(self, version: str, back_to: str | None = None) -> None:
        """Build and authorise a release of labapp."""
        self.build(package_release("labapp", version, LABAPP_CHANGES.format(version=version), back_to))

    def roll_out(self, name: str, version: str, *hosts: str, expect: int = 0, wave_size: int = 0) -> dict[str, Any]:
        """Roll a release out, wait for it to rest, and return it."""
        chosen = [word for host in hosts for word in ("--host", host)]
        size = ["--wave-size", str(wave_size)] if wave_size else []
        done = self.run("rollout", "start", name, version, *chosen, *size, "--watch", check=False)
        assert done.returncode == expect, f"{done.returncode}\n{done.stdout}\n{done.stderr}\n{self.log()[-2000:]}"
        return self.newest()

    def newest(self) -> dict[str, Any]:
        """Return the newest roll-out."""
        return self.rollout(max(one["id"] for one in self.json("rollout", "list")))

    def rollout(self, number: int) -> dict[str, Any]:
        """Return a roll-out."""
        found: dict[str, Any] = self.json("rollout", "status", str(number), expect=(0, 1, 3))
        return found

    def wait(self, number: int, timeout: float = 120) -> dict[str, Any]:
        """Return a roll-out once it rests."""
        deadline = time.monotonic() + timeout
        while (found := self.rollout(number))["state"] not in SETTLED:
            assert time.monotonic() < deadline, f"roll-out {number} did not come to rest: {found}"
            time.sleep(0.3)
        return found


def package_release(name: str, version: str, changes: str, back_to: str | None = None) -> str:
    """Return the manifest of a release of one package, for both families."""
    back_out = (
        f'{{playbook: install_packages.yml, with: {{version: "{back_to}"}}}}'
        if back_to
        else f"{{playbook: remove_packages.yml, with: {{also: {['liblab'] if name == 'labapp' else []}}}}}"
    )
    head = f"""\
        release: {name}
        version: "{version}"
        type: minor
        service: lab
        components:
          - {{kind: external-software, manager: deb, package: {name}, version: "{version}"}}
          - {{kind: external-software, manager: rpm, package: {name}, version: "{version}"}}
        install: {{playbook: install_packages.yml}}
        back_out: {back_out}
        changes:"""
    return textwrap.dedent(head) + changes


def host_of(rollout: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one host of a roll-out."""
    return next(host for wave in rollout["waves"] for host in wave["hosts"] if host["host"] == name)


def items(host: dict[str, Any], outcome: str) -> set[tuple[str, str]]:
    """Return section and key of a host's items with this outcome."""
    return {(item["section"], item["key"]) for item in host["items"] if item["outcome"] == outcome}
