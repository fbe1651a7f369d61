"""Runs the real agent on a bad day, and holds what it shows against what it shows on a good one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import verdelta_agent
from verdelta_agent.model import ABSENT

SOURCES = str(Path(verdelta_agent.__file__).parents[1])
AGENT = [sys.executable, "-ISE", "-c"]
PROGRAM = f"""
import sys
sys.path.insert(0, {SOURCES!r})
from verdelta_agent import cli, host
host.LocalHost.watched = tuple(sys.argv.pop(1).split(":"))
cli.run()
"""

Sections = dict[str, Any]


def command(*watched: str, sections: tuple[str, ...] = (), state: str = "/nonexistent") -> list[str]:
    paths = ":".join(watched or ("/etc",))
    return [*AGENT, PROGRAM, paths, "--state", state, "inventory", "-o", "json", *sections]


def seen(done: "subprocess.CompletedProcess[bytes]") -> Sections:
    assert done.returncode == 0, done.stderr
    found: Sections = json.loads(done.stdout)["sections"]
    return found


def run(arguments: list[str], **options: Any) -> Sections:
    return seen(subprocess.run(arguments, capture_output=True, timeout=150, check=False, **options))


def trouble(sections: Sections) -> dict[str, Any]:
    """Return what is failed or partial."""
    return {
        name: found.get("error") for name, found in sections.items() if found["status"] != ABSENT and "error" in found
    }


def others(sections: Sections) -> dict[str, str]:
    return {name: found["digest"] for name, found in sections.items() if name not in ("system.files", "system.mounts")}


def alike(first: Any, second: Any, wanted: Any) -> None:
    """Check that two audits saw the same.  Where somebody changed the machine between them, they are made again."""
    for _ in range(4):
        one, other = first(), second()
        if wanted(one) == wanted(other):
            return
    differing = {name for name in wanted(one) if wanted(one)[name] != wanted(other)[name]}
    assert differing == set()
