"""Errors that are known when a package is built, and how to live with them: part of its manifest.  Pure."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from .expectations import Strict, Text

Prose = Annotated[str, StringConstraints(min_length=1, max_length=5000)]


class Severity(StrEnum):
    """How much a known error hurts, the least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class KnownErrorEntry(Strict):
    """An error that the builder knows of."""

    title: Text = Field(description="what it is, in a few words", examples=["loses its window's size"])
    severity: Severity = Field(description="how much it hurts", examples=["low"])
    workaround: Prose | None = Field(default=None, description="how to live with it", examples=["Resize it again."])
    component: Text | None = Field(default=None, description="the component that has it", examples=["labapp"])
