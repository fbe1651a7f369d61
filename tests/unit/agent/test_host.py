"""The door to the machine: what is no file is not read, and a recording leads where the machine would."""

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.unprivileged import as_nobody, open_directory

from verdelta_agent import host as door
from verdelta_agent.host import CHUNK, SMALL, Host, LocalHost, printable
from verdelta_agent.recorded_host import RecordedHost

SOURCES = Path(__file__).parents[3] / "agent/src"
HERE = LocalHost()


def errno_of(action: Callable[[], Any]) -> str:
    with pytest.raises(OSError) as caught:
        action()
    return errno.errorcode[caught.value.errno]


# -- what is no regular file


@pytest.fixture
def oddities(tmp_path: Path) -> Iterator[Path]:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"content\n")
    for name, target in (("loop", "loop"), ("dangling", "nowhere"), ("to-fifo", "fifo"), ("to-file", "file")):
        (tmp_path / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        yield tmp_path


def test_a_directory_of_too_many_names_is_an_error_and_never_fewer_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "WIDE", -1)
    monkeypatch.setattr(door, "NAMES", 3)
    for name in ("c", "b", "a"):
        (tmp_path / name).touch()
    assert HERE.listdir(str(tmp_path)) == ["a", "b", "c"]
    (tmp_path / "d").touch()
    assert errno_of(lambda: HERE.listdir(str(tmp_path))) == "EFBIG"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fifo", "EINVAL"),
        ("to-fifo", "EINVAL"),
        ("socket", "ENXIO"),
        ("directory", "EISDIR"),
        ("loop", "ELOOP"),
        ("dangling", "ENOENT"),
        ("nowhere", "ENOENT"),
        ("file/below", "ENOTDIR"),
    ],
)
def test_what_is_no_file_is_refused_at_once(oddities: Path, name: str, expected: str) -> None:
    began = time.monotonic()
    assert errno_of(lambda: HERE.read_bytes(f"{oddities}/{name}")) == expected
    assert HERE.read_or_none(f"{oddities}/{name}") is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/full"])
def test_devices_are_not_read(device: str) -> None:
    assert errno_of(lambda: HERE.read_bytes(device)) in ("EINVAL", "ENXIO")  # the latter: no terminal


@pytest.mark.parametrize("name", ["fifo", "socket", "directory", "file", "to-fifo", "nowhere"])
def test_what_is_no_block_device_is_not_read_as_one(oddities: Path, name: str) -> None:
    began = time.monotonic()
    assert errno_of(lambda: HERE.read_device(f"{oddities}/{name}", 0, 512)) in ("ENOTBLK", "ENXIO", "ENOENT")
    assert errno_of(lambda: HERE.read_device("/dev/zero", 0, 512)) == "ENOTBLK"
    assert time.monotonic() - began < 5


def test_a_recorded_device_is_zero_but_for_what_is_recorded() -> None:
    devices = {"/dev/sda": {"510": "55aa45464920", "8": "01"}, "/dev/sdb": {"error": "EIO"}}
    host = RecordedHost({"devices": devices})
    assert host.read_device("/dev/sda", 0, 512) == bytes(8) + b"\1" + bytes(501) + b"\x55\xaa"
    assert host.read_device("/dev/sda", 511, 3) == b"\xaaEF"
    assert host.read_device("/dev/sda", 9, 4) == bytes(4)
    assert errno_of(lambda: host.read_device("/dev/sdb", 0, 512)) == "EIO"
    assert errno_of(lambda: host.read_device("/dev/sdc", 0, 512)) == "ENOENT"


def test_every_kind_of_file_has_its_name(oddities: Path) -> None:
    names = ("fifo", "socket", "directory", "loop", "file")
    assert [HERE.lstat(f"{oddities}/{name}").kind for name in names] == [
        "fifo",
        "socket",
        "directory",
        "symlink",
        "file",
    ]
    assert HERE.lstat("/dev/null").kind == "character device"
    assert HERE.lstat(f"{oddities}/file").size == 8


def test_there_is_something_where_a_link_leads_nowhere(oddities: Path) -> None:
    assert HERE.exists(f"{oddities}/dangling")
    assert HERE.exists(f"{oddities}/loop")
    assert not HERE.exists(f"{oddities}/nowhere")
    assert not HERE.exists(f"{oddities}/file/below")


