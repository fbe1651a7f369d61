"""The README cannot lie: every command in it is run, in its order, on a real host; and so are its two commands."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.lab import Lab
from tests.support.controller import Controller

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

# Run by the fixture `controller`, which is what the sentence around them says, and by test_packaging.
ELSEWHERE = ("pip install ./agent ./controller", "verdelta init --policy one-person", "verdelta serve")
DIFFERENCES = ("verdelta diff",)


def commands() -> list[str]:
    """Return every command of the README's consoles, in order."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def isolated(command: Sequence[str]) -> list[str]:
    """Return a command for a machine of its own, so that what other tests do to this one is nothing it sees."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return list(command)
    up = 'ip link set lo up && exec "$@"'
    return ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", up, "sh", *command]


@pytest.mark.lab
def test_every_command_of_the_readme_works_as_it_stands(controller: Controller, lab: Lab, tmp_path: Path) -> None:
    host = lab.hosts["h1"]
    (tmp_path / ".ssh").mkdir()
    shutil.copy(lab.private_key, tmp_path / ".ssh/deploy-key")
    shutil.copy(lab.known_hosts, tmp_path / ".ssh/known_hosts")
    manifest = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert manifest is not None
    (tmp_path / "release.yaml").write_text(manifest.group(1))
    path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    run = [command for command in commands() if command not in ELSEWHERE]
    assert len(run) > 10
    for command in run:
        line = command.replace("192.0.2.7", host.address)
        shell = ["sh", "-c", f"cd {tmp_path} && {line}"]
        environment = [*controller.environment, f"HOME={tmp_path}", path]
        done = lab.run([*environment, *shell], check=False, timeout=180)
        expected = 3 if command.startswith(DIFFERENCES) else 0
        assert done.returncode == expected, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert host.ssh("labapp --version", check=False).returncode == 127  # backed out


def test_the_demo_shows_a_verified_release_and_an_unexpected_change_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        isolated(["make", "demo", "ONCE=1"]),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert "2 matched, 0 unexpected, 0 missing, 0 drift" in done.stdout, said
    assert "1 matched, 1 unexpected, 0 missing, 0 drift" in done.stdout, said
    assert "phone-home" in done.stdout
    assert list(tmp_path.glob("verdelta-demo-*")) == []


def test_the_makefile_has_the_commands_that_the_readme_names() -> None:
    for command in set(re.findall(r"(?:^    |`)(make [a-z]+)", README, re.MULTILINE)):
        done = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"
