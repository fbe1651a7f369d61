"""Put a release on hosts by Ansible: which playbook, with which variables, over which connections."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from ...fleet.service import FleetService
from ...fleet.tables import Host
from ...foundation.errors import VerdeltaError
from ...library.service import LibraryService
from ...releases import playbooks
from ...releases.manifest import Manifest, Step
from ...releases.service import ReleaseService
from ...releases.tables import Release
from ..progress import Progress
from ..records import Records
from ..tables import Deployment
from . import ansible

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

    def stop_survivors(self) -> None:
        """End what a killed controller left running here; what runs on hosts ends by itself and holds their lock."""
        stopped = ansible.stop_survivors(self._scratch)
        if stopped:
            log.warning("stopped what an earlier controller left running", processes=stopped)

    def run(self, rollout: int, wave: int, action: str, deployments: Sequence[Deployment]) -> None:
        """Install or back out on these hosts.  The intent is committed first; how it ended is written down after."""
        release = self._releases.by_id(self._records.rollout(rollout).release_id)
        manifest = self._releases.authorised_manifest(release)
        step = manifest.install if action == "install" else manifest.back_out
        if step is None:
            raise VerdeltaError(f"{release.name} {release.version} has no back_out in its manifest")
        workshop = self._scratch / f"release-{rollout}-{wave}-{action}"
        try:
            order = self._order(release, manifest, step, deployments, workshop)
            intent = self._records.intend(rollout, wave, action, deployments)
            try:
                outcome = ansible.run(
                    order,
                    self._scratch,
                    lambda seen: self._progress.note(rollout, seen),
                    lambda: self._progress.is_cancelled(rollout),
                )
                ended, errors, moments = outcome.hosts, outcome.errors, outcome.ended_at
            except ansible.RunFailed as error:
                ended, moments = {deployment.host_name: "failed" for deployment in deployments}, {}
                errors = {deployment.host_name: error.message for deployment in deployments}
            errors = {
                name: errors.get(name) or f"the play ended {how} for it" for name, how in ended.items() if how != "ok"
            }
            self._records.end_intent(intent, deployments, ended, errors, moments)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
            self._progress.forget(rollout)

    def _order(
        self, release: Release, manifest: Manifest, step: Step, deployments: Sequence[Deployment], workshop: Path
    ) -> ansible.Run:
        hosts = [self._fleet.host(deployment.host_id) for deployment in deployments]
        files = {path: str(self._library.path(digest)) for path, digest in release.files.items()}
        variables: dict[str, Any] = {
            **step.variables,
            "verdelta_release": release.name,
            "verdelta_version": release.version,
            "verdelta_components": [component.model_dump(mode="json") for component in manifest.components],
            "verdelta_files": files,
        }
        playbook = self._playbook(step.playbook, files, workshop)
        targets = [self._target(host) for host in hosts]
        return ansible.Run(playbook, targets, variables, self._forks)

    def _playbook(self, name: str, files: Mapping[str, str], workshop: Path) -> Path:
        """Return where the playbook lies for this run: a shipped one, or the release's own, out of the library."""
        if playbooks.is_shipped(name):
            return playbooks.directory() / name
        workshop.mkdir(mode=0o700, exist_ok=True)
        return Path(shutil.copyfile(files[name], workshop / Path(name).name))

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
