"""What has to be right before a manifest and its files become a package.  Pure: the day is passed in.

The same checks run where the release folder lies, before anything is sent, and where the package is taken in.
"""

from collections.abc import Iterator, Mapping
from datetime import date

from . import located_yaml
from .component_checks import Flaw, two_owners
from .components import Component
from .file_claims import MOST_FILES, Claims, unmatched
from .lock import NAME
from .manifest import Manifest
from .manifest_errors import ManifestError, Problem
from .playbooks import playbooks_named


def check_package(
    manifest: Manifest, files: Mapping[str, str], today: date, source: str, name: str = "release.yaml"
) -> None:
    """Check that a manifest and its files (path in the package -> SHA-256) can become a package today.

    `source` is the manifest as it was written and `name` its file, for the lines of the errors.
    Raises ManifestError with everything that is wrong.
    """
    flaws = [*_too_many(files), *_out_of_support(manifest, today), *_files(manifest, files)]
    if flaws:
        document = located_yaml.read(source)
        raise ManifestError(name, [Problem(document.line(path), text) for path, text in flaws])


def _too_many(files: Mapping[str, str]) -> Iterator[Flaw]:
    if len(files) > MOST_FILES:
        yield Flaw((), f"a package of {len(files)} files; at most {MOST_FILES}: pack some of them as archives")


def _out_of_support(manifest: Manifest, today: date) -> Iterator[Flaw]:
    for place, component in enumerate(manifest.components):
        day = component.support_until
        if day is not None and date.fromisoformat(day) < today:
            text = f"support of component {place + 1} ({component.label}) ended on {day}, and today is {today}"
            yield Flaw(("components", place, "support_until"), f"{text}; release a version that is supported")


def _files(manifest: Manifest, files: Mapping[str, str]) -> Iterator[Flaw]:
    """Yield what is named and not there, what is there and not named, and what is not as it should be."""
    components = manifest.components
    claims, playbooks = Claims(components), playbooks_named(manifest)
    named: dict[int, list[str]] = {place: [] for place in range(len(components))}
    for path in sorted(files):
        owners = claims.owners(path)
        for place in owners:
            named[place].append(path)
        if len(owners) > 1:
            first, second = owners[:2]
            yield Flaw(_claim(components[second], second), two_owners(path, components, first, second))
        elif not owners and path not in playbooks and path != NAME:
            yield Flaw((), f"{path}: the manifest does not name it")
        if path == NAME and (owners or path in playbooks):
            yield Flaw((), f"{NAME} is the lock of the package, and no part of a component")
    for place, component in enumerate(components):
        yield from _own_file(component, place, files)
        for entry in unmatched(component, named[place]):
            number = component.files.index(entry)
            yield Flaw(("components", place, "files", number), f"{entry}: no file of the package is named by it")
    for step in ("install", "back_out"):
        found = getattr(manifest, step)
        if found is not None and found.playbook in playbooks - set(files):
            yield Flaw((step, "playbook"), f"{found.playbook} is named in the manifest, and is not in the package")


def _own_file(component: Component, place: int, files: Mapping[str, str]) -> Iterator[Flaw]:
    path = component.own_file
    if path is None:
        return
    if path not in files:
        yield Flaw(_claim(component, place), f"{path} is named in the manifest, and is not in the package")
    elif component.sha256 is not None and files[path] != component.sha256:
        yield Flaw(
            ("components", place, "sha256"),
            f"{path}: checksum does not match the manifest\n"
            f"  expected sha256 {component.sha256}, the file has {files[path]}",
        )


def _claim(component: Component, place: int) -> tuple[str | int, ...]:
    field = "artifact" if component.artifact else "files" if component.files else "source"
    return ("components", place, field)
