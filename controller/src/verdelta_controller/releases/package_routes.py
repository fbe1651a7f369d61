"""What is in release packages, over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from ..access.http import Reads
from ..foundation.schema import Moment
from .lock import Lock
from .package_difference import PackageDifference
from .packages import PackageService

router = APIRouter(prefix="/api/v1", tags=["releases"])


def _service(request: Request) -> PackageService:
    service: PackageService = request.app.state.services.packages
    return service


Packages = Annotated[PackageService, Depends(_service)]
Named = Annotated[str, Query(max_length=300, examples=["labapp@1.1"], description="name@version")]


@router.get("/releases/{name}/{version}/sbom")
def show_bill_of_materials(name: str, version: str, actor: Reads, packages: Packages) -> dict[str, Any]:
    """Return the bill of materials of a release: CycloneDX 1.6."""
    return packages.bill_of_materials(name, version)


@router.get("/releases/{name}/{version}/lock", response_model_exclude_none=True)
def show_lock(name: str, version: str, actor: Reads, packages: Packages) -> Lock:
    """Return the final configuration of a release: every component, pinned."""
    return packages.lock(name, version)


class ComponentStep(BaseModel):
    """A component as one package has it."""

    component: str = Field(examples=["labapp"])
    kind: str = Field(examples=["external-software"])
    version: str = Field(examples=["1.1"])
    status: str = Field(examples=["tested"], description="in-development to live; empty where nobody said anything")
    owner: str = Field(examples=["platform team"])
    release_version: str = Field(examples=["1.1"])
    package: str = Field(examples=["52d8…"])
    built_at: Moment


@router.get("/release-components")
def components(
    release: Annotated[str, Query(max_length=100, examples=["labapp"])],
    actor: Reads,
    packages: Packages,
    component: Annotated[str, Query(max_length=200)] = "",
) -> list[ComponentStep]:
    """Return the way of each component of a release from development or purchase to live operation."""
    return [ComponentStep(**step._asdict()) for step in packages.components(release, component)]


@router.get("/release-differences")
def compare(one: Named, other: Named, actor: Reads, packages: Packages) -> PackageDifference:
    """Return what differs from one release package to the other."""
    return packages.difference(one, other)
