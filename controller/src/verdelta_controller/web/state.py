"""The services that the pages are made of, as the application carries them."""

from typing import Protocol

from starlette.requests import Request

from ..fleet.service import FleetService
from ..foundation.events import EventBus
from ..inventory.device_names import DeviceNames
from ..inventory.service import InventoryService
from ..rollouts.overview import Overview
from ..rollouts.service import RolloutService


class Services(Protocol):
    """What the pages ask; the application has it and more."""

    @property
    def fleet(self) -> FleetService: ...
    @property
    def inventory(self) -> InventoryService: ...
    @property
    def device_names(self) -> DeviceNames: ...
    @property
    def rollouts(self) -> RolloutService: ...
    @property
    def overview(self) -> Overview: ...
    @property
    def events(self) -> EventBus: ...


def services_of(request: Request) -> Services:
    """Return the services of the application that was asked."""
    services: Services = request.app.state.services
    return services
