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
from verdelta_agent import kept
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.notes import NoteVerifier
from verdelta_controller.releases.tables import Release
from verdelta_controller.rollouts.bundle_export import Exporter
from verdelta_controller.rollouts.conductor import Conductor
from verdelta_controller.rollouts.progress import Progress
from verdelta_controller.rollouts.records import Records
from verdelta_controller.rollouts.service import RolloutService
from verdelta_controller.rollouts.tables import Deployment
from verdelta_controller.wiring import Services

# The agent's own command line, with fewer sections; `unreadable` is one that fails or is read in part, if a test asks.
AGENT = """
import os, sys
sys.path.insert(0, {agent!r})
from verdelta_agent import cli
from verdelta_agent.model import OK, Collector, Section
chosen = ("system.host", "system.groups", "system.files")
collectors = [collector for collector in cli.COLLECTORS if collector.name in chosen]
state = sys.argv[sys.argv.index("--state") + 1]
def partial(host):
    return Section(OK, {{"1": {{"socket": "0"}}}}, {{}}, "partial: not read: 1 socket")
if os.path.exists(os.path.join(state, "partial")):
    collectors.append(Collector("hardware.cpu", "socket", partial, 5))
cli.COLLECTORS = tuple(collectors)
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

    def start(self, kind: str, rollout: int, run: int) -> None:
        if kind == "back_out":
            self.work.back_out(rollout)
            return
        for wave in self.work.waves(rollout):
            results = [step(rollout, wave) for step in self.work.steps().values()]
            if results[-1] != "passed":
                return


@dataclass
class FakeInstaller:
    """Does to each host what the test says, with an intent before and its end afterwards, like the real one."""

    records: Records
    install: Install

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
        self.records = Records(services.database, services.evidence, services.events, services.releases.follow)
        installer = FakeInstaller(self.records, lambda action, deployment: self.install(action, deployment))
        self.conductor = Conductor(
            self.records, services.fleet, services.inventory, services.auditor, services.releases, installer, 1
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

    def host(self, name: str, accepted_gaps: Sequence[str] = (), audit: bool = True) -> Host:
        """Look after a host: its agent is enrolled, and watches the host's own folder."""
        watched, state = self.watched(name), self.folder / f"{name}.agent"
        watched.mkdir()
        (watched / "motd").write_text(f"this is {name}\n")
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
        kept.save_watched(str(state), [str(watched)])
        if audit:
            self.services.auditor.audit(host)
        return host

    def enrol(self, name: str) -> None:
        """Let a host's agent make a key and enrol it, with a new invitation."""
        token = self.services.fleet.invite(name)
        arguments = ["--state", str(self.folder / f"{name}.agent"), "enrol", "--print", "--replace"]
        command = [sys.executable, "-ISE", str(self.agent), *arguments]
        done = subprocess.run(command, input=token.encode(), capture_output=True, check=True)
        self.services.fleet.enrol(done.stdout.strip())

    def watched(self, name: str) -> Path:
        """Return the folder that the agent of a host watches."""
        return self.folder / f"{name}.watched"

    def release(self, version: str = "1.1", changes: str = "") -> Release:
        """Return an authorised release."""
        self.services.releases.build(MANIFEST.format(version=version) + changes, {}, "release.yaml", "ci")
        return self.services.releases.authorise("labapp", version, "release-manager")

    def roll_out(self, version: str, hosts: Sequence[Host], wave_size: int = 0) -> int:
        """Roll a release out, to its end."""
        return self.rollouts.start("labapp", version, hosts, wave_size, "release-manager")

    def export(self, rollout: int) -> bytes:
        """Return the file of evidence of a roll-out."""
        return self.exporter.export(rollout)
