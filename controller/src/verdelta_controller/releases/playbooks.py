"""The playbooks shipped with Verdelta."""

from functools import cache
from pathlib import Path

from ..foundation.errors import NotFound


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
