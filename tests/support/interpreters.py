"""The Python interpreters of this machine that the agent has to run on, 3.6 to 3.13, as far as they are there."""

import subprocess
from functools import cache
from pathlib import Path

VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


@cache
def interpreters() -> dict[str, str]:
    """Return version -> path of one interpreter of each version, and "system" -> the system's own."""
    system = Path("/usr/bin/python3")
    found = {"system": str(system)} if system.exists() else {}
    for version in VERSIONS:
        installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python{version}"))
        for path in [*installed, Path(f"/usr/bin/python{version}"), Path(f"/usr/local/bin/python{version}")]:
            if path.exists() and _runs(path, version):
                found[version] = str(path)
                break
    return found


def _runs(path: Path, version: str) -> bool:
    command = [str(path), "-ISE", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode().strip() == version
