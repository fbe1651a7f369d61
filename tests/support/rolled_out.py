"""Real roll-outs on this very machine: real agents that sign real audits, the real conductor, records and log.

Only what the agents look at is small (a folder of each host's own, the accounts, the operating system), and the
installer is a function of the test.  The engine runs each step at once.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import verdelta_agent
from verdelta_agent import wire
from verdelta_controller.fleet.channels import Channel
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.notes import NoteVerifier
from verdelta_controller.releases.tables import Release
from verdelta_controller.rollouts.bundle_export import Exporter
from verdelta_controller.rollouts.conductor import Conductor
from verdelta_controller.rollouts.engine import HELD_UP
from verdelta_controller.rollouts.progress import Progress
from verdelta_controller.rollouts.records import Records
from verdelta_controller.rollouts.service import RolloutService
from verdelta_controller.rollouts.tables import Deployment
from verdelta_controller.wiring import Services

from .web import CI

# The agent's own command line, with fewer sections.  Files beside its key say what else is different about this host.
AGENT = """
import os, sys
sys.path.insert(0, {agent!r})
from verdelta_agent import cli, host, identity
from verdelta_agent.model import OK, Collector, Section
def partial(host):
    return Section(OK, {{"1": {{"socket": "0"}}}}, {{}}, "partial: not read: 1 socket")
place = sys.argv[1 + max(sys.argv.index(name) for name in ("--state", "--sign-with") if name in sys.argv)]
chosen = ("system.host", "system.groups", "system.files")
collectors = [collector for collector in cli.SECTIONS if collector.name in chosen]
if os.path.exists(place + ".partial"):
    collectors.append(Collector("hardware.cpu", "socket", partial, 5))
if os.path.exists(place + ".old"):
    identity._create_ssh_key = identity._create_openssl_key
host.LocalHost.watched = (place + ".watched",)
cli.SECTIONS = tuple(collectors)
sys.exit(cli.main())
"""

MANIFEST = """
# what the lab application brings
release: labapp
version: "{version}"
type: minor
service: lab
install: {{playbook: install_packages.yml}}
back_out: {{playbook: remove_packages.yml}}
changes:
  - {{section: system.files, key: "*/labapp.conf", after: {{kind: file, mode: "0644"}}}}
  - {{section: software.rpm, key: "labapp.*", after: any, on: {{family: rhel-of-another-world}}}}
"""

Install = Callable[[str, Deployment], None]  # what is done to a host; what it raises the installer says of it


@dataclass
class InlineEngine:
    """Runs every step at once, in the caller's thread."""

    work: Conductor

    def launch(self) -> None: ...
    def close(self) -> None: ...

    def has_ended(self, kind: str, rollout: int, run: int) -> bool:
        return True

    def start(self, kind: str, rollout: int, run: int) -> None:
        if kind == "back_out":
            self.work.back_out(rollout)
            return
        for wave in self.work.waves(rollout):
            result = ""
            for step in self.work.steps().values():
                result = step(rollout, wave)
                if result == HELD_UP:
                    return
            if result != "passed":
                return


@dataclass
class FakeInstaller:
    """Does to each host what the test says, with an intent before and its end afterwards, like the real one."""

    records: Records
    install: Install

    def prepare(self, rollout: int, wave: int) -> None: ...

    def forget(self, rollout: int, wave: int) -> None: ...

    def stop_survivors(self) -> None: ...

    def run(self, rollout: int, wave: int, action: str, deployments: Sequence[Deployment]) -> None:
        intent = self.records.intend(rollout, wave, action, deployments)
        errors = {}
        for deployment in deployments:
            try:
                self.install(action, deployment)
            except RuntimeError as error:
                errors[deployment.host_name] = str(error)
        outcome = {d.host_name: "failed" if d.host_name in errors else "ok" for d in deployments}
        self.records.end_intent(intent, deployments, outcome, errors, {})


