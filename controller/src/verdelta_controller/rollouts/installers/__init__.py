"""Ways to install a release on hosts.  Each tells what it did; whether that is true, the audits tell."""

from collections.abc import Sequence
from typing import Protocol

from ..tables import Deployment


class Installer(Protocol):
    """Puts a release on hosts, or takes it back."""

    def run(self, rollout: int, wave: int, action: str, deployments: Sequence[Deployment]) -> None:
        """Do `install` or `back_out` on these hosts, with an intent committed before and its end written down after."""

    def prepare(self, rollout: int, wave: int) -> None:
        """Get ready to install on a wave, while its hosts are audited; nothing is done to any host yet."""

    def forget(self, rollout: int, wave: int) -> None:
        """Drop what was prepared for a wave, if it was not used."""

    def stop_survivors(self) -> None:
        """End what an interrupted run left running on the controller's machine."""
