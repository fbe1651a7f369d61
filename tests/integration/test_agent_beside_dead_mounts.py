"""Beside a file system that never answers, every section ends in time, and so does the agent.

Peers hang there: osquery, ohai, facter's relatives and Ansible did in a measured test.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import bad_day, dead_mount
from tests.support.bad_day import PROGRAM, SOURCES, Sections, alike, command, others, run, seen, trouble

TOP = Path(__file__).parents[2]
PYTHON = [bad_day.AGENT[0], "-ISE", "-c"]
PLACE = Path("/usr/local/lib")  # where administrators mount things, and where Python, npm and systemd look
IMPATIENT = ("software.pip", "software.npm", "software.gem", "system.units")  # that look there
SOON = 1.0

# Takes SOON in place of the deadlines of IMPATIENT, so that the tests do not take minutes.
HURRIED = PROGRAM.replace(
    "cli.run()",
    f"""
from verdelta_agent import collectors, gather
gather.PATIENCE = {SOON}
load = collectors.Entry.load
def hurried(entry):
    collector = load(entry)
    return collector._replace(deadline={SOON}) if entry.name in {IMPATIENT} else collector
collectors.Entry.load = hurried
cli.run()
""",
)


@pytest.fixture(params=dead_mount.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if reason := dead_mount.why_not():
        pytest.skip(reason)
    found: str = request.param
    return found


@pytest.fixture
def dead(tmp_path: Path) -> Path:
    mount = tmp_path / "watched/dead"
    mount.mkdir(parents=True)
    (tmp_path / "watched/motd").write_text("hello\n")
    return mount


def beside(kind: str, mounts: list[Path], arguments: list[str]) -> "subprocess.CompletedProcess[bytes]":
    """Run a command where `mounts` never answer.  It has ended, and its output too: whoever waits for both goes on."""
    beside_it = [sys.executable, "-m", "tests.support.dead_mount", kind, *map(str, mounts), "--", *arguments]
    return subprocess.run(beside_it, capture_output=True, timeout=150, check=False, cwd=TOP)


def audit_beside(kind: str, mounts: list[Path], arguments: list[str]) -> Sections:
    return seen(beside(kind, mounts, arguments))


def test_a_mount_in_a_watched_folder_is_a_row_and_nothing_waits_for_it(kind: str, dead: Path) -> None:
    arguments = command("/etc", str(dead.parent))
    found = audit_beside(kind, [dead], arguments)
    assert found["system.files"]["rows"][str(dead)] == {"kind": "mount", "filesystem": "fuse.dead"}
    assert f"{dead.parent}/motd" in found["system.files"]["rows"]
    alike(lambda: run(arguments), lambda: audit_beside(kind, [dead], arguments), wanted=others)


def test_a_mount_whose_name_is_no_utf_8_is_not_entered_either(kind: str, dead: Path) -> None:
    named = Path(os.fsdecode(os.fsencode(dead.parent) + b"/\xff"))
    named.mkdir()
    watching = command(str(dead.parent), sections=("system.files", "software.certificates"))
    found = audit_beside(kind, [named], watching)
    assert found["system.files"]["rows"][f"{dead.parent}/\\xff"] == {"kind": "mount", "filesystem": "fuse.dead"}
    assert trouble(found) == {}


def test_a_watched_path_on_a_mount_is_named_and_nothing_waits_for_it(kind: str, dead: Path) -> None:
    watching = command(str(dead / "below"), sections=("system.files", "software.certificates"))
    assert "below (on fuse.dead)" in audit_beside(kind, [dead], watching)["system.files"]["error"]


def test_a_home_on_a_mount_is_named_and_nothing_waits_for_it(kind: str, dead: Path) -> None:
    home = Path("/var/backups")  # of the account "backup" of Debian
    if not home.is_dir() or f":{home}:" not in Path("/etc/passwd").read_text():
        pytest.skip(f"{home} is nobody's home here")
    keys = "system.authorized_keys"
    found = audit_beside(kind, [dead, home], command())
    assert f"{home}/.ssh/authorized_keys (on fuse.dead)" in found[keys]["error"]

    def without_keys(sections: Sections) -> dict[str, str]:
        return {name: digest for name, digest in others(sections).items() if name != keys}

    alike(lambda: run(command()), lambda: audit_beside(kind, [dead, home], command()), wanted=without_keys)


def test_where_a_mount_has_taken_a_place_that_is_searched_those_sections_are_late_and_no_other_is(
    kind: str, dead: Path
) -> None:
    hurried = [*PYTHON, HURRIED, *command()[4:]]

    def left(sections: Sections) -> dict[str, str]:
        return {name: digest for name, digest in others(sections).items() if name not in IMPATIENT}

    found = audit_beside(kind, [dead, PLACE], hurried)
    late = {name for name in IMPATIENT if "deadline: not" in found[name].get("error", "")}
    assert late > {"software.pip"}
    assert all(found[name]["status"] == "failed" and not found[name]["rows"] for name in late)
    alike(lambda: run(hurried), lambda: audit_beside(kind, [dead, PLACE], hurried), wanted=left)


LINKED = {  # a file of the system -> the section that cannot do without it
    "etc/os-release": "system.host",
    "etc/fstab": "system.fstab",
    "etc/passwd": "system.users",
    "etc/group": "system.groups",
    "var/lib/dpkg/status": "software.dpkg",
    "etc/localtime": None,  # where the link leads says what the zone is; nobody needs what is there
    "etc/motd": None,  # of a watched file, too
}

TREE = PROGRAM.replace(
    "cli.run()",
    f"""
