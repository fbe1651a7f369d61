"""RPM packages as rows, and the databases that they are read from, whole and broken."""

import base64
import contextlib
import itertools
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import rpmdb as write

from verdelta_agent.collectors.software import rpm
from verdelta_agent.collectors.software.rpmdb import bdb, header, ndb, read_packages, sqlite
from verdelta_agent.collectors.software.rpmdb.header import Corrupt, Package
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.recorded_host import RecordedHost

HEADERS = [
    write.header("bash", "5.1.8", "9.el9", architecture="x86_64", rsa=write.signature("199e2f91fd431d51")),
    write.header("shadow-utils", "4.9", "8.el9", epoch=2, architecture="x86_64", vendor="Red Hat, Inc.", files=300),
    write.header("gpg-pubkey", "fd431d51", "4ae0493b"),
]
ROWS = {
    "bash.x86_64": {"version": "5.1.8-9.el9", "signed_by": "199e2f91fd431d51"},
    "shadow-utils.x86_64": {"version": "2:4.9-8.el9", "vendor": "Red Hat, Inc."},
    "gpg-pubkey-fd431d51": {"version": "fd431d51-4ae0493b"},
}


WRITERS = {"rpmdb.sqlite": write.sqlite, "Packages.db": write.ndb, "Packages": write.bdb}
READERS = {"rpmdb.sqlite": sqlite.headers, "Packages.db": ndb.headers, "Packages": bdb.headers}
DATABASES = {name: writer(HEADERS) for name, writer in WRITERS.items()}


def section(**files: bytes):
    recorded = {f"/var/lib/rpm/{name}": {"hex": data.hex()} for name, data in files.items()}
    return collect(RecordedHost({"files": recorded}), rpm.COLLECTOR)


def package(name="kernel", version="1", release="1", epoch=0, architecture="x86_64") -> Package:
    return Package(name, epoch, version, release, architecture, "", "", "")


@pytest.mark.parametrize("name", list(DATABASES))
def test_every_format_gives_the_same_rows(name):
    assert section(**{name: DATABASES[name]}) == ("ok", ROWS, {}, None)


@pytest.mark.parametrize("buckets", [1, 2, 8])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_hash_is_read_in_either_byte_order_and_whatever_its_buckets(order, buckets):
    many = HEADERS + [write.header(f"p{number}", "1", "1", architecture="noarch") for number in range(60)]
    assert len(section(Packages=write.bdb(many, order, buckets=buckets)).rows) == 63


@pytest.mark.parametrize("name", list(DATABASES))
def test_a_database_without_packages_has_no_rows(name):
    assert section(**{name: WRITERS[name]([])}) == ("ok", {}, {}, None)


def test_a_directory_without_a_database_is_absent():
    recording = {"directories": ["/var/lib/rpm"], "files": {"/var/lib/rpm/.rpm.lock": ""}}
    assert collect(RecordedHost(recording), rpm.COLLECTOR).status == "absent"


def test_the_newest_format_counts_where_a_migration_left_the_old_one():
    old = write.bdb([write.header("old", "1", "1", architecture="noarch")])
    assert section(**{"Packages": old, "rpmdb.sqlite": DATABASES["rpmdb.sqlite"]}).rows == ROWS


def test_an_upgrade_is_one_changed_row():
    before, after = rpm.rows([package("a", "1.0")]), rpm.rows([package("a", "1.1")])
    assert list(before) == list(after) == ["a.x86_64"]


def test_a_new_kernel_that_pushes_the_oldest_out_is_one_changed_row():
    before = rpm.rows([package(version="5"), package(version="9"), package(version="10")])
    after = rpm.rows([package(version="11"), package(version="9"), package(version="10")])
    assert before == {"kernel.x86_64": {"version": "10-1", "other_versions": ["5-1", "9-1"]}}
    assert after == {"kernel.x86_64": {"version": "11-1", "other_versions": ["9-1", "10-1"]}}


def test_the_order_in_which_versions_lie_in_the_database_has_no_influence():
    versions = [package(version=version) for version in ("1", "1.0", "1..0", "1.a")]
    assert len({str(rpm.rows(order)) for order in itertools.permutations(versions)}) == 1


