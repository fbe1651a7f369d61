"""Checks, sites, retired versions and the archive, over HTTP.  Long work is begun here, and asked after as a task."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import Audits, AuthorisesReleases, ManagesLibrary, Reads
from ..foundation.errors import InvalidInput
from ..foundation.schema import Moment
from .checking import Checking
from .keeping import Keeping
from .retention import Retention, Retired
from .routes import Library, TaskView, task_view
from .sites.port import Place, SiteKind
from .tables import LibrarySite

router = APIRouter(prefix="/api/v1", tags=["library"])


def _checking(request: Request) -> Checking:
    service: Checking = request.app.state.services.library_checking
    return service


def _keeping(request: Request) -> Keeping:
    service: Keeping = request.app.state.services.library_keeping
    return service


def _retention(request: Request) -> Retention:
    service: Retention = request.app.state.services.retention
    return service


TheChecking = Annotated[Checking, Depends(_checking)]
TheKeeping = Annotated[Keeping, Depends(_keeping)]
TheRetention = Annotated[Retention, Depends(_retention)]


class ContentView(BaseModel):
    """Content that is on the controller's disk."""

    sha256: str = Field(examples=["9f2c…e1"])
    size: int = Field(examples=[10240], description="bytes")


class SiteOrder(BaseModel):
    """A further site for copies.  Its secrets are sealed, and shown to nobody."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "offsite", "kind": "directory", "location": "/srv/verdelta-copies"}]},
    )

    name: str = Field(max_length=63)
    kind: SiteKind
    location: str = Field(max_length=500, description="a directory, s3://bucket/prefix, or a controller's address")
    endpoint: str = Field(default="", max_length=500, description="s3: its address, where it is not Amazon's")
    region: str = Field(default="", max_length=100, description="s3")
    access_key: str = Field(default="", max_length=500, repr=False, description="s3")
    secret: str = Field(default="", max_length=5000, repr=False, description="s3: the secret key; controller: a token")
    ca: str = Field(default="", max_length=100_000, description="controller: its CA certificate, PEM")


class SiteView(BaseModel):
    """A site, and what it held when it was last looked at."""

    name: str = Field(examples=["offsite"])
    kind: str = Field(examples=["directory"])
    location: str = Field(examples=["/srv/verdelta-copies"])
    created_at: Moment
    created_by: str = Field(examples=["alice"])
    report: dict[str, Any] = Field(examples=[{"complete": 12, "missing": {"count": 0, "first": []}}])


class RetireOrder(BaseModel):
    """A version that is not to be deployed any more."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "labapp", "version": "1.0", "reason": "replaced by 1.1"}]},
    )

    name: str = Field(max_length=100)
    version: str = Field(max_length=100)
    reason: str = Field(min_length=1, max_length=1000)


class RetiredView(BaseModel):
    """A retired version and its artifacts."""

    name: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.0"])
    reason: str = Field(examples=["replaced by 1.1"])
    retired_at: Moment
    retired_by: str = Field(examples=["alice"])
    artifacts: list[str] = Field(examples=[["9f2c…e1"]], description="digests that nothing else uses")
    kept: list[str] = Field(examples=[[]], description="digests that versions use which are not retired")


class ArchiveOrder(BaseModel):
    """What goes to an archive: artifacts, or those of a retired version that nothing else uses."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "labapp", "version": "1.0", "artifacts": []}]}
    )

    name: str = Field(default="", max_length=100)
    version: str = Field(default="", max_length=100)
    artifacts: list[str] = Field(default=[], max_length=20_000)


@router.get("/library/content")
def list_content(
    actor: Reads,
    library: Library,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> list[ContentView]:
    """Return what is on the controller's disk, by digest; the next page comes after the last digest."""
    return [ContentView(sha256=digest, size=size) for digest, size in library.content(after, limit)]


@router.post("/library/checks", status_code=202)
def verify(actor: Audits, checking: TheChecking) -> TaskView:
    """Let everything be read and verified; what was found is recorded as evidence."""
    return task_view(checking.begin(actor.name))


@router.get("/library/sites")
def list_sites(actor: Reads, keeping: TheKeeping) -> list[SiteView]:
    """Return every site, and what each held when it was last looked at."""
    return [_site(site) for site in keeping.sites()]


@router.post("/library/sites", status_code=201)
def add_site(order: SiteOrder, actor: ManagesLibrary, keeping: TheKeeping) -> SiteView:
    """Keep copies at a further site, when it answers."""
    options = {name: value for name in ("endpoint", "region", "ca") if (value := getattr(order, name))}
    secrets = {"access_key": order.access_key, "secret": order.secret, "token": order.secret}
    return _site(keeping.add(order.name, Place(order.kind, order.location, options, secrets), actor.name))


@router.post("/library/sites/{site}/replication", status_code=202)
def replicate(site: str, actor: ManagesLibrary, keeping: TheKeeping) -> TaskView:
    """Let what a site lacks be copied to it, each copy read back there."""
    return task_view(keeping.replicate(site, actor.name))


@router.post("/library/sites/{site}/checks", status_code=202)
def check_site(site: str, actor: Audits, keeping: TheKeeping) -> TaskView:
    """Let everything that a site has be read back."""
    return task_view(keeping.check(site, actor.name))


@router.post("/library/sites/{site}/archive", status_code=202)
def archive(
    site: str, order: ArchiveOrder, actor: ManagesLibrary, keeping: TheKeeping, retention: TheRetention
) -> TaskView:
    """Let content be moved to a site: copied, read back there, and only then removed here."""
    digests = list(order.artifacts)
    if order.name or order.version:
        digests += retention.of_version(order.name, order.version).artifacts
    if not digests:
        raise InvalidInput("there is nothing to archive", mend="Name artifacts, or a retired version.")
    return task_view(keeping.archive(site, digests, actor.name))


@router.post("/artifacts/{digest}/restoration", status_code=202)
def restore(digest: str, actor: ManagesLibrary, keeping: TheKeeping) -> TaskView:
    """Let content be brought back from a site that has it."""
    return task_view(keeping.restore(digest, actor.name))


@router.get("/library/retired")
def list_retired(actor: Reads, retention: TheRetention) -> list[RetiredView]:
    """Return the retired versions, the newest first, with their artifacts."""
    return [_retired(one) for one in retention.retired()]


@router.post("/library/retired", status_code=201)
def retire(order: RetireOrder, actor: AuthorisesReleases, retention: TheRetention) -> RetiredView:
    """Retire a version: what only it uses is not deployed any more."""
    return _retired(retention.retire(order.name, order.version, order.reason, actor.name))


def _site(site: LibrarySite) -> SiteView:
    return SiteView(**site.model_dump(include=set(SiteView.model_fields)))


def _retired(retired: Retired) -> RetiredView:
    said = retired.version.model_dump(include=set(RetiredView.model_fields))
    return RetiredView(**said, artifacts=retired.artifacts, kept=retired.kept)
