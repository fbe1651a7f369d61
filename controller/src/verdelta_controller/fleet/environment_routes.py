"""Environments and their bookings over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ..access.http import Books, ManagesHosts, Reads
from ..foundation.clock import now
from ..foundation.schema import Moment
from .bookings import Booked, Bookings
from .environment_rules import NewBooking, NewEnvironment, Stage, window
from .environments import Described, Environments

router = APIRouter(prefix="/api/v1/environments", tags=["environments"])


def _environments(request: Request) -> Environments:
    service: Environments = request.app.state.services.environments
    return service


def _bookings(request: Request) -> Bookings:
    service: Bookings = request.app.state.services.bookings
    return service


Known = Annotated[Environments, Depends(_environments)]
Calendar = Annotated[Bookings, Depends(_bookings)]


class EnvironmentOrder(BaseModel):
    """An environment to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "live-eu", "stage": "live", "team": "web operations"}]},
    )

    name: str = Field(max_length=63)
    stage: Stage
    team: str = Field(default="", max_length=100, description="who looks after it")
    description: str = Field(default="", max_length=500)


class EnvironmentChange(BaseModel):
    """What is to be said of an environment from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"team": "web operations"}]})

    team: str | None = Field(default=None, max_length=100)
    description: str | None = Field(default=None, max_length=500)


class EnvironmentView(BaseModel):
    """An environment, in the order in which a release passes them."""

    name: str = Field(examples=["live-eu"])
    stage: str = Field(examples=["live"])
    team: str = Field(examples=["web operations"])
    description: str = Field(examples=["what customers see"])
    hosts: int = Field(examples=[40])
    created_at: Moment


class PromotionOrder(BaseModel):
    """Every environment, in the order in which a release is to pass them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"names": ["build", "test", "staging", "live"]}]}
    )

    names: list[str] = Field(max_length=1000)


class BookingOrder(BaseModel):
    """An environment to be kept for somebody."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "booked_for": "web team",
                    "purpose": "rehearsal",
                    "release": "labapp",
                    "version": "1.1",
                    "ends_at": "2027-01-04T17:00:00Z",
                    "exclusive": True,
                }
            ]
        },
    )

    booked_for: str = Field(max_length=100, description="the team or person")
    purpose: str = Field(max_length=500)
    release: str = Field(default="", max_length=100)
    version: str = Field(default="", max_length=100)
    begins_at: AwareDatetime | None = Field(default=None, description="with its zone; at once when left out")
    ends_at: AwareDatetime = Field(description="with its zone; this moment no longer belongs to it")
    exclusive: bool = Field(default=False, description="nobody else is to have the environment at that time")
    share: bool = Field(default=False, description="keep it although it conflicts, and show the conflict")


class EndOrder(BaseModel):
    """When a booking is to end instead."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ends_at": "2027-01-05T17:00:00Z"}]})

    ends_at: AwareDatetime
    share: bool = Field(default=False, description="do so although it conflicts with others then")


class BookingView(BaseModel):
    """A booking."""

    number: int = Field(examples=[12])
    environment: str = Field(examples=["staging"])
    state: str = Field(examples=["running"], description="planned, running, over or cancelled")
    booked_for: str = Field(examples=["web team"])
    purpose: str = Field(examples=["rehearsal"])
    release: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    begins_at: Moment
    ends_at: Moment
    exclusive: bool = Field(examples=[True])
    conflicts: list[int] = Field(examples=[[13]], description="numbers of the bookings that this one conflicts with")
    booked_at: Moment
    booked_by: str = Field(examples=["release-manager"])
    closed_at: Moment | None = Field(description="when it was cancelled or ended early")
    closed_by: str | None = Field(examples=["release-manager"])


@router.get("")
def list_environments(actor: Reads, known: Known) -> list[EnvironmentView]:
    """Return every environment, in the order in which a release passes them."""
    return [_view(one) for one in known.all()]


@router.post("", status_code=201)
def add_environment(order: EnvironmentOrder, actor: ManagesHosts, known: Known) -> EnvironmentView:
    """Make an environment, the last of its stage."""
    return _view(Described(known.add(NewEnvironment(**dict(order)), actor.name), 0))


@router.put("/order")
def order_environments(order: PromotionOrder, actor: ManagesHosts, known: Known) -> list[EnvironmentView]:
    """Put all environments into another order of promotion, stage by stage."""
    return [_view(one) for one in known.order(order.names, actor.name)]


@router.get("/bookings")
def list_bookings(
    actor: Reads,
    calendar: Calendar,
    environment: Annotated[str, Query(max_length=63)] = "",
    begins_at: AwareDatetime | None = None,
    weeks: Annotated[int, Query(ge=1, le=53)] = 4,
) -> list[BookingView]:
    """Return the bookings of some weeks from a moment on, from now when none is given."""
    begins, ends = window(begins_at or now(), weeks)
    return [_booking(one) for one in calendar.between(begins, ends, environment)]


@router.patch("/bookings/{number}")
def move_end(number: int, order: EndOrder, actor: Books, calendar: Calendar) -> BookingView:
    """Let a booking last longer, or less long."""
    return _booking(calendar.move_end(number, order.ends_at, actor.name, share=order.share))


@router.post("/bookings/{number}/cancel")
def cancel_booking(number: int, actor: Books, calendar: Calendar) -> BookingView:
    """Cancel a booking, or end it now where it has begun."""
    return _booking(calendar.cancel(number, actor.name))


@router.get("/{name}")
def show_environment(name: str, actor: Reads, known: Known) -> EnvironmentView:
    """Return one environment."""
    return _view(known.named(name))


@router.patch("/{name}")
def describe_environment(name: str, change: EnvironmentChange, actor: ManagesHosts, known: Known) -> EnvironmentView:
    """Say who looks after an environment, and what else there is to say of it."""
    return _view(known.describe(name, change.model_dump(exclude_none=True), actor.name))


@router.delete("/{name}", status_code=204)
def remove_environment(name: str, actor: ManagesHosts, known: Known) -> None:
    """Take an environment away that has neither hosts nor bookings to come."""
    known.remove(name, actor.name)


@router.post("/{name}/bookings", status_code=201)
def book(name: str, order: BookingOrder, actor: Books, calendar: Calendar) -> BookingView:
    """Keep an environment for somebody; what conflicts with a booking that is there is refused, unless it is shared."""
    new = NewBooking(**order.model_dump(exclude={"share"}))
    return _booking(calendar.book(name, new, actor.name, share=order.share))


def _view(described: Described) -> EnvironmentView:
    fields = described.environment.model_dump(include=set(EnvironmentView.model_fields))
    return EnvironmentView(**fields, hosts=described.hosts)


def _booking(booked: Booked) -> BookingView:
    fields = booked.booking.model_dump(include=set(BookingView.model_fields))
    return BookingView(
        **fields,
        number=booked.booking.id or 0,
        environment=booked.environment,
        state=booked.state.value,
        conflicts=booked.conflicts,
    )
