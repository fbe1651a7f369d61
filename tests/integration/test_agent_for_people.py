"""What a person at a host asks the agent: what differs, what a section is, and what is on a disk that does not run."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.rooted_host import RootedHost

AGENT = str(Path(sys.executable).with_name("verdelta-agent"))
DPKG = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


def agent(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    given: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "check": False, **options}
    return subprocess.run([AGENT, *arguments], **given)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A system that does not run; some of its links would lead out of it."""
    root = tmp_path / "root"
    for directory in ("var/lib/dpkg", "etc", "usr/lib", "usr/share/zoneinfo/Europe"):
        (root / directory).mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(DPKG.format("vim", "9.0") + DPKG.format("nginx", "1.24"))
    (root / "usr/lib/os-release").write_text('ID=alpine\nVERSION_ID="3.20"\n')
    (root / "etc/os-release").symlink_to("/usr/lib/os-release")
    (root / "usr/share/zoneinfo/Europe/Oslo").write_text("")
    (root / "etc/localtime").symlink_to("../../../../../usr/share/zoneinfo/Europe/Oslo")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").symlink_to("../../" + "../" * 20 + "etc/group.real")
    (root / "etc/group.real").write_text("wheel:x:0:\n")
    return root


def sections(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["sections"]
    return found


# -- a system that does not run


def test_a_system_that_does_not_run_is_read_below_its_root_and_nowhere_else(tree: Path) -> None:
    found = sections(agent("inventory", "--root", str(tree), "-o", "json"))
    assert set(found["software.dpkg"]["rows"]) == {"vim:amd64", "nginx:amd64"}
    assert found["system.host"]["rows"]["os"]["id"] == "alpine"
    assert found["system.host"]["rows"]["host"]["time_zone"] == "Europe/Oslo"
    assert set(found["system.groups"]["rows"]) == {"wheel"}
    assert set(found["system.users"]["rows"]) == {"root"}
    assert found["system.files"]["rows"]["/etc/os-release"]["target"] == "/usr/lib/os-release"


def test_of_a_system_that_does_not_run_nothing_that_runs_is_shown(tree: Path) -> None:
    found = sections(agent("inventory", "--root", str(tree), "-o", "json"))
    live = {entry.name for entry in SECTIONS if entry.live}
    assert live
    for name in live:
        assert (found[name]["status"], found[name]["error"]) == ("absent", "not part of a system that is not running")
    assert found["system.host"]["rows"]["host"]["host_name"] is None


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = agent("inventory", "--root", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"verdelta-agent: --root {tmp_path}/nowhere: there is no such directory\n"


def test_no_link_of_a_tree_leads_out_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("outside")
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    links = {"a": str(secret), "b": "../secret", "d/c": "../../secret", "e": "../../../.." + str(secret), "f": "/d/g"}
    for name, target in {**links, "d/g": "..", "l": "l"}.items():
        (root / name).symlink_to(target)
    host = RootedHost(str(root))
    for name in ("a", "b", "d/c", "e", "f/../../secret", "f/secret", "d/g/../secret"):
        assert not host.exists("/" + name) or host.lstat("/" + name).kind == "symlink"
        with pytest.raises(FileNotFoundError):
            host.read(f"/{name}")
    assert host.resolve("/d/c") == "/secret"
    assert host.listdir("/f") == ["a", "b", "d", "e", "f", "l"]
    with pytest.raises(OSError, match="links"):
        host.read("/l")
    with pytest.raises(FileNotFoundError):
        host.run(["uname"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
def test_a_path_in_a_tree_leads_where_it_would_if_the_tree_were_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("x")
    targets = {"l1": "/a/b", "l2": "a/../a/b/file", "a/l3": "../l1/file", "a/b/l4": "/l1/../l3", "l5": "/l6", "l6": "a"}
    for name, target in targets.items():
        (root / name).symlink_to(target)
    asked = ["/l1/file", "/l2", "/a/l3", "/a/b/l4", "/l5/b/file", "/../../l6/b/file", "/a/./b//file", "/l5/l3", "/l7"]
    program = (
        "import os, sys, json\nfrom os import path\n"
        f"real = lambda p: path.realpath(p) if path.exists(p) else None\nos.chroot({str(root)!r})\n"
        f"print(json.dumps([real(p) for p in {asked!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    host = RootedHost(str(root))
    for path, inside in zip(asked, json.loads(done.stdout), strict=True):
        if inside is None:
            with pytest.raises(FileNotFoundError):
                host.read(path)
        else:
            assert host.resolve(path) == inside
            assert host.read(path) == "x"


# -- the delta of two snapshots


@pytest.fixture
def saved(tree: Path, tmp_path: Path) -> tuple[str, str]:
    """Two snapshots: nginx upgraded, vim removed, jq added, and /etc/group unreadable afterwards."""
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    chosen = ["--root", str(tree), "-o", "json", "software.dpkg", "system.groups"]
    before.write_text(agent("inventory", *chosen).stdout)
    (tree / "var/lib/dpkg/status").write_text(DPKG.format("nginx", "1.26") + DPKG.format("jq", "1.7"))
    (tree / "etc/group.real").unlink()
    (tree / "etc/group.real").mkdir()
    after.write_text(agent("inventory", *chosen).stdout)
    return str(before), str(after)


DELTA = """\
  software.dpkg
+   jq:amd64     hold False, state installed, version 1.7
~   nginx:amd64  version 1.24 → 1.26
-   vim:amd64    hold False, state installed, version 9.0
?   system.groups  cannot be compared: it could not be read on both sides
1 added, 1 removed, 1 changed, 1 section unknown
"""


def test_a_delta_shows_what_was_added_removed_and_changed_and_what_is_unknown(saved: tuple[str, str]) -> None:
    done = agent("diff", *saved)
    assert (done.returncode, done.stdout) == (0, DELTA)


def test_a_delta_has_colours_on_a_terminal_alone_and_not_where_they_are_unwanted(saved: tuple[str, str]) -> None:
    assert "\033[32m+   jq:amd64     " in on_a_terminal("diff", *saved)
    assert "\033" not in on_a_terminal("diff", *saved, NO_COLOR="1")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    master, slave = pty.openpty()
    done = agent(*arguments, stdout=slave, capture_output=False, env={**os.environ, "TERM": "xterm", **environment})
    os.close(slave)
    assert done.returncode == 0
    shown = os.read(master, 1 << 16).decode()
    os.close(master)
    return shown


def test_a_program_gets_the_delta_as_json_and_an_exit_code(saved: tuple[str, str]) -> None:
    done = agent("diff", "-o", "json", "--exit-code", *saved)
    delta = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(change["op"], change["key"]) for change in delta["changes"]] == [
        ("added", "jq:amd64"),
        ("changed", "nginx:amd64"),
        ("removed", "vim:amd64"),
    ]
    assert delta["unknown"] == ["system.groups"]
    assert agent("diff", "--exit-code", saved[0], saved[0]).returncode == 0
    assert agent("diff", saved[0], "-", input=Path(saved[1]).read_text()).stdout == DELTA


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "this is not JSON"),
        ("[" * 100000, "this is not JSON"),
        ("[]", "this is not a snapshot"),
        ('{"sections": []}', "this is not a snapshot"),
        ('{"schema": 2, "sections": {}}', "a snapshot of schema 2; this agent knows 1"),
        ('{"schema": 1, "sections": {"a": {}}}', "section a is none: 'status'"),
        ('{"schema": 1, "sections": {"a": {"status": "fine", "rows": {}}}}', "section a has the status 'fine'"),
        ('{"schema": 1, "sections": {"a": {"status": "ok", "rows": {"k": 1}}}}', "section a is none: row 'k'"),
    ],
)
def test_what_is_no_snapshot_is_refused_with_what_makes_one(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(content)
    done = agent("diff", str(tmp_path / "x"), str(tmp_path / "x"))
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert first.startswith(f"verdelta-agent: {tmp_path}/x: {reason}")
    assert second == "  Save one with: verdelta-agent inventory -o json > FILE"


# -- the sections


def test_the_sections_are_listed_with_how_they_are_read_here(tree: Path) -> None:
    lines = agent("sections", "--root", str(tree)).stdout.splitlines()[:-1]
    shown = {line.split()[0]: line.split(None, 1)[1] for line in lines if not line.startswith(" ")}
    assert list(shown) == [entry.name for entry in SECTIONS]
    assert shown["software.dpkg"].split("  ")[0] == "2 rows"
    assert shown["software.dpkg"].endswith("Debian packages, from dpkg's own status file.")
    assert shown["hardware.cpu"].startswith("absent ")
    reasons = {line.split()[0]: after.strip() for line, after in zip(lines, [*lines[1:], ""], strict=True)}
    assert reasons["software.pacman"] == "there is no /var/lib/pacman/local"
    assert reasons["hardware.cpu"] == "not part of a system that is not running"


@pytest.mark.parametrize("name", [entry.name for entry in SECTIONS])
def test_a_section_tells_its_key_its_fields_and_what_is_never_compared(name: str) -> None:
    collector = next(entry for entry in SECTIONS if entry.name == name).load()
    words = " ".join(agent("sections", name).stdout.split())
    assert words.startswith(name)
    for text in (collector.key, *collector.fields, *collector.fields.values(), *collector.volatile.values()):
        assert " ".join(text.split()) in words


def test_the_commands_of_the_readme_work_as_they_stand(tree: Path, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    lines = [line.partition("#")[0][2:].strip() for line in readme.splitlines() if line.startswith("$ verdelta-agent")]
    assert len(lines) > 5
    path = f"{Path(AGENT).parent}:{os.environ['PATH']}"
    for line in lines:
        command = ["sh", "-c", line.replace("/mnt/disk", str(tree))]
        given: dict[str, Any] = {"cwd": tmp_path, "env": {**os.environ, "PATH": path}, "timeout": 120}
        done = subprocess.run(command, capture_output=True, check=False, **given)
        enrolled = done.returncode == 0 or b"this host is not enrolled" in done.stderr
        assert enrolled if "status" in line else done.returncode == 0, done.stderr
