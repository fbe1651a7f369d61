"""What docs/reference/evidence.md says of other tools works as it stands."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.rolled_out import RealRollouts
from tests.support.web import a_controller

REFERENCE = Path(__file__).parents[4] / "docs/reference/evidence.md"
TOOLS = ("bash", "python3", "openssl", "ssh-keygen", "sha256sum", "base64")


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
def test_the_recipe_for_other_tools_holds_real_evidence_and_refuses_what_was_changed(tmp_path: Path) -> None:
    with a_controller(tmp_path) as services:
        real = RealRollouts(services, tmp_path)
        host = real.host("web-07")
        real.release()
        real.install = lambda action, deployment: _write(real.watched("web-07") / "labapp.conf")
        data = real.export(real.roll_out("1.1", [host]))
    (tmp_path / "controller.pub").write_text(f"{real.trusted[0]}\n")
    assert "Good" in _run(tmp_path, data).stdout
    for field in ("messages", "rows", "authorised_change", "seal"):
        assert _run(tmp_path, _with_a_change(data, field)).returncode != 0, field


def _run(folder: Path, data: bytes) -> "subprocess.CompletedProcess[str]":
    """Run every block of the page, one after the other, on a file of evidence."""
    (folder / "rollout-12.evidence.json").write_bytes(data)
    blocks = re.findall(r"^```bash\n(.*?)^```$", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    script = "set -e -o pipefail\n" + "".join(blocks)
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)


def _write(path: Path) -> None:
    path.write_text("colour = blue\n")


def _with_a_change(data: bytes, field: str) -> bytes:
    """Return the file with one letter or digit changed not far behind the first mention of a field."""
    start = data.index(f'"{field}":'.encode()) + 40
    place = next(place for place in range(start, len(data)) if data[place : place + 1].isalnum())
    return data[:place] + (b"0" if data[place : place + 1] != b"0" else b"1") + data[place + 1 :]
