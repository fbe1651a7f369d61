"""`pip install ./agent ./controller` yields both commands, with everything they need in the packages."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with nothing but the two distributions built from here; what they depend on is at hand."""
    folder = tmp_path_factory.mktemp("installed")
    venv = [sys.executable, "-m", "venv", "--system-site-packages", str(folder / "venv")]
    subprocess.run(venv, check=True, capture_output=True)
    python = folder / "venv/bin/python"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(python), "--no-deps"]
    done = subprocess.run([*uv, "./agent", "./controller"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "venv"


def test_the_agent_runs_by_itself(installed: Path, tmp_path: Path) -> None:
    agent = [str(installed / "bin/verdelta-agent"), "inventory", "system.host", "-o", "json"]
    done = subprocess.run(agent, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '"schema"' in done.stdout


def test_the_packages_hold_playbooks_migrations_templates_and_styles(installed: Path) -> None:
    (package,) = installed.glob("lib/python3*/site-packages/verdelta_controller")
    for pattern in (
        "playbooks/install_packages.yml",
        "foundation/migrations/versions/0001_*.py",
        "foundation/migrations/script.py.mako",
        "web/templates/*.html",
        "web/static/*.css",
        "web/static/vendor/**/*LICENSE*",
    ):
        assert list(package.glob(pattern)), pattern
