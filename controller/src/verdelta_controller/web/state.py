"""The services that the pages are made of, as the application carries them."""

from typing import Annotated, Protocol

from fastapi import Path
from starlette.requests import Request

from ..fleet.service import FleetService
from ..foundation.events import EventBus
from ..inventory.service import InventoryService
from ..rollouts.overview import Overview
from ..rollouts.service import RolloutService

Number = Annotated[int, Path(ge=0, le=1 << 53)]  # in an address: of a roll-out or a snapshot


class Services(Protocol):
    """What the pages ask; the application has it and more."""

    @property
    def fleet(self) -> FleetService: ...
    @property
    def inventory(self) -> InventoryService: ...
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
