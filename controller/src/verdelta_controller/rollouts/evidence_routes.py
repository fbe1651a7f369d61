"""The evidence log over HTTP: the key that auditors trust, signed checkpoints to keep, and a check of the whole."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ..access.http import Reads
from .proofs import Proofs

router = APIRouter(prefix="/api/v1/evidence", tags=["evidence"])


def _service(request: Request) -> Proofs:
    service: Proofs = request.app.state.services.proofs
    return service


LogProofs = Annotated[Proofs, Depends(_service)]
Note = Annotated[str, Field(max_length=64 << 10)]


class KeyView(BaseModel):
    """The key that signs checkpoints and files of evidence."""

    key: str = Field(
        examples=["verdelta/7ca2076bd28e61d84eec7176e4557b01+32ddcea6+Aa6x…"],
        description="for `verdelta verify --key`, and for any other reader of C2SP signed notes",
    )


class CheckpointView(BaseModel):
    """The signed state of the log."""

    checkpoint: str = Field(
        examples=["verdelta/7ca2…\n57\nqM0d…=\n\n— verdelta/7ca2… Mt3Oph…\n"],
        description="a C2SP tlog-checkpoint: keep it where the controller cannot change it",
    )


class CheckOrder(BaseModel):
    """Checkpoints that were kept elsewhere; the log has to agree with each of them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"checkpoints": ["verdelta/7ca2…\n57\nqM0d…=\n\n— …\n"]}]}
    )

    checkpoints: list[Note] = Field(default=[], max_length=100)


class CheckView(BaseModel):
    """What was found: so many entries that hold, or the first one that does not and why."""

    holds: bool = Field(examples=[True])
    entries: int = Field(examples=[57], description="how many entries hold, from the first one on")
    root: str = Field(examples=["7d96d5fb…"], description="hash over all entries; empty when they do not hold")
    agreed: int | None = Field(
        examples=[57], description="size of the largest given checkpoint that the log agrees with"
    )
    first_broken: int | None = Field(examples=[None])
    reason: str | None = Field(examples=[None])


@router.get("/key")
def show_key(actor: Reads, proofs: LogProofs) -> KeyView:
    """Return the public key that whoever checks evidence has to trust."""
    return KeyView(key=proofs.key())


@router.get("/checkpoint")
def show_checkpoint(actor: Reads, proofs: LogProofs) -> CheckpointView:
    """Return the signed state of the log as it is now."""
    return CheckpointView(checkpoint=proofs.checkpoint())


@router.post("/check")
def check(order: CheckOrder, actor: Reads, proofs: LogProofs) -> CheckView:
    """Compute the whole log anew from its start, and hold it against checkpoints that were kept elsewhere."""
    return CheckView(**proofs.check(order.checkpoints)._asdict())