def test_a_link_that_leads_to_itself_has_no_end(oddities: Path) -> None:
    assert errno_of(lambda: HERE.resolve(f"{oddities}/loop")) == "ELOOP"
    assert errno_of(lambda: HERE.resolve(f"{oddities}/loop/below")) == "ELOOP"
    assert HERE.resolve(f"{oddities}/dangling") == f"{oddities}/nowhere"


# -- size and content


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_file_of_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert HERE.read_bytes(f"{tmp_path}/file") == content
    assert HERE.read_bytes(f"{tmp_path}/file", limit=size) == content
    if size:
        assert errno_of(lambda: HERE.read_bytes(f"{tmp_path}/file", limit=size - 1)) == "EFBIG"


def test_a_sparse_giant_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    assert errno_of(lambda: HERE.read_bytes(f"{tmp_path}/giant")) == "EFBIG"


@pytest.mark.parametrize("size", [0, 10])
def test_a_file_that_grows_without_end_is_refused_at_the_limit(tmp_path, monkeypatch, size: int) -> None:
    (tmp_path / "log").write_bytes(b"x" * size)
    asked: list[int] = []

    def read(descriptor: int, count: int) -> bytes:
        asked.append(count)
        return b"x" * count

    monkeypatch.setattr(door.os, "read", read)
    assert errno_of(lambda: HERE.read_bytes(f"{tmp_path}/log", limit=10 * CHUNK)) == "EFBIG"
    assert sum(asked) < 12 * CHUNK


def test_files_of_the_kernel_are_read_to_their_end() -> None:
    with Path("/proc/self/mountinfo").open("rb") as file:
        expected = file.read()
    assert HERE.read_bytes("/proc/self/mountinfo") == expected
    assert HERE.read("/proc/sys/kernel/ostype") == "Linux\n"
    assert HERE.lstat("/proc/self/mountinfo").size == 0
    assert HERE.read_or_none("/sys/kernel/mm/transparent_hugepage/enabled") != ""


def test_a_setting_that_fills_a_small_buffer_is_not_cut_short() -> None:
    """The kernel gives such a setting once: what does not fit into the buffer of the first read is lost."""
    program = f"""
import sys; sys.path.insert(0, {str(SOURCES)!r})
from verdelta_agent.host import LocalHost
path, ports = "/proc/sys/net/ipv4/ip_local_reserved_ports", ",".join(map(str, range(10001, 13001, 2)))
open(path, "w").write(ports)
assert LocalHost().read(path).strip() == ports
print(len(ports))
"""
    command = ["unshare", "--net", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=False)
    if b"unshare failed" in done.stderr or b"Read-only" in done.stderr:
        pytest.skip("needs root, and network namespaces")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > SMALL


def test_bytes_that_are_no_utf8_become_escapes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"M\xfcller \xe2\x82\xac")
    assert HERE.read(f"{tmp_path}/file") == "M\\xfcller €"
    assert printable("M\udcfcller €") == "M\\xfcller €"
    assert printable("Müller") == "Müller"


ODD_NAMES = [b"M\xfcller", "Müller".encode(), b"\xff\xfe", "€".encode(), b"a b", b"new\nline"]


