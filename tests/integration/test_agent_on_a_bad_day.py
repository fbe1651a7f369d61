"""Whatever is wrong with a host: every section ends in time, says what it could not read, and disturbs no other.

Each fault is made for real.  What the agent sees beside it is held against an inventory without the fault.
"""

import contextlib
import json
import os
import shlex
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bad_day import AGENT, PROGRAM, Sections, alike, command, others, run, seen, trouble

from verdelta_agent.collectors import SECTIONS
from verdelta_agent.collectors.software import dpkg
from verdelta_agent.collectors.system import files
from verdelta_agent.gather import collect, gather
from verdelta_agent.host import Host, LocalHost
from verdelta_agent.model import ABSENT, FAILED, OK, Section, digest_sections
from verdelta_agent.recorded_host import RecordedHost

# -- what lies in a watched folder


def watched(folder: Path, **limits: int) -> Section:
    return collect(LocalHost([str(folder)]), files.COLLECTOR)


def test_fifos_sockets_and_devices_are_rows_and_nobody_opens_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    with contextlib.suppress(PermissionError):
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(10, 200))
    found = watched(tmp_path)
    listening.close()
    assert (found.status, found.error) == (OK, None)
    kinds = {Path(key).name: row["kind"] for key, row in found.rows.items()}
    assert kinds["fifo"] == "fifo"
    assert kinds["socket"] == "socket"
    assert kinds.get("device", "character device") == "character device"


MEASURED = PROGRAM.replace("cli.run()", "cli.main(); print(open('/proc/self/status').read(), file=sys.stderr)")


