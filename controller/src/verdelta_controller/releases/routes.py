"""Release packages over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import AuthorisesReleases, BuildsReleases, Reads, public
from ..foundation.schema import Moment
from . import playbooks
from .manifest import manifest_schema
from .service import ReleaseService
from .tables import Release
from .test_results import BuilderTests

router = APIRouter(prefix="/api/v1", tags=["releases"])


def _service(request: Request) -> ReleaseService:
    service: ReleaseService = request.app.state.services.releases
    return service


Releases = Annotated[ReleaseService, Depends(_service)]


class ReleaseOrder(BaseModel):
    """A manifest and its files, which are in the library already."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "release.yaml", "manifest": "release: labapp\n…", "files": {"app.py": "9f2c…e1"}}]
        },
    )

    name: str = Field(default="release.yaml", max_length=500, description="of the file, for error messages")
    manifest: str = Field(max_length=2 << 20)
    files: dict[str, str] = Field(default={}, max_length=20_001, description="path in the release folder -> SHA-256")
    builder_tests: BuilderTests | None = Field(default=None, description="what the builder's own tests found")


class ReleaseView(BaseModel):
    """A release package."""

    name: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    type: str = Field(examples=["minor"])
    service: str = Field(examples=["lab"])
    state: str = Field(examples=["authorised"])
    digest: str = Field(examples=["52d8…"], description="of the package: manifest and files")
    files: dict[str, str] = Field(examples=[{"app.py": "9f2c…e1"}])
    manifest: dict[str, Any] = Field(examples=[{"release": "labapp", "version": "1.1"}])
    built_at: Moment
    built_by: str = Field(examples=["ci"])
    authorised_at: Moment | None
    authorised_by: str | None = Field(examples=["alice"])
    authorised_change: str | None = Field(
        examples=["c1aa…"], description="digest of what it may change, frozen on authorisation"
    )


@router.get("/releases")
def list_releases(actor: Reads, releases: Releases) -> list[ReleaseView]:
    """Return every release, the newest first."""
    return [_view(release) for release in releases.releases()]


@router.post("/releases", status_code=201)
def build_release(order: ReleaseOrder, actor: BuildsReleases, releases: Releases, response: Response) -> ReleaseView:
    """Make a package; the same content again returns the package that is there (200)."""
    release, is_new = releases.build(order.manifest, order.files, order.name, actor.name)
    response.status_code = 201 if is_new else 200
    return _view(release)


@router.get("/releases/{name}/{version}")
def show_release(name: str, version: str, actor: Reads, releases: Releases) -> ReleaseView:
    """Return one release."""
    return _view(releases.release(name, version))


@router.post("/releases/{name}/{version}/authorisation")
def authorise(name: str, version: str, actor: AuthorisesReleases, releases: Releases) -> ReleaseView:
    """Authorise a release: what it may change is frozen."""
    return _view(releases.authorise(name, version, actor.name))


@router.get("/schemas/release", openapi_extra=public("the format of manifests is no secret; editors fetch it"))
def schema() -> dict[str, Any]:
    """Return the JSON Schema of release.yaml."""
    return manifest_schema()


@router.get("/playbooks")
def list_playbooks(actor: Reads) -> list[str]:
    """Return the names of the shipped playbooks."""
    return playbooks.shipped()


def _view(release: Release) -> ReleaseView:
    return ReleaseView(**release.model_dump(include=set(ReleaseView.model_fields)))