def test_odd_names_are_listed_read_and_followed(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(name)
        Path(os.fsdecode(bytes(tmp_path) + b"/link-" + name)).symlink_to(os.fsdecode(name))
    names = [name for name in HERE.listdir(str(tmp_path)) if not name.startswith("link-")]
    assert sorted(os.fsencode(name) for name in names) == sorted(ODD_NAMES)
    for name in names:
        assert HERE.read_bytes(f"{tmp_path}/{name}") == os.fsencode(name)
        assert HERE.readlink(f"{tmp_path}/link-{name}") == name
        assert HERE.resolve(f"{tmp_path}/link-{name}") == f"{tmp_path}/{name}"


LISTING = """
import json, sys; sys.path.insert(0, {sources!r})
from verdelta_agent.host import LocalHost, printable
host, directory = LocalHost(), {directory!r}
seen = [[printable(name), printable(host.resolve(directory + "/" + name)), host.lstat(directory + "/" + name).kind,
         host.read_or_none(directory + "/" + name)] for name in host.listdir(directory)]
print(json.dumps([sys.getfilesystemencoding(), seen + [host.read_or_none(directory + "/M\\u00fcller")]]))
"""


def test_names_are_the_same_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(bytes(tmp_path) + b"/files/" + name)).write_bytes(b"here")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / "de_DE.ISO-8859-1")]
    locales = ["C", "C.UTF-8"]
    try:
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        locales.append("de_DE.ISO-8859-1")
    except (OSError, subprocess.CalledProcessError):
        pass  # without the sources of locales, the other two have to do
    seen = {}
    for locale in locales:
        environment = {"LC_ALL": locale, "LOCPATH": str(tmp_path), "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        program = LISTING.format(sources=str(SOURCES), directory=str(tmp_path / "files"))
        printed = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
        encoding, listing = json.loads(printed.stdout)
        seen[encoding] = listing
    assert len(seen) == len(locales)
    assert len({json.dumps(listing) for listing in seen.values()}) == 1
    assert seen["utf-8"][-1] == "here"


def test_what_may_not_be_read_is_refused_and_not_empty() -> None:
    with open_directory() as directory:
        (directory / "secret").write_text("x")
        (directory / "secret").chmod(0)
        (directory / "closed").mkdir(mode=0)
        place = str(directory)

        def look() -> list[str]:
            names = ("/secret", "/closed/file")
            seen = [errno_of(lambda name=name: HERE.read_bytes(place + name)) for name in names]
            seen.append(errno_of(lambda: HERE.listdir(place + "/closed")))
            seen.append(errno_of(lambda: HERE.exists(place + "/closed/file")))
            seen.append(HERE.lstat(place + "/secret").kind)
            return seen + [str(HERE.read_or_none(place + "/secret"))]

        assert as_nobody(look) == ["EACCES", "EACCES", "EACCES", "EACCES", "file", "None"]
        (directory / "closed").chmod(0o700)


# -- commands


def test_a_command_says_what_it_printed_with_a_plain_environment() -> None:
    assert HERE.run(["sh", "-c", "printf '%s' \"$LC_ALL $TZ $HOME\"; printf '\\377'"]) == "C UTC \\xff"


def test_a_command_that_fails_or_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match=r"sh failed with 3: oh no$") as caught:
        HERE.run(["sh", "-c", "echo oh no >&2; exit 3"])
    assert caught.value.errno == errno.EIO
    assert errno_of(lambda: HERE.run(["/nowhere/at-all"])) == "ENOENT"


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"sleep 60 & echo $! >{tmp_path}/pid; wait"
    assert errno_of(lambda: HERE.run(["sh", "-c", script], timeout=0.3)) == "ETIMEDOUT"
    assert time.monotonic() - began < 10  # although the child holds the command's output open
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child of the command lives on")


# -- a recording leads where the machine would

NAMES = st.sampled_from(["a", "b", "c"])
INSIDE = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=3).map("/".join),
    INSIDE.map(lambda path: "ROOT/" + path),
)
ENTRIES = st.lists(st.tuples(INSIDE, st.sampled_from(["file", "directory", "link"]), TARGETS), max_size=7)
ASKED = st.builds(
    lambda names, slash: "/".join(names) + slash,
    st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
)


@contextmanager
def a_root() -> Iterator[str]:
    """Yield a directory so deep that no path of the tests climbs out of what is recorded."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        root = directory + "/up" * 30
        os.makedirs(root)
        yield root


def build(root: str, entries: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Make what can be made of the entries below `root`, and return a recording of it."""
    recording: dict[str, Any] = {"files": {}, "links": {}, "directories": [root]}
    for name, kind, target in entries:
        path = f"{root}/{name}"
        try:
            if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
                continue  # below a link: the recording would have it somewhere else
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if kind == "directory":
                os.mkdir(path)
                recording["directories"].append(path)
            elif kind == "link":
                os.symlink(target.replace("ROOT", root), path)
                recording["links"][path] = target.replace("ROOT", root)
            else:
                Path(path).touch(exist_ok=False)
                Path(path).write_text(name)
                recording["files"][path] = name
        except OSError:
            continue  # what is in its way was there before
    return recording