def test_each_trusted_key_has_a_row_of_its_own():
    keys = [package("gpg-pubkey", "aaaaaaaa", "1", architecture=""), package("gpg-pubkey", "bbbbbbbb", "2")]
    assert sorted(rpm.rows(keys)) == ["gpg-pubkey-aaaaaaaa", "gpg-pubkey-bbbbbbbb"]


KEY = "199e2f91fd431d51"
FINGERPRINT = "567e347ad0044ade55ba8a5f" + KEY


def packet(start: str, body: str) -> bytes:
    return bytes.fromhex(start + f"{len(body) // 2:02x}" + body)


@pytest.mark.parametrize(
    ("signature", "key"),
    [
        (packet("88", "0305" + "00" + "5f000000" + KEY + "0108"), KEY),
        (packet("88", "04000108" + "0000" + "000a" + "0910" + KEY), KEY),
        (packet("c2", "04000108" + "0000" + "000a" + "0910" + KEY), KEY),
        (packet("88", "04000108" + "0006" + "0502" + "5f000000" + "000a" + "0910" + KEY), KEY),
        (packet("88", "04000108" + "0017" + "1621" + "04" + FINGERPRINT + "0000"), KEY),
        (packet("88", "04000108" + "0000" + "0000"), ""),
        (packet("88", "06000108"), ""),
        (b"\0", ""),
    ],
)
def test_a_signature_names_its_key_in_whatever_form_it_has(signature, key):
    assert header.parse(write.header("a", "1", "1", rsa=signature)).key_id == key
    assert header.parse(write.header("a", "1", "1", openpgp=base64.b64encode(signature).decode())).key_id == key


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=80))
def test_no_bytes_in_place_of_a_signature_crash_anything(signature):
    assert len(header.parse(write.header("a", "1", "1", rsa=signature)).key_id) <= 16


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.0", "1.1"),
        ("1.9", "1.10"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0^git1"),
        ("1.0^git1", "1.0.1"),
        ("1.0a", "1.0.1"),
        ("1.a", "1.b"),
        ("1.0", "1.0.0"),
        ("9" * 500, "1" + "0" * 500),
    ],
)
def test_versions_are_in_rpms_order(lower, higher):
    assert rpm.order_of(lower) < rpm.order_of(higher)


@pytest.mark.parametrize(("one", "two"), [("1.0", "1_0"), ("1.01", "1.1"), ("1..0", "1.0")])
def test_versions_that_are_one_to_rpm_are_one(one, two):
    assert rpm.order_of(one) == rpm.order_of(two)


def test_a_format_that_no_reader_knows_is_asked_of_rpm_itself():
    btree = bytearray(write.bdb(HEADERS))
    btree[12:16] = (0x00053162).to_bytes(4, "little")
    printed = "bash\t(none)\t5.1\t9\tx86_64\tRed Hat, Inc.\tbash-5.1-9.src.rpm\n"
    recording = {
        "files": {"/var/lib/rpm/Packages": {"hex": btree.hex()}},
        "commands": {" ".join(rpm.COMMAND): printed},
    }
    row = {"version": "5.1-9", "vendor": "Red Hat, Inc."}
    assert collect(RecordedHost(recording), rpm.COLLECTOR).rows == {"bash.x86_64": row}


def test_what_rpm_says_beside_packages_is_an_error_and_no_package():
    with pytest.raises(ValueError, match="error: rpmdb"):
        rpm.parse("error: rpmdb: damaged\n")