from verdelta_agent import collectors, gather
gather.PATIENCE = {SOON}
load = collectors.Entry.load
collectors.Entry.load = lambda entry: load(entry)._replace(deadline={SOON})
cli.run()
""",
)


def test_files_that_are_links_into_a_mount_fail_their_sections_in_time_and_no_other(
    kind: str, dead: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "dead").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tree / "etc/sudoers").write_text("root ALL=(ALL) ALL\n")
    arguments = [*PYTHON, TREE, "/etc", "inventory", "-o", "json", "--root", str(tree)]
    before = run(arguments)
    for path in LINKED:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(f"/dead/zoneinfo/{path}")
    found = audit_beside(kind, [dead, tree / "dead"], arguments)
    hanging = {name for name in LINKED.values() if name}
    late = {name for name, section in found.items() if section["status"] == "failed"}
    assert hanging <= late
    assert all(found[name]["error"].startswith("deadline: not ") for name in late)
    assert found["system.files"]["rows"]["/etc/motd"]["target"] == "/dead/zoneinfo/etc/motd"
    assert found["system.sudoers"] == before["system.sudoers"]
    fine = set(found) - late - {"system.files"}
    assert {name: found[name]["digest"] for name in fine} == {name: before[name]["digest"] for name in fine}


STUCK = """
import sys
sys.path.insert(0, {sources!r})
from verdelta_agent import apart
from verdelta_agent.gather import gather
from verdelta_agent.host import LocalHost
from verdelta_agent.model import OK, Collector, Section
def collect(host):
    return Section(OK, {{"k": {{"f": host.read({path!r})}}}}, {{}})
end = apart.step_aside()
fine = Collector("b", "key", lambda host: Section(OK, {{"k": {{"f": 1}}}}, {{}}), 5)
hanging = [Collector(name, "key", collect, 0.5) for name in "ac"]
sections = gather(LocalHost(), [hanging[0], fine, hanging[1]]).sections
print([(section.status, section.error) for section in sections.values()], flush=True)
end(7)
"""


def test_a_read_that_sleeps_for_ever_fails_its_section_in_time_and_keeps_no_other_and_not_the_end(
    kind: str, dead: Path
) -> None:
    done = beside(kind, [dead], [*PYTHON, STUCK.format(sources=SOURCES, path=f"{dead}/file")])
    late = ("failed", "deadline: not read within 0.5 s")
    assert (done.returncode, done.stdout.decode().strip()) == (7, str([late, ("ok", None), late])), done.stderr


RESIDENT = """
import os, signal, sys
sys.path.insert(0, {sources!r})
from verdelta_agent import resident
from verdelta_agent.deadline import DeadlineExceeded, within
resident.GRACE = 1
resident.pause = lambda next_poll, failures, chance: print(next_poll, failures, flush=True) or 0.0
reports = iter(range(100))
def report():
    try:
        within(0.3, lambda: os.stat({path!r}))
    except DeadlineExceeded:
        return 4711
children = resident._in_a_child
def counted(report):
    if next(reports) == {count}:
        os.kill(os.getpid(), signal.SIGTERM)
    return children(report)
resident._in_a_child = counted
resident.stay(report, 0.0)
print("stopped", flush=True)
os._exit(0)
"""


def test_a_resident_agent_goes_on_though_its_reports_never_wake_up_and_keeps_few_of_them(dead: Path) -> None:
    if reason := dead_mount.why_not():
        pytest.skip(reason)
    program = RESIDENT.format(sources=SOURCES, path=f"{dead}/file", count=5)
    done = beside("mute", [dead], [*PYTHON, program])
    lines: list[Any] = done.stdout.decode().splitlines()
    # Three made their report and were left behind.  From then on there is none, which the controller sees.
    assert lines[:5] == ["4711 0", "4711 0", "4711 0", "None 1", "None 2"], (lines, done.stderr)
    assert lines[-1] == "stopped"
