"""Ask a host for a fresh, signed audit and take it in."""

import secrets
import time

from ..fleet import agent_runs
from ..fleet.channels import Channel
from ..fleet.service import FleetService
from ..fleet.tables import Host
from ..foundation.errors import VerdeltaError
from .service import InventoryService, TakenIn

BUSY_PATIENCE = 600.0  # seconds that an audit waits for the last step of an interrupted install


class StillInstalling(VerdeltaError):
    """A step of an earlier install is still running on the host."""


class Auditor:
    """Fetches audits, each in answer to a challenge of its own."""

    def __init__(self, fleet: FleetService, inventory: InventoryService) -> None:
        self._fleet = fleet
        self._inventory = inventory

    def audit(self, host: Host, channel: Channel | None = None, install_lock: str | None = None) -> TakenIn:
        """Return a fresh audit of a host, over a channel of its own when none is given.

        With an install lock it waits until no step of an install is running on the host.
        Raises Unreachable, AuditFailed, StillInstalling, BadSignature and what `take_in` raises.
        """
        if channel is None:
            own = self._fleet.open_channel(host)
            try:
                return self.audit(host, own, install_lock)
            finally:
                own.close()
        give_up = time.monotonic() + BUSY_PATIENCE
        while True:
            taken = self._ask(host, channel, install_lock)
            if taken.install_idle is not False:
                return taken
            if time.monotonic() > give_up:
                raise StillInstalling(f"{host.name}: a step of an install still runs after {BUSY_PATIENCE:g} s")
            time.sleep(2)

    def _ask(self, host: Host, channel: Channel, install_lock: str | None) -> TakenIn:
        challenge = secrets.token_hex(16)
        request = self._inventory.request_for(host.id, challenge, install_lock)
        return self._inventory.take_in(agent_runs.ask(channel, host, request), challenge)
