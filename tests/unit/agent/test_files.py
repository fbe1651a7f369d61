"""Watched files as rows: what is compared, what is left alone, and what is never touched."""

import errno
import hashlib
import os
import socket
from pathlib import Path

import pytest

from verdelta_agent.collectors.system import files
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import canonical, rows_digest
from verdelta_agent.recorded_host import RecordedHost

MOUNTINFO = (
    "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
    "40 22 0:50 / /etc/keys rw - fuse.sshfs admin@vault:/keys rw\n"
    "41 22 0:51 / /etc/team\\040share rw - nfs4 server:/team rw\n"
    "42 22 0:52 / /etc/volatile rw - tmpfs tmpfs rw\n"
    "43 22 0:53 / /srv rw - nfs4 server:/srv rw\n"
)


def recorded(paths, **more):
    return collect(RecordedHost({"files": paths, **more}), files.COLLECTOR)


def below(directory: Path):
    return collect(LocalHost(watched=(str(directory),)), files.COLLECTOR)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_file_a_directory_and_a_link_are_told_apart():
    read = recorded(
        {"/etc/motd": "hello"}, links={"/etc/mtab": "../proc/self/mounts"}, status={"/etc/motd": {"mode": 0o4755}}
    )
    assert read == (
        "ok",
        {
            "/etc": {"kind": "directory", "mode": "0755", "uid": 0, "gid": 0},
            "/etc/motd": {"kind": "file", "mode": "4755", "uid": 0, "gid": 0, "digest": sha256("hello")},
            "/etc/mtab": {"kind": "symlink", "mode": "0777", "uid": 0, "gid": 0, "target": "../proc/self/mounts"},
        },
        {},
        None,
    )


def test_a_file_that_is_touched_but_not_changed_has_the_same_row(tmp_path):
    (tmp_path / "conf").write_text("a = 1\n")
    before = below(tmp_path).rows
    os.utime(tmp_path / "conf", (0, 0))
    assert below(tmp_path).rows == before
    (tmp_path / "conf").write_text("a = 2\n")
    assert below(tmp_path).rows != before


def test_fifos_sockets_and_devices_are_rows_and_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        (tmp_path / "null").symlink_to("/dev/null")
        rows = below(tmp_path).rows
    assert [rows[f"{tmp_path}/{name}"]["kind"] for name in ("fifo", "socket", "null")] == ["fifo", "socket", "symlink"]


def test_links_are_not_followed_into_circles_nor_out_of_the_watched_path(tmp_path):
    watched = tmp_path / "watched"
    (watched / "sub").mkdir(parents=True)
    (watched / "sub/up").symlink_to("..")
    (watched / "self").symlink_to("self")
    (watched / "out").symlink_to("/")
    assert len(below(watched).rows) == 5


def test_names_and_targets_that_are_no_utf_8_can_be_hashed(tmp_path):
    os.symlink(b"\xfe", os.fsencode(tmp_path) + b"/na\xffme")
    rows = below(tmp_path).rows
    assert rows[f"{tmp_path}/na\\xffme"]["target"] == "\\xfe"
    assert canonical(rows)


def test_two_names_that_print_alike_are_two_rows(tmp_path):
    (tmp_path / "a\\xff").write_text("1")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff")).write_text("2")
    assert set(below(tmp_path).rows) == {str(tmp_path), f"{tmp_path}/a\\xff", f"{tmp_path}/a\\xff (2)"}


def test_an_unreadable_file_keeps_its_row_and_makes_the_section_partial():
    read = recorded(
        {"/etc/shadow": {"error": "EACCES"}, "/etc/gshadow": {"error": "EACCES"}, "/etc/motd": "x"},
        status={"/etc/shadow": {"mode": 0o640, "gid": 42}},
    )
    row = {"kind": "file", "mode": "0640", "uid": 0, "gid": 42, "size": 0, "digest": None}
    assert (read.status, read.rows["/etc/shadow"]) == ("ok", row)
    assert read.error == "partial: not read: /etc/gshadow (Permission denied), /etc/shadow (Permission denied)"


def test_a_file_too_large_to_read_is_compared_by_its_size(tmp_path):
    with open(tmp_path / "big", "wb") as file:
        file.truncate(files.CONTENT + 1)
    read = below(tmp_path)
    assert (read.status, read.error) == ("ok", f"partial: not read: {tmp_path}/big (larger than 16 MiB)")
    assert read.rows[f"{tmp_path}/big"]["size"] == files.CONTENT + 1


class Restless(RecordedHost):
    """A host whose file grows by a line each time it is looked at, until it has so many lines."""

    def __init__(self, lines: int) -> None:
        super().__init__({"files": {"/etc/log": ""}})
        self.lines = lines

    def lstat(self, path):
        status = super().lstat(path)
        if path == "/etc/log" and len(self.files[path]) < 2 * self.lines:
            self.files[path] += "x\n"
        return status


def test_a_file_that_changes_while_it_is_read_is_read_again():
    read = collect(Restless(lines=1), files.COLLECTOR)
    assert (read.error, read.rows["/etc/log"]["digest"]) == (None, sha256("x\n"))