def shown(host: Host, path: str) -> dict[str, Any]:
    """Return what each question about a path is answered with, or how it is refused."""

    def status() -> Any:
        found = host.lstat(path)
        return found.kind, found.size if found.kind == "file" else None

    questions: dict[str, Callable[[], Any]] = {
        "read": lambda: host.read(path),
        "lstat": status,
        "listdir": lambda: host.listdir(path),
        "readlink": lambda: host.readlink(path),
        "exists": lambda: host.exists(path),
        "read_or_none": lambda: host.read_or_none(path),
    }
    answers = {}
    for name, ask in questions.items():
        try:
            answers[name] = ask()
        except OSError as error:
            answers[name] = errno.errorcode[error.errno or 0]
    return answers


@settings(deadline=None)
@given(ENTRIES, st.lists(ASKED, min_size=1, max_size=6))
def test_a_recording_answers_as_the_machine_that_was_recorded(entries, asked: list[str]) -> None:
    with a_root() as root:
        recorded = RecordedHost(build(root, entries))
        for path in asked:
            assert shown(recorded, f"{root}/{path}") == shown(HERE, f"{root}/{path}")


@settings(deadline=None)
@given(ENTRIES, st.lists(INSIDE, min_size=1, max_size=6))
@example([("a", "link", "a/..")], ["a"])
def test_a_recording_resolves_paths_as_the_machine_would(entries, asked: list[str]) -> None:
    with a_root() as root:
        recorded = RecordedHost(build(root, entries))
        for path in asked:
            answers = []
            for host in (recorded, HERE):
                try:
                    answers.append(host.resolve(f"{root}/{path}"))
                except OSError as error:
                    answers.append(errno.errorcode[error.errno or 0])
            assert answers[0] == answers[1]


def test_a_long_chain_of_links_ends_in_both_where_the_kernel_ends_it(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("end")
    for number in range(1, 42):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    links = {f"{tmp_path}/{number}": str(number - 1) for number in range(1, 42)}
    recorded = RecordedHost({"files": {f"{tmp_path}/0": "end"}, "links": links})
    for host in (HERE, recorded):
        assert host.read(f"{tmp_path}/40") == "end"
        assert errno_of(lambda host=host: host.read(f"{tmp_path}/41")) == "ELOOP"


def test_a_recorded_refusal_and_recorded_bytes_come_back() -> None:
    files = {"/a": {"error": "EACCES"}, "/b": {"hex": "00ff"}, "/c": "ü"}
    recorded = RecordedHost({"files": files, "status": {"/b": {"mode": 0o600, "uid": 5, "gid": 6}}})
    assert errno_of(lambda: recorded.read_bytes("/a")) == "EACCES"
    assert recorded.lstat("/a").kind == "file"
    assert recorded.read_bytes("/b") == b"\x00\xff"
    assert recorded.lstat("/b") == ("file", 0o600, 5, 6, 2)
    assert recorded.lstat("/c").size == 2
    assert errno_of(lambda: recorded.read_bytes("/c", limit=1)) == "EFBIG"


def test_a_recorded_command_prints_what_it_printed_and_others_are_not_there() -> None:
    recorded = RecordedHost({"commands": {"uname -m": "x86_64\n"}})
    assert recorded.run(["uname", "-m"]) == "x86_64\n"
    assert errno_of(lambda: recorded.run(["uname", "-r"])) == "ENOENT"


def test_a_local_copy_of_a_recorded_file_is_gone_when_the_process_ends() -> None:
    recording = "{'files': {'/d/rpm': 'x'}}"
    program = f"from verdelta_agent.recorded_host import RecordedHost as R; print(R({recording}).local_path('/d/rpm'))"
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    path = Path(printed.stdout.decode().strip())
    assert path.name == "rpm"
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["nosuch0", "x" * 40, "", "a\0b"])
def test_a_driver_of_no_interface_is_an_error(name: str) -> None:
    with pytest.raises(OSError):
        LocalHost().ethtool(name, "03000000" + "00" * 192)


def test_what_a_driver_told_is_told_by_its_recording() -> None:
    recorded = RecordedHost({"ethtool": {"eth0 03": "04", "eth1 03": {"error": "EPERM"}}})
    assert recorded.ethtool("eth0", "03") == b"\4"
    with pytest.raises(PermissionError):
        recorded.ethtool("eth1", "03")
