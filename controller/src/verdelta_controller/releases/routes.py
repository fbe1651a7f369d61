"""Releases over HTTP, from draft to closed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import AuthorisesReleases, BuildsReleases, Reads, public
from ..foundation.schema import GivenMoment, Moment
from . import playbooks
from .manifest import NAME, VERSION, ReleaseType, manifest_schema
from .service import ReleaseService
from .tables import Package, Release
from .test_results import BuilderTests

router = APIRouter(prefix="/api/v1", tags=["releases"])


def service(request: Request) -> ReleaseService:
    """Return the service behind these routes."""
    found: ReleaseService = request.app.state.services.releases
    return found


Releases = Annotated[ReleaseService, Depends(service)]


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


class Draft(BaseModel):
    """A release that is being planned."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "labapp", "version": "1.1", "type": "minor", "service": "lab"}]},
    )

    name: str = Field(max_length=100, pattern=NAME)
    version: str = Field(max_length=100, pattern=VERSION)
    type: ReleaseType
    service: str = Field(min_length=1, max_length=200)
    planned_for: GivenMoment | None = Field(default=None, description="when it is to be deployed, with its zone")


class Reason(BaseModel):
    """Why something is refused."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "it loses its settings"}]})

    reason: str = Field(min_length=1, max_length=2000)


class ReleaseSummary(BaseModel):
    """A release in one line."""

    name: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    type: str = Field(examples=["minor"])
    service: str = Field(examples=["lab"])
    state: str = Field(examples=["authorised"])
    digest: str = Field(examples=["52d8…"], description="of the package: manifest and files; empty before it is built")
    policy: int = Field(examples=[1], description="version of the policy that it is bound to")
    planned_for: Moment | None
    drafted_at: Moment
    drafted_by: str = Field(examples=["alice"])
    authorised_at: Moment | None
    authorised_by: str | None = Field(examples=["alice"])
    authorised_change: str | None = Field(
        examples=["c1aa…"], description="digest of what it may change, frozen on authorisation"
    )


class ReleaseView(ReleaseSummary):
    """A release and its present package."""

    files: dict[str, str] = Field(examples=[{"app.py": "9f2c…e1"}])
    manifest: dict[str, Any] | None = Field(examples=[{"release": "labapp", "version": "1.1"}])
    built_at: Moment | None
    built_by: str | None = Field(examples=["ci"])
    packages: list[str] = Field(examples=[["52d8…"]], description="digests of all that it has been, the newest first")
    changes: list[dict[str, Any]] = Field(
        examples=[[{"section": "software.dpkg", "key": "labapp:*", "after": {"version": "1.1"}}]],
        description="what it may change: as authorised, or, before that, as its manifest declares",
    )


class GateView(BaseModel):
    """One line of a release's checklist."""

    before: str = Field(examples=["accepted"], description="the state that it has to be met before")
    gate: str = Field(examples=["sign-off acceptance"])
    status: str = Field(
        examples=["not_met"], description="met, not_met, waived, or owed (of a state that was left out)"
    )
    evidence: str = Field(examples=["not signed"])
    by: str = Field(examples=[""])
    at: Moment | None = None
    action: str = Field(examples=["verdelta release sign labapp 1.1 acceptance"])
    action_for: str = Field(examples=["test-manager"])


class Checklist(BaseModel):
    """Every gate of a release, in the order in which it comes to them."""

    release: str = Field(examples=["labapp"])
    version: str = Field(examples=["1.1"])
    state: str = Field(examples=["in_test"])
    policy: str = Field(examples=["standard"])
    policy_version: int = Field(examples=[1])
    gates: list[GateView]


@router.get("/releases")
def list_releases(
    actor: Reads,
    releases: Releases,
    before: Annotated[int | None, Query(ge=0, description="number of the release to go on after")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[ReleaseSummary]:
    """Return releases, the newest first."""
    return [summary(release) for release in releases.releases(before, limit)]


@router.post("/releases", status_code=201)
def build_release(order: ReleaseOrder, actor: BuildsReleases, releases: Releases, response: Response) -> ReleaseView:
    """Make a package; the same content again returns the package that is there (200)."""
    release, is_new = releases.build(order.manifest, order.files, order.name, actor, order.builder_tests)
    response.status_code = 201 if is_new else 200
    return _view(releases, release)


@router.post("/releases/drafts", status_code=201)
def draft_release(order: Draft, actor: AuthorisesReleases, releases: Releases) -> ReleaseView:
    """Begin to plan a release."""
    kept = releases.draft(order.name, order.version, order.type, order.service, order.planned_for, actor)
    return _view(releases, kept)


@router.get("/releases/{name}/{version}")
def show_release(name: str, version: str, actor: Reads, releases: Releases) -> ReleaseView:
    """Return one release."""
    return _view(releases, releases.release(name, version))


@router.get("/releases/{name}/{version}/gates")
def gates(name: str, version: str, actor: Reads, releases: Releases) -> Checklist:
    """Return what a release has and what it lacks, and whose turn it is."""
    release, policy, lines = releases.checklist(name, version)
    return Checklist(
        release=release.name,
        version=release.version,
        state=release.state,
        policy=policy.policy,
        policy_version=release.policy_number,
        gates=[GateView(**line.document()) for line in lines],
    )


@router.post("/releases/{name}/{version}/authorisation")
def authorise(name: str, version: str, actor: AuthorisesReleases, releases: Releases) -> ReleaseView:
    """Authorise a release: what it may change is frozen."""
    return _view(releases, releases.authorise(name, version, actor))


@router.post("/releases/{name}/{version}/closure")
def close(name: str, version: str, actor: AuthorisesReleases, releases: Releases) -> ReleaseView:
    """Close a release that is deployed and owes nothing."""
    return _view(releases, releases.close(name, version, actor))


@router.post("/releases/{name}/{version}/cancellation")
def cancel(name: str, version: str, actor: AuthorisesReleases, releases: Releases) -> ReleaseView:
    """Give a release up that was not deployed."""
    return _view(releases, releases.cancel(name, version, actor))


@router.get("/schemas/release", openapi_extra=public("the format of manifests is no secret; editors fetch it"))
def schema() -> dict[str, Any]:
    """Return the JSON Schema of release.yaml."""
    return manifest_schema()


@router.get("/playbooks")
def list_playbooks(actor: Reads) -> list[str]:
    """Return the names of the shipped playbooks."""
    return playbooks.shipped()


def summary(release: Release) -> ReleaseSummary:
    """Return a release in one line."""
    return ReleaseSummary(**_fields(release))


def _fields(release: Release) -> dict[str, Any]:
    return {**release.model_dump(include=set(ReleaseSummary.model_fields)), "policy": release.policy_number}


def _view(releases: ReleaseService, release: Release) -> ReleaseView:
    packages = releases.packages(release)
    package: Package | None = next((one for one in packages if one.digest == release.digest), None)
    declared = package.manifest["changes"] if package else []
    return ReleaseView(
        **_fields(release),
        files=package.files if package else {},
        manifest=package.manifest if package else None,
        built_at=package.built_at if package else None,
        built_by=package.built_by if package else None,
        packages=[one.digest for one in packages],
        changes=release.authorised_changes if release.authorised_change else declared,
    )
