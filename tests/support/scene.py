"""Hosts, what they looked like, and deployments to them, made without any machine: for tests of what is shown of them.

Audits are written into the tables as they would have been taken in; deployments go through the records and the judge
of the real ones, step by step.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import select

from verdelta_agent.model import OK, Section, digest_sections, root_digest
from verdelta_controller.fleet.service import NewHost
from verdelta_controller.fleet.tables import Host
from verdelta_controller.foundation.clock import now
from verdelta_controller.inventory.content import EMPTY, pack
from verdelta_controller.inventory.tables import SectionContent, Snapshot
from verdelta_controller.releases.tables import Release
from verdelta_controller.rollouts import judging
from verdelta_controller.rollouts.records import Records
from verdelta_controller.rollouts.states import HostState, RolloutState, WaveState, wave_decision
from verdelta_controller.rollouts.tables import Deployment, Rollout
from verdelta_controller.wiring import Services

from .web import CI

MANIFEST = """
release: labapp
version: "{version}"
type: minor
service: lab
install: {{playbook: install_packages.yml}}
back_out: {{playbook: install_packages.yml}}
changes:
  - {{section: software.dpkg, key: "labapp:*", after: {{version: "{version}"}}}}
  - {{section: system.units, key: labapp.service, after: {{enabled: enabled}}}}
  - {{section: system.files, key: /etc/labapp.conf, after: any}}
"""

Rows = Mapping[str, Mapping[str, Any]]


class Scene:
    """What a test sets up: hosts, their audits, releases and roll-outs."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.records = Records(services.database, services.evidence, services.events, services.releases)

    def host(self, name: str, **given: Any) -> Host:
        """Look after a host that nobody has to reach."""
        return self.services.fleet.add_host(NewHost(**{"name": name, "reach": "check-in", **given}))

    def audit(self, host: Host, sections: Mapping[str, Section | Rows], at: datetime | None = None) -> Snapshot:
        """Write down what a host looked like: whole sections, or the rows of one that could be read."""
        whole = {name: s if isinstance(s, Section) else _section(s) for name, s in sections.items()}
        digests = digest_sections(whole)
        with self.services.database.transaction() as session:
            known = {EMPTY, *session.exec(select(SectionContent.digest))}
            for name, digested in digests.items():
                if digested.digest not in known:
                    session.add(SectionContent(digest=digested.digest, rows=pack(whole[name].rows)))
                    known.add(digested.digest)
            moment = at or now()
            snapshot = Snapshot(
                host_id=host.id,
                root=root_digest(digests),
                agent="0.1.0",
                sections={name: list(digested) for name, digested in digests.items()},
                volatile={name: section.volatile for name, section in whole.items() if section.volatile},
                envelope_digest="e" * 64,
                taken_at=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                received_at=moment,
                confirmed_at=moment,
                confirmed_by="e" * 64,
            )
            session.add(snapshot)
        return snapshot

    def release(self, version: str = "1.1") -> Release:
        """Return an authorised release."""
        self.services.releases.build(MANIFEST.format(version=version), {}, "release.yaml", CI)
        return self.services.releases.authorise("labapp", version, CI)

    def rollout(self, release: Release, hosts: Sequence[Host], wave_size: int = 0) -> int:
        """Begin a roll-out that no engine drives, with its first wave open."""
        size = wave_size or len(hosts)
        waves = [[(h.id, h.name) for h in hosts[first : first + size]] for first in range(0, len(hosts), size)]
        rollout = Rollout(
            release_id=release.id or 0,
            package=release.digest,
            state=RolloutState.RUNNING,
            created_at=now(),
            created_by="ci",
        )
        number = self.records.create(rollout, waves)
        self.records.open_wave(number, 1)
        return number

    def deployment(self, rollout: int, host: Host) -> Deployment:
        """Return where the deployment on one host stands."""
        return next(d for d in self.records.deployments(rollout) if d.host_id == host.id)

    def install(self, rollout: int, host: Host, before: Snapshot) -> None:
        """Let a host be audited before, and its install begin."""
        deployment = self.deployment(rollout, host)
        self.records.move(deployment, HostState.AUDITING_BEFORE)
        self.records.remember_before(deployment, before, "b" * 64, None, [])
        self.records.move(deployment, HostState.READY)
        self.records.intend(rollout, deployment.wave, "install", [deployment])

    def conclude(self, rollout: int, host: Host, before: Snapshot, after: Snapshot, install_error: str = "") -> None:
        """Let the install on a host end, and judge it as it really would be."""
        deployment = self.deployment(rollout, host)
        deployment.install_error, deployment.installed_at = install_error, now()
        self.records.move(deployment, HostState.AUDITING_AFTER)
        inventory, number = self.services.inventory, self.records.rollout(rollout).release_id
        changes = self.services.releases.authorised(self.services.releases.by_id(number)).changes
        delta = inventory.compare(before, after)
        verdict = judging.judge(changes, host, before, after, delta, [], inventory.sections_of)
        self.records.conclude(self.deployment(rollout, host), after, "a" * 64, verdict, host.accepted_gaps)

    def close_wave(self, rollout: int, number: int) -> WaveState:
        """Let a wave end as its hosts say, and the next one begin when they all are verified."""
        states = [HostState(deployment.state) for deployment in self.records.deployments(rollout, number)]
        decision = wave_decision(states)
        self.records.close_wave(rollout, number, decision)
        following = self.records.open_waves(rollout)
        if decision is WaveState.PASSED and following:
            self.records.open_wave(rollout, following[0])
        return decision


def _section(rows: Rows) -> Section:
    return Section(OK, {key: dict(row) for key, row in rows.items()}, {})
