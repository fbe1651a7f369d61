"""The manifest of a release: what it is made of, how it is installed, and what is different on a host afterwards.

A YAML file (release.yaml).  The models below are the format; editors get them as a JSON Schema.  Every error names the
line, what is wrong there, and the mend.
"""

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, StrictInt, StringConstraints, ValidationError, field_validator

from verdelta_agent.model import canonical

from ..foundation.errors import InvalidInput, NotFound
from . import located_yaml
from .acceptance import Criterion, StateCriterion
from .component_checks import Flaw, component_flaws
from .components import PATH, SHA256, Component, InnerPath
from .expectations import Expectation, Strict, Text
from .known_errors import KnownErrorEntry
from .manifest_errors import ManifestError, Problem, problems_of, quoted

NAME = r"^[a-z0-9][a-z0-9._+-]*$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._+~-]*$"
PROSE = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

Variable = Annotated[str, StringConstraints(max_length=100, pattern=VARIABLE)]


class ReleaseType(StrEnum):
    """How much a release brings, and how fast; the policy of each differs."""

    MAJOR = "major"
    MINOR = "minor"
    EMERGENCY = "emergency"


class Step(Strict):
    """A playbook, and the variables that it is run with."""

    playbook: InnerPath = Field(
        description="shipped with Verdelta or in the release", examples=["install_packages.yml"]
    )
    variables: dict[Variable, JsonValue] = Field(
        default={},
        alias="with",
        max_length=200,
        description="variables of the playbook",
        examples=[{"version": "1.1"}],
        json_schema_extra={
            "propertyNames": {"maxLength": 100, "not": {"pattern": "^ansible_"}},
            "additionalProperties": False,
        },
    )

    @field_validator("variables")
    @classmethod
    def _reaches_hosts_as_planned(cls, variables: dict[str, Any]) -> dict[str, Any]:
        """ansible_connection and its like decide on which machine the playbook runs, and as whom."""
        for name in variables:
            if name.startswith("ansible_"):
                raise ValueError(f"{name} cannot be set by a release: how hosts are reached is the inventory's to say")
        return variables


class BuilderTest(Strict):
    """A command by which the builder tests the package before anybody else does."""

    name: Text = Field(description="what it is called", examples=["unit"])
    run: list[Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=PROSE)]] = Field(
        min_length=1,
        max_length=200,
        description="the command, word by word, run in the release folder",
        examples=[["python3", "-m", "pytest", "-q"]],
    )
    timeout: Annotated[StrictInt, Field(ge=1, le=86_400)] = Field(
        default=600, description="seconds after which it has failed", examples=[60]
    )


