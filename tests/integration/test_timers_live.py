"""When timers go off, held against systemd itself, which loads units and shows them without starting any."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from verdelta_agent.collectors.system import units
from verdelta_agent.recorded_host import RecordedHost

SYSTEMD = "/usr/lib/systemd/systemd"
SHIPPED = Path("/usr/lib/systemd/system")
ETC = "/etc/systemd/system"
NOBODY = 65534
FILES = {
    "foo-bar.timer": "[Timer]\nOnCalendar=daily\nOnBootSec=5min\nOnCalendar=Mon *-*-* 03:00\n# no\n"
    "OnUnitActiveSec=1h \\\n  30min\n",
    "foo-bar.timer.d/20.conf": "[Timer]\nOnActiveSec=7s\nOnClockChange=yes\n",
    "foo-.timer.d/10.conf": "[Timer]\nOnStartupSec=3s\n",
    "foo-.timer.d/20.conf": "[Timer]\nOnStartupSec=9s\n",
    "timer.d/30.conf": "[Timer]\nOnStartupSec=4s\n",
    "reset.timer": "[Timer]\nOnCalendar=daily\nOnBootSec=5min\nOnUnitActiveSec=\nOnActiveSec=1\n",
    "a@.timer": "[Timer]\nOnCalendar=hourly\n",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that every user may read: systemd tests nothing as root."""
    if os.geteuid() != 0 or not os.access(SYSTEMD, os.X_OK):
        pytest.skip("needs root and systemd, which is run as nobody")
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def fill(folder: Path) -> dict[str, str]:
    """Write our timers, and copy those of this machine; return path -> text of all of them, as below /etc."""
    shipped = {path.name: path.read_text() for path in SHIPPED.glob("*.timer") if path.is_file()}
    for name, text in {**shipped, **FILES}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        service = folder / name.replace(".timer", ".service")
        if path.suffix == ".timer":
            service.write_text("[Service]\nExecStart=/bin/true\n")
    return {f"{ETC}/{name}": text for name, text in {**shipped, **FILES}.items()}


def told(folder: Path, timer: str) -> list[str]:
    """Return what systemd has understood of a timer.  It keeps its times the other way round."""
    environment = {"SYSTEMD_UNIT_PATH": f"{folder}:{SHIPPED}", "SYSTEMD_LOG_TARGET": "console", "LC_ALL": "C"}
    command = [SYSTEMD, "--test", "--system", f"--unit={timer}", "--no-pager"]
    done = subprocess.run(
        command, env=environment, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, cwd="/"
    )
    _, found, shown = done.stdout.partition(f"-> Unit {timer}:\n")
    if done.returncode != 0 or not found:
        pytest.skip(f"systemd does not test {timer} here: {done.stderr[-200:]}")
    times = re.findall(r"^\s*(On(?:\w+Sec|Calendar)): (.*)$", shown.partition("-> Unit ")[0], re.MULTILINE)
    return [f"{name}={value}" for name, value in reversed(times)]


def normal(setting: str) -> str:
    """Return a setting as systemd writes its value."""
    name, _, value = setting.partition("=")
    kind, label = ("calendar", "Normalized form") if name == "OnCalendar" else ("timespan", "Human")
    done = subprocess.run(["systemd-analyze", kind, value], stdout=subprocess.PIPE, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith(label + ":")]
    return f"{name}={line.partition(':')[2].strip()}"


def test_every_timer_goes_off_when_systemd_says(folder: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    rows = units.collect(RecordedHost({"files": fill(folder)})).rows
    timers = {name: row for name, row in rows.items() if name.endswith(".timer")}
    assert len(timers) >= 3
    for name, row in timers.items():
        instance = name.replace("@.", "@x.")
        ours = [normal(time) for time in row["schedule"] if not time.startswith(("OnClock", "OnTimezone"))]
        assert ours == told(folder, instance), name
    assert "OnClockChange=yes" in timers["foo-bar.timer"]["schedule"]
