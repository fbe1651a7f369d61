"""All that is known of an artifact, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ..access.http import Reads
from ..foundation.schema import Moment
from .routes import ArtifactView, view
from .tracing import Trace, Tracing

router = APIRouter(prefix="/api/v1", tags=["library"])


def _service(request: Request) -> Tracing:
    service: Tracing = request.app.state.services.tracing
    return service


TheTraces = Annotated[Tracing, Depends(_service)]


class ArrivalView(BaseModel):
    """Somebody brought it in."""

    file_name: str = Field(examples=["labapp_1.1_all.deb"])
    source: str = Field(examples=["https://example.org/labapp_1.1_all.deb"])
    supplier: str = Field(examples=["ACME"])
    arrived_at: Moment
    brought_by: str = Field(examples=["ci"])


class UseView(BaseModel):
    """A release that it belongs to."""

    name: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    state: str = Field(examples=["deployed"])
    retired: bool = Field(examples=[False])


class HoldingView(BaseModel):
    """A host on which a release that it belongs to is now."""

    host: str = Field(examples=["web-07"])
    release: str = Field(examples=["labapp 1.1"])
    rollout: int = Field(examples=[12])
    state: str = Field(examples=["verified"])
    certain: bool = Field(examples=[True], description="an audit has verified it")
    since: Moment


class CopyView(BaseModel):
    """What a site has of it."""

    site: str = Field(examples=["offsite"])
    state: str = Field(examples=["complete"], description="complete, missing or damaged")
    verified_at: Moment


class TraceView(ArtifactView):
    """A file in the library and all that is known of it."""

    is_here: bool = Field(examples=[True], description="whether the content is on the controller's disk")
    is_retired: bool = Field(examples=[False], description="whether every version that uses it is retired")
    arrivals: list[ArrivalView]
    releases: list[UseView]
    hosts: list[HoldingView]
    sites: list[CopyView]


@router.get("/artifacts/{digest}")
def trace(digest: str, actor: Reads, tracing: TheTraces) -> TraceView:
    """Return all that is known of one artifact: where it came from, what uses it, where it is."""
    return _view(tracing.trace(digest))


def _view(trace: Trace) -> TraceView:
    labels = {use.release_id: use.label for use in trace.uses}
    return TraceView(
        **view(trace.artifact).model_dump(),
        is_here=trace.is_here,
        is_retired=trace.is_retired,
        arrivals=[ArrivalView(**one.model_dump(include=set(ArrivalView.model_fields))) for one in trace.arrivals],
        releases=[
            UseView(name=u.name, version=u.version, state=u.state, retired=(u.name, u.version) in trace.retired)
            for u in trace.uses
        ],
        hosts=[
            HoldingView(
                host=one.host,
                release=labels[one.release_id],
                rollout=one.rollout_id,
                state=one.state,
                certain=one.certain,
                since=one.since,
            )
            for one in trace.holdings
        ],
        sites=[CopyView(site=name, state=copy.state, verified_at=copy.verified_at) for name, copy in trace.sites],
    )
