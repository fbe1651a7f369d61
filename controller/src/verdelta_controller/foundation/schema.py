"""What every part of the API says in the same way: moments, and why something was refused."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

Moment = Annotated[datetime, Field(examples=["2026-11-22T02:14:07Z"])]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("no moment that a calendar of ours has") from error


# A moment that is asked for: with its zone, for nobody knows which one was meant.
GivenMoment = Annotated[AwareDatetime, AfterValidator(_in_utc), Field(examples=["2027-01-15T08:00:00+01:00"])]


class Refusal(BaseModel):
    """What happened, and what can be done about it."""

    error: str = Field(examples=["there is no host named web-70"])
    mend: str | None = Field(examples=["verdelta host list shows the hosts"])
    exit_code: int = Field(
        examples=[2],
        description="of the command that asked: 1 failed, 2 wrong input, 4 not allowed, 5 gate closed, 6 timed out",
    )


REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Refusal, "description": "It was refused."},
    "5XX": {"model": Refusal, "description": "It failed, here or on a host."},
}
