"""The Python interpreters that the agent has to run on, as far as they are here: 3.6 to 3.13, and one for arm64."""

import subprocess
from functools import cache
from pathlib import Path

ARM64 = "arm64"
EMULATED = Path(__file__).parents[2] / "build/arm64/python3"  # scripts/unpack-arm64-python
VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


@cache
def interpreters() -> dict[str, str]:
    """Return version -> path of one interpreter of each, besides "system" (the system's own) and "arm64" (emulated)."""
    system = Path("/usr/bin/python3")
    found = {"system": str(system)} if system.exists() else {}
    for version in VERSIONS:
        installed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python{version}"))
        for path in [*installed, Path(f"/usr/bin/python{version}"), Path(f"/usr/local/bin/python{version}")]:
            if path.exists() and _says(path, "import sys; print('%d.%d' % sys.version_info[:2])") == version:
                found[version] = str(path)
                break
    if EMULATED.exists() and _says(EMULATED, "import os; print(os.uname().machine)") == "aarch64":
        found[ARM64] = str(EMULATED)
    return found


def why_not(name: str) -> str:
    """Return why this machine has no such interpreter, for a test that is skipped."""
    mend = " (qemu-user-static and scripts/unpack-arm64-python)" if name == ARM64 else ""
    return f"there is no Python {name} on this machine{mend}"


def _says(path: Path, program: str) -> str:
    command = [str(path), "-ISE", "-c", program]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode().strip()