class Below(LocalHost):
    """This machine, with another directory as its root."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = str(root)

    def lstat(self, path):
        return super().lstat(self.root + path)

    def local_path(self, path):
        return self.root + path


@pytest.fixture
def working(tmp_path):
    """A host on which rpm is at work: its database has a write-ahead log with a package that is nowhere else."""
    directory = tmp_path / "var/lib/rpm"
    directory.mkdir(parents=True)
    path = directory / "rpmdb.sqlite"
    path.write_bytes(DATABASES["rpmdb.sqlite"])
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode=WAL');"
        "c.execute('INSERT INTO Packages (blob) VALUES (?)', (bytes.fromhex(sys.argv[2]),)); c.commit(); os._exit(0)"
    )
    late = write.header("late", "1", "1", architecture="noarch").hex()
    subprocess.run([sys.executable, "-c", script, path, late], check=True)
    assert (directory / "rpmdb.sqlite-wal").stat().st_size > 0
    (directory / "rpmdb.sqlite-shm").unlink()
    return Below(tmp_path)


def test_what_is_only_in_the_write_ahead_log_is_seen(working):
    assert set(collect(working, rpm.COLLECTOR).rows) == {*ROWS, "late.noarch"}


def test_reading_leaves_no_file_beside_the_database_and_changes_none(working):
    def state():
        paths = sorted((Path(working.root) / "var/lib/rpm").iterdir())
        return [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in paths]

    before = state()
    collect(working, rpm.COLLECTOR)
    assert state() == before
    log = Path(working.root) / "var/lib/rpm/rpmdb.sqlite-wal"
    log.write_bytes(b"")
    before = state()
    assert set(collect(working, rpm.COLLECTOR).rows) == set(ROWS)
    assert state() == before


def test_a_database_that_is_written_to_meanwhile_is_read_once_more_and_then_given_up(tmp_path):
    path = tmp_path / "Packages.db"
    path.write_bytes(write.ndb(HEADERS))
    clock = itertools.count(1)

    def written_to(times):
        rounds = itertools.count(1)

        def headers(file):
            yield from ndb.headers(file)
            if next(rounds) <= times:
                os.utime(path, (0, next(clock)))

        return headers

    assert len(read_packages(str(path), written_to(1))) == 3
    with pytest.raises(OSError, match="written to while it was read"):
        read_packages(str(path), written_to(2))


def read_broken(directory: Path, name: str, data: bytes) -> None:
    """Read a database that may be broken: whatever it does, it raises nothing but ValueError, and ends."""
    path = directory / name
    path.write_bytes(data)
    with contextlib.suppress(ValueError):
        rows = rpm.rows(read_packages(str(path), READERS[name]))
        assert len(rows) <= len(HEADERS)


@pytest.mark.parametrize("name", list(DATABASES))
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_database_cut_short_is_an_error_and_never_fewer_packages(tmp_path, name, part):
    path = tmp_path / name
    path.write_bytes(DATABASES[name][: int(len(DATABASES[name]) * part)])
    with contextlib.suppress(ValueError):
        assert rpm.rows(read_packages(str(path), READERS[name])) == ROWS  # what was cut off held no package


@pytest.mark.parametrize("name", list(DATABASES))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_flipped_bits_crash_nothing(tmp_path, name, data):
    broken = bytearray(DATABASES[name])
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    read_broken(tmp_path, name, bytes(broken))


@settings(max_examples=300)
@given(st.data())
def test_a_header_with_flipped_bits_is_a_package_or_an_error(data):
    broken = bytearray(HEADERS[data.draw(st.integers(0, 1))])
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(Corrupt):
        header.parse(bytes(broken))


@given(st.binary(max_size=200))
def test_no_bytes_at_all_are_more_than_an_error(data):
    with contextlib.suppress(Corrupt):
        header.parse(data)


def test_lengths_that_lie_take_no_memory(tmp_path):
    """A count of 2 GiB in a file of a few KiB is refused before anything is set aside for it."""
    tracemalloc.start()
    broken = bytearray(write.ndb(HEADERS))
    broken[12:16] = (0x7FFFFFFF).to_bytes(4, "little")  # pages of slots
    read_broken(tmp_path, "Packages.db", bytes(broken))
    broken = bytearray(write.ndb(HEADERS))
    broken[44:48] = (0x07FFFFFF).to_bytes(4, "little")  # blocks of the first package
    read_broken(tmp_path, "Packages.db", bytes(broken))
    blob = bytearray(HEADERS[0])
    blob[:4] = (0x7FFFFFFF).to_bytes(4, "big")  # entries of a header
    with pytest.raises(Corrupt):
        header.parse(bytes(blob))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 << 20  # bytes


def test_a_chain_of_pages_that_is_a_circle_ends():
    data = bytearray(write.bdb(HEADERS, buckets=1))
    data[512 + 16 : 512 + 20] = (1).to_bytes(4, "little")  # the first bucket's next page is itself
    assert section(Packages=bytes(data)).status == "failed"
