"""The release policy: what a release of each type must have before it may enter each state.

A YAML file (policy.yaml).  The models below are the format.  Each release is bound to the version of the policy that
was in force when it was drafted.
"""

import hashlib
import re
from datetime import date
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, Tag, ValidationError, field_validator, model_validator

from verdelta_agent.model import canonical

from ..access.rules import Role
from ..foundation.errors import InvalidInput, NotFound
from . import located_yaml
from .components import Document as DocumentKind
from .expectations import Strict, Text, told_by
from .known_errors import Severity
from .manifest import NAME, ReleaseType
from .manifest_errors import ManifestError, Problem, problems_of
from .rules import ReleaseState
from .sides import Purpose

RecordName = Annotated[str, StringConstraints(max_length=60, pattern=NAME)]


class _Gate(Strict):
    """Something that has to be so before a release may enter a state."""

    gate: str

    @property
    def name(self) -> str:
        """Return what a checklist and a waiver call it."""
        return f"{self.gate} {self.about()}".rstrip()

    def about(self) -> str:
        """Return what tells this gate from others of its kind."""
        return ""


class BuilderTests(_Gate):
    """The builder's own tests of this package have passed."""

    gate: Literal["builder-tests"]


class Criteria(_Gate):
    """The package says what it will be accepted by."""

    gate: Literal["criteria"]
    at_least: int = Field(default=1, ge=1, le=1000, description="how many criteria")


class Rehearsal(_Gate):
    """This package was rehearsed: every host and every criterion came out as it should."""

    gate: Literal["rehearsal"]


class RehearsedChange(_Gate):
    """What the rehearsal was observed to change was reviewed, line by line, and accepted."""

    gate: Literal["rehearsed-change"]


class BackOut(_Gate):
    """The package can be taken back."""

    gate: Literal["back-out"]


class KnownErrors(_Gate):
    """No more known errors of this severity, or a worse one, are open than this, with a workaround or without."""

    gate: Literal["known-errors"]
    severity: Severity = Field(default=Severity.HIGH, description="the least severity that counts")
    at_most: int = Field(default=0, ge=0, le=1000, description="how many may be open")

    def about(self) -> str:
        """Return what tells this gate from others of its kind."""
        return self.severity.value


class Document(_Gate):
    """The package holds a document of this kind."""

    gate: Literal["document"]
    of: DocumentKind = Field(description="kind of document", examples=["design", "user-manual"])

    def about(self) -> str:
        """Return what tells this gate from others of its kind."""
        return self.of


class Record(_Gate):
    """Somebody has recorded that this was done, with its outcome: a scan, a training, an announcement, a check."""

    gate: Literal["record"]
    of: RecordName = Field(description="what was done", examples=["security-scan", "training", "capacity-check"])
    by: Role = Field(description="whose task it is", examples=["build-manager"])

    def about(self) -> str:
        """Return what tells this gate from others of its kind."""
        return self.of


class SignOff(_Gate):
    """People have signed exactly this package."""

    gate: Literal["sign-off"]
    of: Purpose = Field(description="what is signed", examples=["acceptance"])
    at_least: int = Field(default=1, ge=1, le=20, description="how many people")

    def about(self) -> str:
        """Return what tells this gate from others of its kind."""
        return self.of.value


class NoFreeze(_Gate):
    """No freeze is in force for this type of release."""

    gate: Literal["no-freeze"]


class Frequency(_Gate):
    """No more releases of this type and service went out in that time."""

    gate: Literal["frequency"]
    at_most: int = Field(ge=1, le=1000, description="releases")
    days: int = Field(ge=1, le=3660)


Gate = Annotated[
    Annotated[BuilderTests, Tag("builder-tests")]
    | Annotated[Criteria, Tag("criteria")]
    | Annotated[Rehearsal, Tag("rehearsal")]
    | Annotated[RehearsedChange, Tag("rehearsed-change")]
    | Annotated[BackOut, Tag("back-out")]
    | Annotated[KnownErrors, Tag("known-errors")]
    | Annotated[Document, Tag("document")]
    | Annotated[Record, Tag("record")]
    | Annotated[SignOff, Tag("sign-off")]
    | Annotated[NoFreeze, Tag("no-freeze")]
    | Annotated[Frequency, Tag("frequency")],
    told_by(
        "gate",
        "builder-tests",
        "criteria",
        "rehearsal",
        "rehearsed-change",
        "back-out",
        "known-errors",
        "document",
        "record",
        "sign-off",
        "no-freeze",
        "frequency",
    ),
]
NEVER_WAIVED = ("sign-off",)  # what somebody else would sign for is not theirs to leave out

Guarded = Literal["built", "in_test", "accepted", "authorised", "deploying", "closed"]
Skippable = Literal["in_test", "accepted"]


