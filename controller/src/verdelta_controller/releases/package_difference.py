"""What differs between two release packages: components, files, declared changes, and how it is installed.  Pure."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from verdelta_agent.model import canonical

from .lock import Lock, LockedComponent, LockedFile
from .manifest import Manifest

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Change(StrEnum):
    """What became of something from the first package to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class FieldDifference(BaseModel):
    """A field with another value; null is a field that is not there."""

    field: str = Field(examples=["version"])
    before: Any = Field(examples=["1.0"])
    after: Any = Field(examples=["1.1"])


class FileDifference(BaseModel):
    """A file that is there once, or has other content; sizes in bytes."""

    path: str = Field(examples=["artifacts/labapp.deb"])
    change: Change
    before: LockedFile | None
    after: LockedFile | None


class ComponentDifference(BaseModel):
    """A component that is there once, or is another one."""

    kind: str = Field(examples=["external-software"])
    name: str = Field(examples=["labapp"])
    change: Change
    before: str | None = Field(description="version", examples=["1.0"])
    after: str | None = Field(description="version", examples=["1.1"])
    fields: list[FieldDifference] = []
    files: list[FileDifference] = []


class DeclaredDifference(BaseModel):
    """A declared change that one package has, or has with another state afterwards."""

    section: str = Field(examples=["software.dpkg"])
    key: str = Field(examples=["labapp:*"])
    change: Change
    before: Any = Field(default=None, examples=[{"version": "1.0"}])
    after: Any = Field(default=None, examples=[{"version": "1.1"}])


class PackageDifference(BaseModel):
    """Everything that tells two packages apart."""

    one: str = Field(examples=["labapp@1.0"])
    other: str = Field(examples=["labapp@1.1"])
    components: list[ComponentDifference]
    playbooks: list[FileDifference] = Field(description="files that no component brings")
    changes: list[DeclaredDifference]
    fields: list[FieldDifference] = Field(description="everything else in the manifest")

    @property
    def is_empty(self) -> bool:
        """Whether nothing tells them apart."""
        return not (self.components or self.playbooks or self.changes or self.fields)


def difference(one: tuple[Manifest, Lock], other: tuple[Manifest, Lock]) -> PackageDifference:
    """Return what differs from the first package to the second, each a manifest and its lock."""
    (before, before_lock), (after, after_lock) = one, other
    return PackageDifference(
        one=f"{before.release}@{before.version}",
        other=f"{after.release}@{after.version}",
        components=list(_components(before_lock.components, after_lock.components)),
        playbooks=_files(before_lock.playbooks, after_lock.playbooks),
        changes=list(_declared(before, after)),
        fields=_fields(_rest(before), _rest(after)),
    )


def _components(before: Sequence[LockedComponent], after: Sequence[LockedComponent]) -> Iterator[ComponentDifference]:
    for (kind, name, _, _), one, other in _paired(_by_identity(before), _by_identity(after)):
        files = _files(one.files if one else {}, other.files if other else {})
        fields = _fields(_told(one), _told(other)) if one and other else []
        if one is None or other is None or fields or files:
            yield ComponentDifference(
                kind=kind,
                name=name,
                change=_change(one, other),
                before=one.version if one else None,
                after=other.version if other else None,
                fields=fields,
                files=files,
            )


def _by_identity(components: Sequence[LockedComponent]) -> dict[tuple[str, str, str, int], LockedComponent]:
    """Return the components by what they are; several of one name and manager are told apart by their order."""
    found: dict[tuple[str, str, str, int], LockedComponent] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for component in components:
        key = (component.kind.value, component.name, component.manager or "")
        counts[key] = counts.get(key, -1) + 1
        found[(*key, counts[key])] = component
    return found


def _told(component: LockedComponent) -> dict[str, Any]:
    """Return what is said of a component, but for its files and what follows from them or from its place."""
    left_out = {"ref", "files", "sha256", "size", "kind", "name"}
    return component.model_dump(mode="json", exclude=left_out, exclude_defaults=True)


def _files(before: Mapping[str, LockedFile], after: Mapping[str, LockedFile]) -> list[FileDifference]:
    return [
        FileDifference(path=path, change=_change(one, other), before=one, after=other)
        for path, one, other in _paired(before, after)
        if one != other
    ]


def _declared(before: Manifest, after: Manifest) -> Iterator[DeclaredDifference]:
    documents = [
        {
            (change.section, change.key, canonical(change.document().get("on"))): change.document()["after"]
            for change in manifest.changes
        }
        for manifest in (before, after)
    ]
    for (section, key, _), one, other in _paired(*documents):
        if one != other:
            yield DeclaredDifference(section=section, key=key, change=_change(one, other), before=one, after=other)


def _rest(manifest: Manifest) -> dict[str, Any]:
    document = manifest.document()
    return {name: value for name, value in document.items() if name not in ("components", "changes")}


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldDifference]:
    return [
        FieldDifference(field=name, before=one, after=other)
        for name, one, other in _paired(before, after)
        if one != other
    ]


def _paired(
    before: Mapping[Key, Value], after: Mapping[Key, Value]
) -> Iterator[tuple[Key, Value | None, Value | None]]:
    for key in sorted({*before, *after}, key=repr):
        yield key, before.get(key), after.get(key)


def _change(one: object, other: object) -> Change:
    return Change.ADDED if one is None else Change.REMOVED if other is None else Change.CHANGED