def peak(done: "subprocess.CompletedProcess[bytes]") -> int:
    """Return how much memory MEASURED took, in KiB."""
    line = next(line for line in done.stderr.decode().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def test_a_log_of_two_gigabytes_is_named_and_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    with (tmp_path / "huge.log").open("wb") as log:
        log.truncate(2 << 30)
    (tmp_path / "small").write_text("x")
    arguments = [*AGENT, MEASURED, str(tmp_path), "--state", "/nonexistent", "inventory", "-o", "json", "system.files"]
    done = subprocess.run(arguments, capture_output=True, timeout=100, check=True)
    rows = json.loads(done.stdout)["sections"]["system.files"]["rows"]
    assert rows[f"{tmp_path}/huge.log"]["digest"] is None
    assert rows[f"{tmp_path}/small"]["digest"] is not None
    assert "huge.log (larger than 16 MiB)" in json.loads(done.stdout)["sections"]["system.files"]["error"]
    assert peak(done) < 60 << 10


def many(folder: Path, count: int) -> None:
    """Make so many files, as links to one: that is quick."""
    folder.mkdir()
    (folder / "0").touch()
    for number in range(1, count):
        at = number // 30000  # a file system may allow no more links to one file
        if number % 30000 == 0:
            (folder / str(number)).touch()
        else:
            os.link(folder / str(at * 30000), folder / str(number))


def test_a_folder_of_very_many_files_fails_its_section_alone(tmp_path: Path) -> None:
    many(tmp_path / "many", files.ENTRIES + 1)
    found = run(command(str(tmp_path), sections=("system.files", "system.users")))
    assert found["system.files"]["status"] == FAILED
    assert "more than 100000 files" in found["system.files"]["error"]
    assert found["system.users"]["status"] == OK


@pytest.mark.soak
def test_a_folder_of_a_million_files_ends_within_the_deadline_and_takes_no_memory(tmp_path: Path) -> None:
    many(tmp_path / "many", 1_000_000)
    arguments = [*AGENT, MEASURED, *command(str(tmp_path))[4:]]
    done = subprocess.run(arguments, capture_output=True, timeout=150, check=True)
    assert peak(done) < 100 << 10
    found = seen(done)
    assert found["system.files"]["status"] == FAILED
    assert {name for name in trouble(found) if found[name]["status"] == FAILED} <= {
        "system.files",
        "hardware.filesystems",
    }


@contextlib.contextmanager
def meanwhile(work: Any) -> Iterator[None]:
    """Do something again and again beside."""
    ended = threading.Event()

    def again() -> None:
        while not ended.is_set():
            work()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("change", ["grows", "is truncated", "is replaced", "goes away"])
def test_a_file_that_changes_while_it_is_read_is_read_whole_or_said_to_change(tmp_path: Path, change: str) -> None:
    file, other = tmp_path / "file", tmp_path / ".other"
    contents = [b"a" * 70000, b"b" * 90000]
    file.write_bytes(contents[0])

    def work() -> None:
        if change == "grows":
            with file.open("ab") as end:
                end.write(b"a" * 1000)
            if file.stat().st_size > 1 << 20:
                file.write_bytes(contents[0])
        elif change == "is truncated":
            file.write_bytes(contents[0])
            os.truncate(file, 100)
        elif change == "goes away":
            file.unlink(missing_ok=True)
            file.write_bytes(contents[0])
        else:
            contents.reverse()
            other.write_bytes(contents[0])
            other.rename(file)

    with meanwhile(work):
        for _ in range(60):
            found = watched(tmp_path)
            row = found.rows.get(str(file))
            assert found.status == OK
            if row is not None and row["digest"] is None:
                assert "changed while it was read" in (found.error or "")


def test_names_that_are_no_utf_8_are_shown_and_told_apart(tmp_path: Path) -> None:
    for name in (b"\xff", b"\xfe", b"\\xff", "ü".encode(), b"new\nline", b"\x1b[31m"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    found = run(command(str(tmp_path), sections=("system.files",)))["system.files"]
    assert (found["status"], len(found["rows"])) == (OK, 7)
    assert len({row.get("digest") for row in found["rows"].values()}) == 7


def test_links_that_go_round_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "up").symlink_to("..")
    assert {row["kind"] for row in watched(tmp_path).rows.values()} == {"symlink", "directory"}


# -- package databases


def test_a_half_written_status_file_of_dpkg_is_failed_and_never_fewer_packages() -> None:
    paragraph = "Package: p{0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.{0}\nDescription: x\n\n"
    whole = "".join(paragraph.format(number) for number in range(300))
    info = {f"/var/lib/dpkg/info/p{number}.list": "" for number in range(300)}
    for length in range(1, len(whole), 97):
        cut = whole[:length]
        host = RecordedHost({"files": {"/var/lib/dpkg/status": cut, **info}})
        if not cut.endswith("\n\n") and cut.rpartition("\n\n")[2].count("\n") < 5:
            found = collect(host, dpkg.COLLECTOR)
            assert found.status == FAILED or len(found.rows) == cut.count("\nVersion: "), length


# -- other circumstances

ENVIRONMENTS: dict[str, dict[str, str]] = {
    "nothing": {},
    "C": {"LC_ALL": "C", "LANG": "C", "TZ": "UTC"},
    "far away": {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Chatham", "HOME": "/nonexistent", "PATH": "/nonexistent"},
    "odd": {"PYTHONHASHSEED": "7", "LANGUAGE": "xx", "TMPDIR": "/nonexistent", "COLUMNS": "1", "TZ": ":junk"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_locale_time_zone_and_environment_have_no_influence(environment: str) -> None:
    def digests(found: Sections) -> dict[str, str]:
        return {name: section["digest"] for name, section in found.items()}

    alike(lambda: run(command()), lambda: run(command(), env=ENVIRONMENTS[environment], cwd="/"), wanted=digests)


def test_the_order_in_which_a_folder_is_listed_has_no_influence() -> None:
    class Shuffled(LocalHost):
        def listdir(self, path: str) -> list[str]:
            return super().listdir(path)[::-1]

    def digests(host: Host) -> Any:
        return lambda: digest_sections(gather(host, SECTIONS).sections)

    alike(digests(LocalHost()), digests(Shuffled()), wanted=lambda found: {n: s.digest for n, s in found.items()})


NO_ROOM = """mount --make-rprivate / && mount -o remount,bind,ro / || exit 1
for place in /tmp /var/tmp /dev/shm; do mount -o remount,bind,ro $place 2>/dev/null; done
exec {}"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_read_only_root_without_room_for_temporary_files_is_read_all_the_same() -> None:
    script = NO_ROOM.format(shlex.join(command()))
    probe = ["unshare", "-m", "sh", "-c", NO_ROOM.format("true")]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("the root cannot be mounted anew here")
    alike(lambda: run(command()), lambda: run(["unshare", "-m", "sh", "-c", script]), wanted=others)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_without_root_what_is_missing_is_said_and_what_is_not_said_to_be_missing_is_there() -> None:
    def both() -> tuple[Sections, Sections]:
        return run(command()), run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command()], cwd="/")

    for _ in range(4):
        root, nobody = both()
        silent = {
            name
            for name, section in nobody.items()
            if section["status"] != FAILED
            and ("error" not in section or section["status"] == ABSENT)
            and section["rows"] != root[name]["rows"]
        }
        if not silent:
            break
    assert silent == set()
    assert all(section["error"] for section in nobody.values() if section["status"] == FAILED)
    assert "permission" in nobody["system.users"]["error"]
    assert "Permission denied" in nobody["system.files"]["error"]
