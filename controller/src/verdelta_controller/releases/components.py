"""The parts of a release, of every kind: software, hardware, documents.  Where each comes from, who answers for it.

Pure.  A component is a configuration item with a version: what it is, its source, owner, licence and status, the files
that it brings, and the other components that it needs.
"""

import re
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator
from pydantic.config import JsonDict

from .expectations import Expectation, Strict, Text

INVISIBLE = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
PATH = rf"^[^./\\{INVISIBLE}-][^/\\{INVISIBLE}]*(/[^./\\{INVISIBLE}][^/\\{INVISIBLE}]*)*$"
SHA256 = r"^[0-9a-f]{64}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
FETCHED = "fetched"  # folder of a package for what has no place in the release folder
FETCHABLE = ("https", "http", "file")

InnerPath = Annotated[str, StringConstraints(max_length=500, pattern=PATH)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]
Day = Annotated[str, StringConstraints(pattern=DAY)]


class Kind(StrEnum):
    """What a component is."""

    IN_HOUSE_APPLICATION = "in-house-application"
    EXTERNAL_SOFTWARE = "external-software"
    UTILITY_SOFTWARE = "utility-software"
    SYSTEM_SOFTWARE = "system-software"
    HARDWARE = "hardware"
    DOCUMENTATION = "documentation"


class Document(StrEnum):
    """What a document is for."""

    PORTFOLIO_ENTRY = "portfolio-entry"
    CATALOGUE_ENTRY = "catalogue-entry"
    SLA = "sla"
    OLA = "ola"
    UNDERPINNING_CONTRACT = "underpinning-contract"
    DESIGN = "design"
    SPECIFICATION = "specification"
    ASSEMBLY_INSTRUCTIONS = "assembly-instructions"
    INSTALLATION_INSTRUCTIONS = "installation-instructions"
    OPERATING_INSTRUCTIONS = "operating-instructions"
    USER_MANUAL = "user-manual"
    TRAINING_MATERIAL = "training-material"
    RELEASE_NOTES = "release-notes"
    KNOWN_ERRORS = "known-errors"


class Status(StrEnum):
    """Where a component stands, from development or purchase to live operation, in that order."""

    IN_DEVELOPMENT = "in-development"
    ON_ORDER = "on-order"
    PURCHASED = "purchased"
    CUSTOMISED = "customised"
    CONFIGURED = "configured"
    TESTED = "tested"
    READY = "ready"
    LIVE = "live"
    RETIRED = "retired"


class Part(StrEnum):
    """The five parts of a release's final configuration."""

    KNOWLEDGE = "knowledge"
    INFORMATION = "information"
    HARDWARE = "hardware"
    SOFTWARE = "software"
    INFRASTRUCTURE = "infrastructure"


_OF_KIND = {Kind.HARDWARE: Part.HARDWARE, Kind.SYSTEM_SOFTWARE: Part.INFRASTRUCTURE}
_INFORMATION = (  # about the service; every other document is knowledge for those who run and use it
    Document.PORTFOLIO_ENTRY,
    Document.CATALOGUE_ENTRY,
    Document.SLA,
    Document.OLA,
    Document.UNDERPINNING_CONTRACT,
    Document.DESIGN,
    Document.SPECIFICATION,
)


def _if_managed_by(managers: list[JsonValue], required: str) -> JsonDict:
    given: JsonDict = {"properties": {"manager": {"enum": managers}}, "required": ["manager"]}
    return {"if": given, "then": {"required": [required]}}


def _only_of(kind: Kind) -> JsonDict:
    return {"properties": {"kind": {"const": kind.value}}}