class Manifest(Strict):
    """A release: what it is made of, how it is installed, and what is different on a host afterwards."""

    release: Annotated[str, StringConstraints(max_length=100, pattern=NAME)] = Field(
        description="name of the release", examples=["labapp"]
    )
    version: Annotated[str, StringConstraints(max_length=100, pattern=VERSION)] = Field(
        description="its version", examples=["1.1"]
    )
    type: ReleaseType = Field(description="major, minor or emergency", examples=["minor"])
    service: Text = Field(description="the service that it belongs to", examples=["lab"])
    description: Annotated[str, StringConstraints(max_length=10_000, pattern=PROSE)] | None = Field(
        default=None, description="what it is for", examples=["Faster start."]
    )
    components: list[Component] = Field(default=[], max_length=1000, description="what it is made of")
    tests: list[BuilderTest] = Field(
        default=[], max_length=200, description="the builder's own tests, run by `verdelta release build`"
    )
    install: Step = Field(description="how it is installed")
    back_out: Step | None = Field(default=None, description="how a host gets back to what it was before")
    acceptance: list[Criterion] = Field(default=[], max_length=1000, description="what it will be accepted by")
    known_errors: list[KnownErrorEntry] = Field(
        default=[], max_length=500, description="what is known to be wrong with it, and how to live with that"
    )
    changes: list[Expectation] = Field(
        min_length=1, max_length=5000, description="what is different on a host afterwards, and nothing else is"
    )

    def document(self) -> dict[str, Any]:
        """Return the normalised manifest: what is left out and what is given as the default are the same."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def load_manifest(text: str, name: str = "release.yaml", sections: Collection[str] = ()) -> Manifest:
    """Return the manifest in `text`, when a package can be built of it; `name` is the file's, for errors.

    `sections` are the names of the sections that agents report; when given, a change has to name one of them.
    Raises ManifestError with every problem that was found, each with its line.
    """
    manifest, document = _read(text, name, sections)
    flaws = [
        *component_flaws(manifest.components),
        *_tests_repeated(manifest),
        *_unknown_sections(manifest, sections),
        *_repeated(manifest, document),
        *_criteria_repeated(manifest, document),
    ]
    if flaws:
        raise ManifestError(name, [Problem(document.line(path), text) for path, text in flaws])
    return manifest


def read_manifest(text: str, name: str = "release.yaml") -> Manifest:
    """Return the manifest in `text` as it is, for one that was built by what was right at its time.

    Raises ManifestError.
    """
    return _read(text, name, ())[0]


def _read(text: str, name: str, sections: Collection[str]) -> tuple[Manifest, located_yaml.Located]:
    try:
        document = located_yaml.read(text)
    except located_yaml.YamlProblem as error:
        raise ManifestError(name, [Problem(error.line, str(error))]) from error
    try:
        return Manifest.model_validate(document.value), document
    except ValidationError as error:
        raise ManifestError(name, problems_of(error, document, Manifest, sections)) from error


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the manifest, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Manifest.model_json_schema(by_alias=True),
        "title": "Verdelta release manifest",
    }


def digest_of(manifest: Manifest, files: Mapping[str, str]) -> str:
    """Return the digest of a release package: SHA-256, hex, of the normalised manifest and its files.

    `files` maps each path in the release folder to the SHA-256 (hex) of its content.  How the YAML is laid out, and
    what its comments say, makes no difference.
    """
    for path, digest in files.items():
        if not re.fullmatch(SHA256, digest):
            raise InvalidInput(f"{path}: {quoted(digest)} is no SHA-256 in small hexadecimal digits")
    return hashlib.sha256(canonical({"manifest": manifest.document(), "files": dict(files)})).hexdigest()


def resolve_inside(folder: Path, relative: str) -> Path:
    """Return the real path of a file in a release folder.

    Raises InvalidInput for a path that is not relative, leaves the folder (also by a symbolic link) or is no regular
    file, and NotFound when there is nothing.
    """
    if not re.fullmatch(PATH, relative):
        raise InvalidInput(
            f"{quoted(relative)} is no path inside the release folder",
            mend='Write it relative to the folder of release.yaml, without ".."; no part may begin with a dot.',
        )
    try:
        root = folder.resolve(strict=True)
        path = (root / relative).resolve(strict=True)
        regular = path.is_file()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{relative}: no such file in {folder}", mend="Put it there, or mend its path.") from error
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a loop of links, or no name to it
        raise InvalidInput(
            f"{relative}: cannot be read in {folder}: {error}", mend="Mend the path or the file."
        ) from error
    if not path.is_relative_to(root):
        raise InvalidInput(
            f"{relative}: a symbolic link leads out of the release folder, to {path}",
            mend="Copy the file into the folder: a release holds everything that it installs.",
        )
    if not regular:
        raise InvalidInput(
            f"{relative}: not a regular file in {folder}", mend="Name a file; pack a folder as an archive."
        )
    return path


def _tests_repeated(manifest: Manifest) -> Iterable[Flaw]:
    seen: set[str] = set()
    for place, test in enumerate(manifest.tests):
        if test.name in seen:
            yield Flaw(("tests", place, "name"), f"a second test {quoted(test.name)}; give each its own name")
        seen.add(test.name)


def _unknown_sections(manifest: Manifest, sections: Collection[str]) -> Iterable[Flaw]:
    named: list[tuple[located_yaml.Path, str, Expectation]] = [
        (("changes", place), f"change {place + 1}", change) for place, change in enumerate(manifest.changes)
    ]
    for place, component in enumerate(manifest.components):
        for number, line in enumerate(component.specification):
            where = f"line {number + 1} of the specification of component {place + 1}"
            named.append((("components", place, "specification", number), where, line))
    for place, criterion in enumerate(manifest.acceptance):
        if isinstance(criterion, StateCriterion):
            named.append((("acceptance", place), f"criterion {place + 1}", criterion.expectation()))
    for path, where, expected in named:
        if sections and expected.section not in sections:
            near = difflib.get_close_matches(expected.section, sections, n=1, cutoff=0.75)
            mend = f'did you mean "{near[0]}"?' if near else "no agent reports it"
            yield Flaw((*path, "section"), f"unknown section {quoted(expected.section)} in {where}; {mend}")


def _repeated(manifest: Manifest, document: located_yaml.Located) -> Iterable[Flaw]:
    seen: dict[bytes, int] = {}
    for place, change in enumerate(manifest.changes):
        first = seen.setdefault(canonical({**change.document(), "after": None}), place)
        if first != place:
            line = document.line(("changes", first))
            text = f"change {place + 1} repeats section and key of line {line}; leave one of them"
            yield Flaw(("changes", place, "key"), text)


def _criteria_repeated(manifest: Manifest, document: located_yaml.Located) -> Iterable[Flaw]:
    seen: dict[str, int] = {}
    for place, criterion in enumerate(manifest.acceptance):
        first = seen.setdefault(criterion.id, place)
        if first != place:
            text = f"criterion {place + 1} has the id of line {document.line(('acceptance', first))}; give it its own"
            yield Flaw(("acceptance", place, "id"), text)
