"""release.lock: every component of a package pinned, and the final configuration that they make.  Pure.

The lock is computed from the manifest and from what its files are: nothing else goes into it, so the same inputs give
the same bytes wherever, whenever and in whatever order.  It is itself one of the files of the package, whose digest
therefore stands for it too; whoever takes a package in computes it again and compares.

JSON with sorted keys, in ASCII, each component on one line.  `sha256` of a component is that of its only file, or of
the canonical JSON {path: sha256} when it has several; `size` is in bytes.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from verdelta_agent.model import canonical

from ..foundation.errors import InvalidInput
from .components import Component, Kind, Part, Sha256, dependencies
from .file_claims import files_of
from .manifest import Manifest

NAME = "release.lock"
SCHEMA = "verdelta.release.lock/1"
LIMIT = 32 << 20  # bytes of a lock

_TOLD = (
    "manager",
    "package",
    "artifact",
    "source",
    "licence",
    "owner",
    "supplier",
    "status",
    "support_until",
    "document",
)


_FILE: dict[str, JsonValue] = {"sha256": "9f2c" * 16, "size": 48120}
_COMPONENT: dict[str, JsonValue] = {
    "ref": "labapp@1.1",
    "kind": "in-house-application",
    "name": "labapp",
    "version": "1.1",
    "licence": "Apache-2.0",
    "files": {"labapp-1.1.deb": _FILE},
}
_LOCK: dict[str, JsonValue] = {
    "lock": SCHEMA,
    "release": "labapp",
    "version": "1.1",
    "service": "lab",
    "components": [_COMPONENT],
    "configuration": {"software": ["labapp@1.1"]},
    "install": "install_packages.yml",
}


class Frozen(BaseModel):
    """A frozen model without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedFile(Frozen):
    """A file of the package."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FILE]})

    sha256: Sha256
    size: int = Field(ge=0, description="bytes")


class LockedComponent(Frozen):
    """A component with everything that tells it from another one; what the manifest does not say is left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COMPONENT]})

    ref: str = Field(description="what it is called in this lock: name@version", examples=["labapp@1.1"])
    kind: Kind
    name: str
    version: str
    manager: str | None = None
    package: str | None = None
    artifact: str | None = None
    source: str | None = None
    licence: str | None = None
    owner: str | None = None
    supplier: str | None = None
    status: str | None = None
    support_until: str | None = None
    document: str | None = None
    specification: list[dict[str, Any]] = []
    requires: list[str] = Field(default=[], description="refs of the components that it needs")
    files: dict[str, LockedFile] = Field(default={}, description="path in the package -> what it is")
    sha256: Sha256 | None = None
    size: int | None = Field(default=None, description="bytes of all its files")


class Lock(Frozen):
    """The pinned components of a release package, and its final configuration."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LOCK]})

    lock: str = SCHEMA
    release: str
    version: str
    service: str
    components: list[LockedComponent]
    playbooks: dict[str, LockedFile] = Field(default={}, description="files that no component brings")
    configuration: dict[Part, list[str]] = Field(description="the final configuration: refs of components by part")
    install: str = Field(description="playbook")
    back_out: str | None = None

    def document(self) -> dict[str, Any]:
        """Return this as it is written: what is not said is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def written(self) -> bytes:
        """Return the bytes of the file: laid out for people at the top, and by line where it gets long."""
        document = self.document()
        components = ",\n".join("  " + json.dumps(one, sort_keys=True) for one in document.pop("components"))
        rest = json.dumps(document, sort_keys=True, indent=1)
        return f'{rest[:-2]},\n "components": [\n{components}\n ]\n}}\n'.encode("ascii")

    def files(self) -> dict[str, LockedFile]:
        """Return every file of the package but the lock itself."""
        found = dict(self.playbooks)
        for component in self.components:
            found.update(component.files)
        return found


def lock_of(manifest: Manifest, files: Mapping[str, LockedFile]) -> Lock:
    """Return the lock of a manifest and its files (path in the package -> what it is; without the lock itself)."""
    components = manifest.components
    owned = files_of(components, files)
    refs = refs_of(components)
    required = dependencies(components)
    locked = [
        _locked(component, refs[place], sorted(refs[other] for other in required[place]), owned[place], files)
        for place, component in enumerate(components)
    ]
    taken = {path for paths in owned.values() for path in paths}
    return Lock(
        release=manifest.release,
        version=manifest.version,
        service=manifest.service,
        components=sorted(locked, key=lambda one: (one.kind.value, one.ref)),
        playbooks={path: files[path] for path in sorted(files) if path not in taken},
        configuration={
            part: sorted(refs[place] for place, component in enumerate(components) if component.part is part)
            for part in Part
        },
        install=manifest.install.playbook,
        back_out=manifest.back_out.playbook if manifest.back_out else None,
    )


