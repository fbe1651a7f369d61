"""The release policy over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import ManagesPolicy, Reads
from ..foundation.schema import Moment
from .policy_service import PolicyService
from .tables import PolicyVersion

router = APIRouter(prefix="/api/v1", tags=["releases"])


def _service(request: Request) -> PolicyService:
    service: PolicyService = request.app.state.services.policies
    return service


Policies = Annotated[PolicyService, Depends(_service)]


class PolicyOrder(BaseModel):
    """A policy, as its author wrote it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"policy": "policy: standard\ntypes:\n  minor: {}\n"}]}
    )

    name: str = Field(default="policy.yaml", max_length=500, description="of the file, for error messages")
    policy: str = Field(max_length=1 << 20)


class PolicySummary(BaseModel):
    """A version of the policy."""

    number: int = Field(examples=[1])
    name: str = Field(examples=["standard"])
    digest: str = Field(examples=["8a01…"])
    put_at: Moment
    put_by: str = Field(examples=["alice"])


class PolicyView(PolicySummary):
    """A version of the policy, with all that it says."""

    source: str = Field(examples=["policy: standard\n…"])
    document: dict[str, Any] = Field(examples=[{"policy": "standard"}])


@router.get("/policies")
def list_policies(actor: Reads, policies: Policies) -> list[PolicySummary]:
    """Return the versions of the policy, the one in force first."""
    return [PolicySummary(**_fields(version)) for version in policies.versions()]


@router.get("/policies/in-force")
def policy_in_force(actor: Reads, policies: Policies) -> PolicyView:
    """Return the policy that new releases are bound to."""
    return _view(policies.in_force())


@router.get("/policies/{number}")
def show_policy(number: int, actor: Reads, policies: Policies) -> PolicyView:
    """Return one version of the policy."""
    return _view(policies.version(number))


@router.post("/policies", status_code=201)
def put_policy(order: PolicyOrder, actor: ManagesPolicy, policies: Policies, response: Response) -> PolicyView:
    """Put a policy in force for releases drafted from now on; the same again changes nothing (200)."""
    version, is_new = policies.put(order.policy, actor, order.name)
    response.status_code = 201 if is_new else 200
    return _view(version)


def _fields(version: PolicyVersion) -> dict[str, Any]:
    return version.model_dump(include=set(PolicySummary.model_fields))


def _view(version: PolicyVersion) -> PolicyView:
    return PolicyView(**_fields(version), source=version.source, document=version.document)
