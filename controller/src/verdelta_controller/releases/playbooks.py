"""The playbooks shipped with Verdelta, and the files that a release brings itself."""

from functools import cache
from pathlib import Path

import yaml

from ..foundation.errors import InvalidInput, NotFound
from .manifest import Manifest

LIMIT = 1 << 20  # bytes of a playbook
_BEGINS_WITH = ("hosts", "import_playbook", "ansible.builtin.import_playbook")


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


def playbooks_named(manifest: Manifest) -> set[str]:
    """Return the playbooks that a release brings itself."""
    steps = (manifest.install, manifest.back_out)
    return {step.playbook for step in steps if step is not None and not is_shipped(step.playbook)}


def check_playbook(path: Path, name: str) -> None:
    """Refuse what Ansible could not even read.  Raises InvalidInput, which names the line.

    Whether its modules are there, only Ansible can tell, and its own tags (!vault, !unsafe) are left to it.
    """
    if path.stat().st_size > LIMIT:
        raise InvalidInput(f"{name}: a playbook of more than {LIMIT} bytes")
    try:
        document = yaml.compose(path.read_text(), yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not a playbook: it is no text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise InvalidInput(f"{name}:{line}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document, yaml.SequenceNode) or not document.value:
        raise InvalidInput(f"{name}:1: not a playbook: expected a list of plays, each beginning with `- hosts: …`")
    for play in document.value:
        keys = [key.value for key, _ in play.value] if isinstance(play, yaml.MappingNode) else []
        if not any(key in _BEGINS_WITH for key in keys):
            line = play.start_mark.line + 1
            raise InvalidInput(f"{name}:{line}: not a play: it names no hosts (tasks alone are no playbook)")