def refs_of(components: Sequence[Component]) -> list[str]:
    """Return a name for each component that no other has: name@version, and where that is not enough, a number.

    The numbers follow the content of the components, not their order in the manifest.
    """
    named: dict[str, list[int]] = {}
    for place, component in enumerate(components):
        named.setdefault(f"{component.label}@{component.version}", []).append(place)
    refs = [""] * len(components)
    for name, places in named.items():
        ordered = sorted(
            places, key=lambda place: canonical(components[place].model_dump(mode="json", exclude_defaults=True))
        )
        for number, place in enumerate(ordered):
            refs[place] = name if number == 0 else f"{name}#{number + 1}"
    return refs


def read_lock(content: bytes, name: str = NAME) -> Lock:
    """Return the lock in a file.  Raises InvalidInput for anything that is none."""
    if len(content) > LIMIT:
        raise InvalidInput(f"{name}: larger than {LIMIT >> 20} MiB")
    try:
        return Lock.model_validate(json.loads(content))
    except (ValueError, RecursionError) as error:
        why = _first(error) if isinstance(error, ValidationError) else "it is no JSON"
        raise InvalidInput(
            f"{name}: not a lock of a release: {why}", mend="Make it anew: verdelta release build --update-lock"
        ) from error


def check_lock(content: bytes, manifest: Manifest, files: Mapping[str, str], sizes: Mapping[str, int]) -> Lock:
    """Return the lock of a package, after checking that it is the one that manifest and files give.

    `files` are all of the package (path -> SHA-256); `sizes` has the bytes of each content by its SHA-256.
    Raises InvalidInput.
    """
    expected = lock_of(
        manifest,
        {
            path: LockedFile.model_construct(sha256=digest, size=sizes[digest])
            for path, digest in files.items()
            if path != NAME
        },
    )
    if content != expected.written():
        read_lock(content)
        raise InvalidInput(
            f"{NAME}: not the lock of this manifest and these files", mend="verdelta release build --update-lock"
        )
    return expected


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of some content, in hex."""
    return hashlib.sha256(content).hexdigest()


def file_digest(files: Mapping[str, LockedFile]) -> str | None:
    """Return the digest that stands for the files of a component, or None when it has none."""
    if len(files) == 1:
        return next(iter(files.values())).sha256
    return hashlib.sha256(canonical({path: file.sha256 for path, file in files.items()})).hexdigest() if files else None


def differences(pinned: Lock, found: Lock) -> Iterator[tuple[LockedComponent, LockedComponent]]:
    """Yield the components with the same name, version, manager, source and artifact, and other content."""
    known = {_identity(component): component for component in pinned.components}
    for component in found.components:
        before = known.get(_identity(component))
        if before is not None and before.sha256 is not None and before.files != component.files:
            yield before, component


def pinned_digest(pinned: Lock | None, component: Component, path: str) -> str | None:
    """Return the digest that an earlier lock has for a component's file, or None when it has no such component."""
    for known in pinned.components if pinned is not None else ():
        same = (known.kind, known.name, known.version, known.source) == (
            component.kind,
            component.label,
            component.version,
            component.source,
        )
        if same and path in known.files:
            return known.files[path].sha256
    return None


def _identity(component: LockedComponent) -> tuple[object, ...]:
    told = (component.manager, component.package, component.source, component.artifact)
    return component.kind, component.name, component.version, *told


def _locked(
    component: Component, ref: str, requires: list[str], paths: Sequence[str], files: Mapping[str, LockedFile]
) -> LockedComponent:
    own = {path: files[path] for path in paths}
    told = {name: value for name in _TOLD if (value := getattr(component, name)) not in (None, "none")}
    return LockedComponent(
        ref=ref,
        kind=component.kind,
        name=component.label,
        version=component.version,
        specification=[line.document() for line in component.specification],
        requires=requires,
        files=own,
        sha256=file_digest(own),
        size=sum(file.size for file in own.values()) if own else None,
        **told,
    )


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, detail['loc']))[:80]}: {detail['msg']}"
