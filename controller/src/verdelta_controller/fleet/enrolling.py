"""Install the agent on a host over SSH and enrol it, in one go."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from ..foundation.errors import GateClosed
from . import agent_runs
from .service import FleetService
from .tables import Host


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Bootstrap:
    """Puts agents on hosts.

    `url` is where they report each night.  It is "" when they only answer over SSH: where this controller has no
    address that another machine could reach.
    """

    def __init__(self, fleet: FleetService, url: str, ca_file: Path) -> None:
        self._fleet = fleet
        self.url = "" if _is_loopback(url) else url
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
            self._fleet.enrol(agent_runs.bootstrap(channel, host, token, self.url, ca))
        finally:
            channel.close()
        return self._fleet.host_named(host.name)
