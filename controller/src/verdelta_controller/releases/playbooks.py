"""The playbooks shipped with Verdelta, and the files that a release brings itself."""

from functools import cache
from pathlib import Path

from ..foundation.errors import NotFound
from .manifest import Manifest


@cache
def directory() -> Path:
    """Return where the shipped playbooks lie: in the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    for candidate in (package / "playbooks", package.parents[2] / "playbooks"):
        if candidate.is_dir():
            return candidate
    raise NotFound("the shipped playbooks are missing from this installation", mend="Install Verdelta again.")


def is_shipped(name: str) -> bool:
    """Return whether a playbook of this name is shipped."""
    return "/" not in name and (directory() / name).is_file()


def shipped() -> list[str]:
    """Return the names of the shipped playbooks."""
    return sorted(path.name for path in directory().glob("*.yml"))


def files_named(manifest: Manifest) -> dict[str, str | None]:
    """Return the files of the release folder that a manifest names, each with the SHA-256 that it asks for, if any.

    A playbook that is not shipped with Verdelta is one of them.
    """
    found: dict[str, str | None] = {c.artifact: c.sha256 for c in manifest.components if c.artifact}
    for step in (manifest.install, manifest.back_out):
        if step is not None and not is_shipped(step.playbook):
            found.setdefault(step.playbook, None)
    return found
