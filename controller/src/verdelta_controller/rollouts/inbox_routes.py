"""The inbox over HTTP: what waits for whoever asks."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ..access.http import Reads
from ..foundation.schema import Moment
from ..releases.inbox_rules import Entry
from .inbox_service import Inbox

router = APIRouter(prefix="/api/v1", tags=["inbox"])


def _service(request: Request) -> Inbox:
    service: Inbox = request.app.state.services.inbox
    return service


Service = Annotated[Inbox, Depends(_service)]


class EntryView(BaseModel):
    """One thing that waits for a person."""

    kind: str = Field(
        examples=["gate"],
        description="gate, owed, build, criteria, review, waiver, authorise, deploy, close, rollout, booking or loan",
    )
    what: str = Field(examples=["sign-off business: not signed"])
    release: str = Field(examples=["labapp 1.1"], description='name and version; "" where it is about none')
    since: Moment
    role: str = Field(examples=["business-approver"], description='in which it waits for her; "" for none of them')
    lent: bool = Field(examples=[False], description="whether that role is lent to her")
    action: str = Field(examples=["verdelta release sign labapp 1.1 business"], description="what to do, or to run")


class InboxView(BaseModel):
    """All that waits for whoever asks, the longest first."""

    name: str = Field(examples=["bea"])
    count: int = Field(examples=[1])
    note: str = Field(examples=[""], description="why there can be nothing: a token is asking")
    entries: list[EntryView]


class CountView(BaseModel):
    """How much waits for whoever asks."""

    count: int = Field(examples=[1])


@router.get("/inbox")
def show_inbox(actor: Reads, inbox: Service) -> InboxView:
    """Return all that waits for whoever asks."""
    found = inbox.of(actor)
    return InboxView(
        name=actor.name, count=len(found.entries), note=found.note, entries=[_view(entry) for entry in found.entries]
    )


@router.get("/inbox/count")
def count_inbox(actor: Reads, inbox: Service) -> CountView:
    """Return how much waits for whoever asks."""
    return CountView(count=len(inbox.of(actor).entries))


def _view(entry: Entry) -> EntryView:
    return EntryView(
        kind=entry.kind.value,
        what=entry.what,
        release=entry.release,
        since=entry.since,
        role=entry.role.value if entry.role else "",
        lent=entry.lent,
        action=entry.action,
    )