@dataclass
class RealRollouts:
    """Hosts, releases and roll-outs of one controller; `folder` is where the hosts live."""

    services: Services
    folder: Path
    install: Install = lambda action, deployment: None
    hosts: dict[str, Host] = field(default_factory=dict)

    def __post_init__(self) -> None:
        services = self.services
        self.records = Records(services.database, services.evidence, services.events, services.releases)
        installer = FakeInstaller(self.records, lambda action, deployment: self.install(action, deployment))
        self.conductor = Conductor(
            self.records,
            services.fleet,
            services.inventory,
            services.auditor,
            services.releases,
            services.tests,
            installer,
            1,
        )
        self.rollouts = RolloutService(
            self.records, services.fleet, services.releases, InlineEngine(self.conductor), Progress(services.events)
        )
        self.exporter = Exporter(
            services.database,
            services.evidence,
            services.inventory,
            services.releases,
            self.records,
            services.signing_key,
        )
        self.agent = self.folder / "agent.py"
        self.agent.write_text(AGENT.format(agent=str(Path(verdelta_agent.__file__).parents[1])))

    @property
    def trusted(self) -> list[NoteVerifier]:
        """What an auditor has of this controller."""
        return [self.services.evidence.verifier]

    def host(self, name: str, accepted_gaps: Sequence[str] = (), audit: bool = True, marks: Sequence[str] = ()) -> Host:
        """Look after a host: its agent is enrolled, and watches the host's own folder.

        Marks: partial (its processors are read in part only), old (it has no OpenSSH that can sign).
        """
        state = self._machine(name, marks)
        host = self.services.fleet.add_host(
            NewHost(
                name,
                reach="local",
                agent="installed",
                python=sys.executable,
                agent_path=str(self.agent),
                agent_state=str(state),
                accepted_gaps=accepted_gaps,
            )
        )
        self.enrol(name)
        if audit:
            self.services.auditor.audit(host)
        return host

    def agentless(self, name: str, host_key: str) -> Host:
        """Look after a host without an agent, whose own SSH key signs; nothing is reached over a network."""
        self._machine(name, ())
        return self.services.fleet.add_host(
            NewHost(name, reach="ssh", address="192.0.2.7", user="deploy", host_key=host_key)
        )

    def ask(self, channel: Channel, host: Host, request: wire.Request) -> bytes:
        """Run the agent once, as on a host that keeps nothing; in place of `agent_runs.ask`."""
        arguments = ["audit", "--request", "-", "--sign-with", str(self.folder / host.name)]
        done = channel.run([sys.executable, "-ISE", str(self.agent), *arguments], wire.encode_request(request))
        assert done.status == 0, done.error
        return done.output.strip()

    def new_host_key(self, name: str) -> str:
        """Give a machine another SSH host key, and return the public half."""
        path = self.folder / name
        for old in (path, path.with_name(f"{name}.pub")):
            old.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return " ".join(path.with_name(f"{name}.pub").read_text().split()[:2])

    def _machine(self, name: str, marks: Sequence[str]) -> Path:
        """Make what there is on a machine, and return where its agent keeps its state."""
        self.watched(name).mkdir()
        (self.watched(name) / "motd").write_text(f"this is {name}\n")
        for mark in marks:
            (self.folder / f"{name}.{mark}").touch()
        return self.folder / name

    def enrol(self, name: str) -> None:
        """Let a host's agent make a key and enrol it, with a new invitation."""
        token = self.services.fleet.invite(name)
        arguments = ["--state", str(self.folder / name), "enrol", "--print", "--replace"]
        command = [sys.executable, "-ISE", str(self.agent), *arguments]
        done = subprocess.run(command, input=token.encode(), capture_output=True, check=True)
        self.services.fleet.enrol(done.stdout.strip())

    def watched(self, name: str) -> Path:
        """Return the folder that the agent of a host watches."""
        return self.folder / f"{name}.watched"

    def release(self, version: str = "1.1", changes: str = "") -> Release:
        """Return an authorised release."""
        self.services.releases.build(MANIFEST.format(version=version) + changes, {}, "release.yaml", CI)
        return self.services.releases.authorise("labapp", version, CI)

    def roll_out(self, version: str, hosts: Sequence[Host], wave_size: int = 0) -> int:
        """Roll a release out, to its end."""
        return self.rollouts.start("labapp", version, hosts, wave_size, CI)

    def export(self, rollout: int) -> bytes:
        """Return the file of evidence of a roll-out."""
        return self.exporter.export(rollout)