def test_a_file_that_does_not_come_to_rest_is_marked():
    read = collect(Restless(lines=99), files.COLLECTOR)
    assert (read.rows["/etc/log"]["digest"], read.error) == (
        None,
        "partial: not read: /etc/log (changed while it was read)",
    )


class Vanishing(RecordedHost):
    """A host on which a file is gone between the listing of its directory and the look at it."""

    def lstat(self, path):
        if path == "/etc/gone":
            raise FileNotFoundError(errno.ENOENT, "gone", path)
        return super().lstat(path)


def test_a_file_that_is_gone_by_the_time_is_no_row():
    read = collect(Vanishing({"files": {"/etc/gone": "", "/etc/motd": ""}}), files.COLLECTOR)
    assert (set(read.rows), read.error) == ({"/etc", "/etc/motd"}, None)


class Hanging(RecordedHost):
    """A host whose network file systems hang whoever looks at them."""

    def lstat(self, path):
        assert not path.startswith(("/etc/keys", "/etc/team share", "/srv")), f"{path} was looked at"
        return super().lstat(path)


def test_file_systems_of_other_machines_and_programs_are_not_touched():
    names = ["/etc/keys/k", "/etc/team share/f", "/etc/volatile/v", "/srv/www/index.html"]
    recording = {"files": {"/proc/self/mountinfo": MOUNTINFO, **dict.fromkeys(names, "")}}
    read = collect(Hanging({**recording, "watched": ["/etc", "/srv/www"]}), files.COLLECTOR)
    assert read.rows["/etc/keys"] == {"kind": "mount", "filesystem": "fuse.sshfs"}
    assert read.rows["/etc/team share"] == {"kind": "mount", "filesystem": "nfs4"}
    assert set(read.rows) == {"/etc", "/etc/keys", "/etc/team share", "/etc/volatile", "/etc/volatile/v"}
    assert read.error == "partial: not read: /srv/www (on nfs4)"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/www", "nfs4"), ("/srv", "nfs4"), ("/srvother", None), ("/etc/volatile/x", None), ("/", None)],
)
def test_what_a_path_is_on_is_decided_by_the_list_of_mounts(path, kind):
    assert files.foreign(path, files.parse_mounts(MOUNTINFO)) == kind


def test_what_the_root_is_on_is_never_foreign():
    mounts = {"/": "virtiofs", "/etc/hosts": "virtiofs", "/etc/keys": "nfs"}
    assert [files.foreign(path, mounts) for path in ("/etc", "/etc/hosts", "/etc/keys")] == [None, None, "nfs"]


def test_more_files_than_any_configuration_has_fail_the_section(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "ENTRIES", 10)
    for number in range(10):
        (tmp_path / str(number)).touch()
    assert below(tmp_path).status == "failed"


def test_deep_directories_are_read_without_recursion(tmp_path):
    path = tmp_path
    while len(str(path)) < 3800:
        path = path / ("d" * 20)
    path.mkdir(parents=True)
    assert below(tmp_path).error is None


@pytest.mark.parametrize(
    "path",
    ["/etc/.app.conf.swp", "/etc/app/.#app.conf", "/etc/app.dpkg-new", "/etc/app.conf;5f3a2b1c", "/etc/passwd.lock"],
)
def test_a_file_that_is_there_while_somebody_works_is_no_row(path):
    assert set(recorded({path: "", "/etc/motd": ""}).rows) & {path} == set()


@pytest.mark.parametrize(
    "path", ["/etc/app/poetry.lock", "/etc/c++", "/etc/app.conf.dpkg-old", "/etc/app.rpmsave", "/etc/motd~", "/etc/x-"]
)
def test_what_stays_is_a_row_however_it_is_named(path):
    assert path in recorded({path: ""}).rows


def test_a_file_that_programs_rewrite_is_shown_and_only_its_owner_and_mode_are_compared():
    one, two = recorded({"/etc/ld.so.cache": "1"}), recorded({"/etc/ld.so.cache": "2 2"})
    assert one.rows == two.rows
    assert one.volatile == {"/etc/ld.so.cache": {"size": 1, "digest": sha256("1")}}
    moved = recorded({"/etc/ld.so.cache": "1"}, status={"/etc/ld.so.cache": {"uid": 1000}})
    assert moved.rows != one.rows


def test_watched_paths_within_each_other_are_read_once():
    assert files.outermost(["/etc/ssh", "/etc/", "//opt/app", "/etcetera", "/opt"]) == ["/etc", "/etcetera", "/opt"]


def test_a_watched_path_may_be_one_file_and_one_that_is_not_there_is_no_error():
    read = recorded({"/srv/app.conf": "x"}, watched=["/srv/app.conf", "/nowhere"])
    assert (list(read.rows), read.error) == (["/srv/app.conf"], None)


def test_a_relative_watched_path_fails_the_section():
    assert recorded({"/etc/motd": ""}, watched=["etc"]).status == "failed"


def test_this_machine_read_twice_has_the_same_rows():
    one, two = collect(LocalHost(), files.COLLECTOR), collect(LocalHost(), files.COLLECTOR)
    assert rows_digest(one.rows) == rows_digest(two.rows)