class TypePolicy(Strict):
    """What the policy asks of releases of one type."""

    skips: list[Skippable] = Field(
        default=[], description="states that it need not go through; their gates are owed, visibly, until it closes"
    )
    verified_in: list[Literal["build", "test", "staging"]] = Field(
        default=[], description="stages in whose environments a package is verified before it goes to a later one"
    )
    before: dict[Guarded, Annotated[list[Gate], Field(max_length=100)]] = Field(
        default={}, description="gates, by the state that they have to be met before"
    )

    @field_validator("before")
    @classmethod
    def _each_once(cls, before: dict[str, list[Gate]]) -> dict[str, list[Gate]]:
        for state, gates in before.items():
            names = [gate.name for gate in gates]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{twice[0]} stands twice before {state}")
        return before

    def gates(self, state: ReleaseState) -> list[Gate]:
        """Return the gates before a state."""
        return self.before.get(state.value, [])  # type: ignore[call-overload,no-any-return]


class Freeze(Strict):
    """Days on which nothing is deployed, both included."""

    name: Text = Field(description="what it is called", examples=["end of the year"])
    begins: date = Field(examples=["2026-12-20"])
    ends: date = Field(examples=["2027-01-04"])
    except_for: list[ReleaseType] = Field(default=[], description="types that it does not hold up")

    @field_validator("begins", "ends", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError("not a day like 2026-12-20")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends < self.begins:
            raise ValueError(f"{self.name} ends before it begins")
        return self


class ServiceLevel(Strict):
    """What was agreed for a service, with its unit."""

    service: Text = Field(examples=["lab"])
    measure: Text = Field(examples=["availability"])
    unit: Text = Field(examples=["%"])
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _a_bound(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a service level needs at_least, at_most or both")
        return self


_NUMBERING = {
    "any": (re.compile(r".+"), "anything"),
    "major.minor": (re.compile(r"(\d+)\.(\d+)"), "two numbers, as in 1.4"),
    "major.minor.patch": (re.compile(r"(\d+)\.(\d+)\.(\d+)"), "three numbers, as in 1.4.2"),
    "calendar": (re.compile(r"20\d\d\.(0[1-9]|1[0-2])(\.\d+)?"), "year and month, as in 2026.11 or 2026.11.2"),
}


class Policy(Strict):
    """What releases must have, by type and state."""

    policy: Annotated[str, StringConstraints(max_length=60, pattern=NAME)] = Field(
        description="its name", examples=["standard"]
    )
    numbering: Literal["any", "major.minor", "major.minor.patch", "calendar"] = Field(
        default="any", description="what the version of a release looks like"
    )
    freezes: list[Freeze] = Field(default=[], max_length=200, description="days on which nothing is deployed")
    service_levels: list[ServiceLevel] = Field(default=[], max_length=1000, description="what was agreed")
    types: dict[ReleaseType, TypePolicy] = Field(min_length=1, description="what each type of release must have")

    def of(self, kind: ReleaseType) -> TypePolicy:
        """Return what is asked of a type.  Raises InvalidInput when the policy does not know it."""
        if kind not in self.types:
            known = ", ".join(known.value for known in self.types)
            raise InvalidInput(f"the policy {self.policy} has no {kind.value} releases", mend=f"It has: {known}.")
        return self.types[kind]

    def check_version(self, kind: ReleaseType, version: str) -> None:
        """Raise InvalidInput for a version that the numbering does not give to a release of this type."""
        pattern, example = _NUMBERING[self.numbering]
        found = pattern.fullmatch(version)
        if found is None:
            raise InvalidInput(
                f'version "{version}" is not numbered as the policy {self.policy} says',
                mend=f"{self.numbering}: {example}.",
            )
        first_of_its_line = not any(int(part) for part in found.groups()[1:] if part)
        if self.numbering.startswith("major") and kind is ReleaseType.MAJOR and not first_of_its_line:
            raise InvalidInput(
                f'version "{version}" is no major release', mend="Of a major release only the first number is not 0."
            )

    def document(self) -> dict[str, Any]:
        """Return the policy as the JSON that is stored and hashed."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def digest(self) -> str:
        """Return the SHA-256 (hex) that names this version of the policy."""
        return hashlib.sha256(canonical(self.document())).hexdigest()


def load_policy(text: str, name: str = "policy.yaml") -> Policy:
    """Return the policy in `text`.  Raises ManifestError with every problem, each with its line."""
    try:
        document = located_yaml.read(text)
    except located_yaml.YamlProblem as error:
        raise ManifestError(name, [Problem(error.line, str(error))]) from error
    try:
        return Policy.model_validate(document.value)
    except ValidationError as error:
        raise ManifestError(name, problems_of(error, document, Policy)) from error


def shipped_policies() -> list[str]:
    """Return the names of the policies that come with Verdelta."""
    folder = resources.files(__package__) / "policies"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@cache
def shipped_policy(name: str) -> tuple[str, Policy]:
    """Return a policy that comes with Verdelta, as it is written and as it is read.  Raises NotFound."""
    if name not in shipped_policies():
        raise NotFound(f"there is no policy {name} among those shipped", mend=", ".join(shipped_policies()))
    text = (resources.files(__package__) / "policies" / f"{name}.yaml").read_text()
    return text, load_policy(text, f"{name}.yaml")