class Component(Strict):
    """One part of a release: software, hardware or documentation."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["name"]}, {"required": ["package"]}],
            "allOf": [
                _if_managed_by(["deb", "rpm", "pip"], "package"),
                _if_managed_by(["archive", "file"], "artifact"),
            ],
            "dependentSchemas": {
                "sha256": {"anyOf": [{"required": ["artifact"]}, {"required": ["source"]}]},
                "document": {
                    **_only_of(Kind.DOCUMENTATION),
                    "anyOf": [{"required": [name]} for name in ("artifact", "files", "source")],
                },
                "specification": _only_of(Kind.HARDWARE),
            },
        }
    )

    kind: Kind = Field(description="what it is", examples=["external-software"])
    version: Text = Field(description="its version, as its own manager writes it", examples=["1:1.1-2"])
    name: Text | None = Field(default=None, description="what people call it", examples=["Lab application"])
    package: Text | None = Field(default=None, description="its name to the manager", examples=["labapp"])
    manager: Literal["deb", "rpm", "pip", "archive", "file", "none"] = Field(
        default="none", description="what installs it", examples=["deb"]
    )
    artifact: InnerPath | None = Field(
        default=None,
        description="file of the release folder that goes into the library",
        examples=["artifacts/labapp_1.1_all.deb"],
    )
    files: list[InnerPath] = Field(
        default=[],
        max_length=1000,
        description="further files of the release folder: a file, a folder with all in it, or a pattern in which ** "
        "stands for any folders, * for any characters of a name, ? for one",
        examples=[["app", "lib/**/*.so"]],
    )
    sha256: Sha256 | None = Field(default=None, description="digest that the artifact must have", examples=["0" * 64])
    source: Text | None = Field(
        default=None,
        description="where it comes from; what is not in the folder is fetched from here, if it is https:// or file://",
        examples=["https://example.org/labapp-1.1.tar.gz"],
    )
    licence: Text | None = Field(default=None, description="its licence, as SPDX writes it", examples=["Apache-2.0"])
    owner: Text | None = Field(default=None, description="who answers for it", examples=["platform team"])
    supplier: Text | None = Field(default=None, description="who made it or sells it", examples=["Example plc"])
    status: Status | None = Field(
        default=None, description="where it stands, from development or purchase to live operation", examples=["tested"]
    )
    support_until: Day | None = Field(
        default=None, description="last day on which it is supported", examples=["2031-06-30"]
    )
    requires: list[Text] = Field(
        default=[],
        max_length=1000,
        description="names (or packages) of the components that it needs",
        examples=[["Lab application"]],
    )
    document: Document | None = Field(
        default=None, description="of documentation: what the document is for", examples=["user-manual"]
    )
    specification: list[Expectation] = Field(
        default=[],
        max_length=1000,
        description="of hardware: the rows of hardware.* that show it, and how they have to be",
        examples=[[{"section": "hardware.memory", "key": "*", "after": {"size": {"at_least": 17179869184}}}]],
    )
    configuration: Part | None = Field(
        default=None,
        description="part of the final configuration that it belongs to, where its kind does not say it",
        examples=["infrastructure"],
    )

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if not (self.name or self.package):
            raise ValueError("name and package are missing; give one of them")
        if self.manager in ("deb", "rpm", "pip") and not self.package:
            raise ValueError(f"package is missing: the name by which {self.manager} knows it")
        if self.manager in ("archive", "file") and not self.artifact:
            raise ValueError(f"artifact is missing: the file that manager {self.manager} installs")
        if self.sha256 and not (self.artifact or self.source):
            raise ValueError("sha256 is of nothing; give the artifact or the source that it is of")
        return self

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        if self.document and self.kind is not Kind.DOCUMENTATION:
            raise ValueError(f"document is for documentation, and this is {self.kind}")
        if self.document and not (self.artifact or self.files or self.source):
            raise ValueError("the document itself is missing; give its artifact, files or source")
        if self.specification and self.kind is not Kind.HARDWARE:
            raise ValueError(f"specification is for hardware, and this is {self.kind}")
        return self

    @field_validator("specification")
    @classmethod
    def _is_about_hardware(cls, specification: list[Expectation]) -> list[Expectation]:
        for line in specification:
            if not line.section.startswith("hardware."):
                raise ValueError(f"{line.section} is no section of hardware")
        return specification

    @field_validator("support_until")
    @classmethod
    def _is_a_day(cls, day: str | None) -> str | None:
        if day is not None:
            try:
                date.fromisoformat(day)
            except ValueError as error:
                raise ValueError(f"{day} is no day of the calendar") from error
        return day

    @property
    def label(self) -> str:
        """What the component goes by."""
        return self.name or self.package or ""

    @property
    def part(self) -> Part:
        """The part of the final configuration that it belongs to."""
        if self.configuration is not None:
            return self.configuration
        if self.kind is Kind.DOCUMENTATION:
            return Part.INFORMATION if self.document in _INFORMATION else Part.KNOWLEDGE
        return _OF_KIND.get(self.kind, Part.SOFTWARE)

    @property
    def own_file(self) -> str | None:
        """The one file that it is in the package: its artifact, or what is fetched from its source."""
        return self.artifact or (fetched_name(self.source) if self.is_fetched else None)

    @property
    def is_fetched(self) -> bool:
        """Whether its content comes from its source because the release folder has no place for it.

        A package of a manager comes from the manager's own repositories, unless its digest says that it is this file.
        """
        if self.artifact or self.files or self.kind is Kind.HARDWARE or not is_fetchable(self.source):
            return False
        return self.sha256 is not None or self.manager == "none"


def is_fetchable(source: str | None) -> bool:
    """Return whether a source is a URL that the build fetches from."""
    return source is not None and source.partition("://")[0].lower() in FETCHABLE and "://" in source


def fetched_name(source: str | None) -> str | None:
    """Return the name in the package of what is fetched from a URL, or None when the URL ends in no file name."""
    try:
        path = unquote(urlsplit(source or "").path, errors="strict")
    except ValueError:
        return None
    name = PurePosixPath(path).name if not path.endswith("/") else ""
    return f"{FETCHED}/{name}" if re.fullmatch(PATH, name) and len(name) < 256 else None


def dependencies(components: Sequence[Component]) -> list[list[int]]:
    """Return for each component the places of those that it requires, in order; names that are not there are left out.

    A name that several components go by (one package for two managers) means all of them.
    """
    named: dict[str, list[int]] = {}
    for place, component in enumerate(components):
        for name in {component.name, component.package} - {None}:
            named.setdefault(str(name), []).append(place)
    return [
        sorted({found for name in component.requires for found in named.get(name, []) if found != place})
        for place, component in enumerate(components)
    ]
