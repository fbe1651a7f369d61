"""Install the agent on a host over SSH and enrol it, in one go."""

from pathlib import Path

from ..foundation.errors import GateClosed
from . import agent_runs
from .service import FleetService
from .tables import Host


class Bootstrap:
    """Puts agents on hosts.  `url` is where they report each night, or "" when they only answer over SSH."""

    def __init__(self, fleet: FleetService, url: str, ca_file: Path) -> None:
        self._fleet = fleet
        self._url = url
        self._ca_file = ca_file

    def bootstrap(self, host: Host) -> Host:
        """Install and enrol; again is safe.  Raises Unreachable, BootstrapFailed, GateClosed."""
        if host.reach != "ssh":
            raise GateClosed(
                f"{host.name} is not reached over SSH",
                mend=f"Enrol its agent there: verdelta host invite {host.name}",
            )
        ca = self._ca_file.read_text() if self._ca_file.exists() else ""
        channel = self._fleet.open_channel(host)
        try:
            token = self._fleet.invite(host.name)
            self._fleet.enrol(agent_runs.bootstrap(channel, host, token, self._url, ca))
        finally:
            channel.close()
        return self._fleet.host_named(host.name)
