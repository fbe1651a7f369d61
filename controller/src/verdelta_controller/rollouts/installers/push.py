"""Put a release on hosts by Ansible: which playbook, with which variables, over which connections."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from ...fleet.service import FleetService
from ...fleet.tables import Host
from ...foundation.errors import VerdeltaError
from ...library.service import LibraryService
from ...releases import playbooks
from ...releases.service import ReleaseService
from ..packages import deployable_of
from ..progress import Progress
from ..records import Records
from ..tables import Deployment
from . import ansible
from .listener import Outcome

log = structlog.get_logger()

FamilyOf = Callable[[str], str]  # snapshot's host id -> operating system family, as the audit before saw it


class PushInstaller:
    """Runs a release's playbook on many hosts at once."""

    def __init__(
        self,
        records: Records,
        fleet: FleetService,
        library: LibraryService,
        releases: ReleaseService,
        progress: Progress,
        family_of: FamilyOf,
        scratch: Path,
        forks: int,
    ) -> None:
        self._records = records
        self._fleet = fleet
        self._library = library
        self._releases = releases
        self._progress = progress
        self._family_of = family_of
        self._scratch = scratch
        self._forks = forks
        self._guard = threading.Lock()
        self._waiting: dict[tuple[int, int], ansible.Waiting] = {}

    def stop_survivors(self) -> None:
        """End what a killed controller left running here; what runs on hosts ends by itself and holds their lock."""
        stopped = ansible.stop_survivors(self._scratch)
        if stopped:
            log.warning("stopped what an earlier controller left running", processes=stopped)

    def prepare(self, rollout: int, wave: int) -> None:
        """Let Ansible start while the hosts of a wave are audited: it is told of them when they are ready."""
        with self._guard:
            if (rollout, wave) not in self._waiting:
                self._waiting[rollout, wave] = self._begin(rollout, "install")

    def forget(self, rollout: int, wave: int) -> None:
        """End what was prepared for a wave on which nothing is to be installed."""
        with self._guard:
            waiting = self._waiting.pop((rollout, wave), None)
        if waiting is not None:
            waiting.abandon()

    def run(self, rollout: int, wave: int, action: str, deployments: Sequence[Deployment]) -> None:
        """Install or back out on these hosts.  The intent is committed first; how it ended is written down after."""
        with self._guard:
            prepared = self._waiting.pop((rollout, wave), None) if action == "install" else None
        waiting = prepared or self._begin(rollout, action)
        try:
            targets = [self._target(self._fleet.host(deployment.host_id)) for deployment in deployments]
            intent = self._records.intend(rollout, wave, action, deployments)
        except BaseException:
            waiting.abandon()
            raise
        try:
            outcome = waiting.go(
                targets,
                lambda seen: self._progress.note(rollout, seen),
                lambda: self._progress.is_cancelled(rollout),
            )
        except ansible.RunFailed as error:
            names = [deployment.host_name for deployment in deployments]
            outcome = Outcome("failed", dict.fromkeys(names, "failed"), dict.fromkeys(names, error.message))
        finally:
            self._progress.forget(rollout)
        errors = {
            name: outcome.errors.get(name) or f"the play ended {how} for it"
            for name, how in outcome.hosts.items()
            if how != "ok"
        }
        self._records.end_intent(intent, deployments, outcome.hosts, errors, outcome.ended_at)

    def _begin(self, rollout: int, action: str) -> ansible.Waiting:
        bound = self._records.rollout(rollout)
        release = self._releases.by_id(bound.release_id)
        manifest, its_files, _ = deployable_of(self._releases, bound)
        step = manifest.install if action == "install" else manifest.back_out
        if step is None:
            raise VerdeltaError(f"{release.name} {release.version} has no back_out in its manifest")
        files = {path: self._library.path(digest) for path, digest in its_files.items()}
        variables: dict[str, Any] = {
            **step.variables,
            "verdelta_release": release.name,
            "verdelta_version": release.version,
            "verdelta_components": [component.model_dump(mode="json") for component in manifest.components],
            "verdelta_files": {path: str(found) for path, found in files.items()},
        }
        shipped = playbooks.is_shipped(step.playbook)
        playbook = playbooks.directory() / step.playbook if shipped else files[step.playbook]
        return ansible.Waiting(ansible.Play(playbook, step.playbook, variables, self._forks), self._scratch)

    def _target(self, host: Host) -> ansible.Target:
        variables: dict[str, Any] = {
            "ansible_python_interpreter": host.python,
            "verdelta_host": host.name,
            "verdelta_environment": host.environment,
            "verdelta_groups": list(host.groups),
            "verdelta_os_family": self._family_of(host.id),
        }
        if host.reach == "local":
            return ansible.Target(host.name, {**variables, "ansible_connection": "local"})
        reached = {
            "ansible_connection": "ssh",
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": host.user,
            "ansible_become": host.become,
            "host_key": host.host_key,
        }
        return ansible.Target(host.name, {**variables, **reached}, self._fleet.private_key_of(host))
