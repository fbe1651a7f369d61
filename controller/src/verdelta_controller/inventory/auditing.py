"""Ask a host for a fresh, signed audit and take it in."""

import secrets
import threading
import time
from collections import defaultdict

from ..fleet import agent_runs
from ..fleet.channels import Channel
from ..fleet.service import FleetService
from ..fleet.tables import Host
from ..foundation.errors import HostFailed
from .service import InventoryService, TakenIn

BUSY_PATIENCE = 600.0  # seconds that an audit waits for the last step of an interrupted install


class StillInstalling(HostFailed):
    """A step of an earlier install is still running on the host."""


class Auditor:
    """Fetches audits, each in answer to a challenge of its own."""

    def __init__(self, fleet: FleetService, inventory: InventoryService) -> None:
        self._fleet = fleet
        self._inventory = inventory
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)

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
                raise StillInstalling(f"{host.name}: a step of an install runs for over {BUSY_PATIENCE:g} s")
            time.sleep(2)

    def _ask(self, host: Host, channel: Channel, install_lock: str | None) -> TakenIn:
        challenge = secrets.token_hex(16)
        with self._turn_of(host.id):
            request = self._inventory.request_for(host.id, challenge, install_lock)
            return self._inventory.take_in(agent_runs.ask(channel, host, request), challenge)

    def _turn_of(self, host_id: str) -> threading.Lock:
        """Return the lock that lets a host be audited once at a time: without an agent we count its messages for it."""
        with self._guard:
            return self._turns[host_id]
