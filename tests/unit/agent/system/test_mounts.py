"""Mounts: what is there, and neither what comes and goes nor a password."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.system import mounts
from verdelta_agent.collectors.system.mounts import parse, planned, stable_options, unescape, without_password
from verdelta_agent.gather import collect
from verdelta_agent.host import Host
from verdelta_agent.recorded_host import RecordedHost

ROOT = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"


def line(
    identity: int, parent: int, point: str, kind: str = "ext4", options: str = "rw", source: str = "/dev/sdb1"
) -> str:
    return f"{identity} {parent} 8:{identity} / {point} rw,relatime shared:{identity} - {kind} {source} {options}\n"


def test_of_two_mounts_on_one_point_the_uppermost_is_seen() -> None:
    rows = parse(ROOT + line(2, 1, "/srv", source="/dev/lower") + line(3, 2, "/srv", source="/dev/upper"), {})
    assert rows["/srv"]["source"] == "/dev/upper"


@pytest.mark.parametrize("prefix", mounts.LEFT_OUT_BELOW)
def test_what_comes_and_goes_below_a_path_is_left_out(prefix: str) -> None:
    assert list(parse(ROOT + line(2, 1, prefix.rstrip("/") + "/x"), {})) == ["/"]


def test_what_fstab_names_is_never_left_out_for_its_path() -> None:
    points = planned("#x /y z\n/dev/sdb1 /var/lib/docker/volumes ext4\nbroken\n")
    assert points == {"/var/lib/docker/volumes"}
    assert "/var/lib/docker/volumes" in parse(ROOT + line(2, 1, "/var/lib/docker/volumes"), points)


def test_what_an_automounter_mounts_is_left_out_with_all_that_stands_on_it() -> None:
    text = ROOT + line(2, 1, "/home", "autofs") + line(3, 2, "/home/ada", "nfs4") + line(4, 3, "/home/ada/usb")
    assert list(parse(text, {})) == ["/", "/home"]


def test_mounts_that_claim_to_be_each_others_parents_end() -> None:
    assert set(parse(line(1, 2, "/a") + line(2, 1, "/b") + line(3, 3, "/c"), {})) == {"/a", "/b", "/c"}


@pytest.mark.parametrize(
    ("mount", "file_system", "shown"),
    [("rw", "rw", ["rw"]), ("ro", "rw", ["ro"]), ("rw", "ro", ["ro"]), ("ro", "ro", ["ro"])],
)
def test_a_mount_is_read_only_when_either_side_is(mount: str, file_system: str, shown: list[str]) -> None:
    assert stable_options([mount, file_system]) == shown


def test_an_automounters_daemon_may_restart_and_a_tmpfs_be_rounded_without_a_change() -> None:
    before = stable_options(["rw", "fd=31", "pgrp=1", "timeout=0", "direct", "pipe_ino=18912"])
    assert before == stable_options(["rw", "fd=40", "pgrp=9", "timeout=0", "direct", "pipe_ino=99"])
    assert stable_options(["rw", "size=199068k"]) == stable_options(["rw", "size=199064k"])


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://ada:s3cret@files.example/dav", "https://ada:(hidden)@files.example/dav"),
        ("curlftpfs#ftp://ada:s3@cret/x@files.example/", "curlftpfs#ftp://ada:(hidden)@files.example/"),
        ("//ada:s3cret@nas/share", "//ada:(hidden)@nas/share"),
        ("ada@host:/srv", "ada@host:/srv"),
        ("nas.example:/srv/home@snapshot", "nas.example:/srv/home@snapshot"),
        ("[2001:db8::5]:/srv", "[2001:db8::5]:/srv"),
        ("tank/data@daily", "tank/data@daily"),
        ("/dev/sda1", "/dev/sda1"),
    ],
)
def test_a_password_in_a_source_is_hidden_and_nothing_else(source: str, shown: str) -> None:
    assert without_password(source) == shown


@pytest.mark.parametrize(
    "option",
    ["password=s3cret", "pass=s3cret", "passwd=s3cret", "password2=s3cret", "secret=s3cret", "credentials=/s3cret"],
)
def test_a_password_in_an_option_is_hidden(option: str) -> None:
    mounted = parse(ROOT + line(2, 1, "/srv", options="rw," + option), {})
    assert "s3cret" not in json.dumps(mounted)


@given(st.text(alphabet=" \t\n\\#0413ax", max_size=30))
def test_what_the_kernel_escapes_comes_back(name: str) -> None:
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in name)
    assert unescape(escaped) == name


def test_a_list_of_mounts_that_is_not_understood_fails_the_section_and_says_which_line() -> None:
    section = collect(RecordedHost({"files": {"/proc/1/mountinfo": ROOT + "password=s3cret\n"}}), mounts.COLLECTOR)
    assert section.status == "failed"
    assert (section.error or "").endswith("line 2 of mountinfo is none")


class OnlyReads(RecordedHost):
    """Fails the test when anything but the lists is looked at: a mount point may hang."""

    def lstat(self, path: str):
        assert not path.startswith("/srv")
        return super().lstat(path)

    def listdir(self, path: str):
        raise AssertionError(path)


def test_no_mount_point_is_ever_looked_at() -> None:
    host: Host = OnlyReads({"files": {"/proc/1/mountinfo": ROOT + line(2, 1, "/srv", "fuse.sshfs")}})
    assert "/srv" in collect(host, mounts.COLLECTOR).rows


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in ("/proc/1/mountinfo", "/etc/fstab"):
        files = {"/proc/1/mountinfo": ROOT, name: {"hex": data.hex()}}
        section = collect(RecordedHost({"files": files}), mounts.COLLECTOR)
        assert section.status in ("ok", "failed")
        json.dumps(section).encode("ascii")
