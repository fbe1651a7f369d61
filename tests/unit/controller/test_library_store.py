"""The content of the library: what is in it is what its name says, or it is an error."""

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from verdelta_controller.foundation.errors import InvalidInput, NotFound, TooLarge, Unavailable
from verdelta_controller.library import store as module
from verdelta_controller.library.store import ArtifactStore, ChecksumMismatch, ContentDamaged, StoreUnavailable

CONTENT = b"labapp 1.1\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "library")


def path_of(store: ArtifactStore, digest: str) -> Path:
    return store.root / "sha256" / digest[:2] / digest


def damage(store: ArtifactStore, digest: str) -> None:
    path = path_of(store, digest)
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def nothing_arriving(store: ArtifactStore) -> bool:
    return list((store.root / "incoming").iterdir()) == []


def test_content_comes_back_as_it_came(store: ArtifactStore) -> None:
    stored = store.add(io.BytesIO(CONTENT), DIGEST)
    assert stored == (DIGEST, len(CONTENT))
    with store.open(DIGEST) as reader:
        assert reader.read() == CONTENT
    assert store.verified_path(DIGEST).read_bytes() == CONTENT
    assert store.has(DIGEST)
    assert nothing_arriving(store)


def test_content_is_read_only_and_named_by_its_digest(store: ArtifactStore) -> None:
    store.add(io.BytesIO(CONTENT))
    assert path_of(store, DIGEST).stat().st_mode & 0o777 == 0o440


def test_the_same_content_is_there_once(store: ArtifactStore) -> None:
    assert store.add(io.BytesIO(CONTENT)) == store.add(io.BytesIO(CONTENT), DIGEST.upper())
    assert len(store.verify_all().intact) == 1


def test_an_empty_file_is_content_like_any_other(store: ArtifactStore) -> None:
    digest = store.add(io.BytesIO()).digest
    assert store.verified_path(digest).read_bytes() == b""


def test_content_with_another_checksum_is_refused_and_kept_apart(store: ArtifactStore) -> None:
    with pytest.raises(ChecksumMismatch) as caught:
        store.add(io.BytesIO(CONTENT), OTHER, "labapp-1.1.deb")
    said = str(caught.value).splitlines()
    assert said[0] == "labapp-1.1.deb: checksum does not match the manifest"
    assert said[1] == f"  expected sha256 {OTHER}, the file has {DIGEST}"
    assert not store.has(DIGEST)
    assert not store.has(OTHER)
    assert store.verify_all().quarantined == [DIGEST]
    assert nothing_arriving(store)


def test_quarantined_content_can_still_come_in_where_it_is_expected(store: ArtifactStore) -> None:
    with pytest.raises(ChecksumMismatch):
        store.add(io.BytesIO(CONTENT), OTHER)
    store.add(io.BytesIO(CONTENT), DIGEST)
    assert store.verified_path(DIGEST)


def test_content_that_is_too_large_leaves_nothing_behind(tmp_path: Path) -> None:
    small = ArtifactStore(tmp_path, limit=len(CONTENT))
    small.add(io.BytesIO(CONTENT))
    with pytest.raises(TooLarge, match=r"^x\.deb: larger than 11000 bytes"):
        small.add(io.BytesIO(CONTENT + b"x"), name="x.deb")
    assert len(small.verify_all().intact) == 1
    assert nothing_arriving(small)


def test_an_endless_stream_ends_at_the_limit(tmp_path: Path) -> None:
    class Endless:
        def read(self, size: int, /) -> bytes:
            return b"\0" * size

    with pytest.raises(TooLarge):
        ArtifactStore(tmp_path, limit=3 * module.CHUNK).add(Endless())


def test_a_stream_that_breaks_leaves_nothing_behind(store: ArtifactStore) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise ConnectionResetError("the client went away")
            return super().read(100)

    with pytest.raises(ConnectionResetError):
        store.add(Breaking(CONTENT))
    assert nothing_arriving(store)
    assert store.verify_all() == ([], [], [], [])


def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        store.add(io.BytesIO(CONTENT))
    monkeypatch.undo()
    assert nothing_arriving(store)


def test_a_write_that_takes_only_a_part_is_continued(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda descriptor, data: write(descriptor, bytes(data[:7])))
    assert store.add(io.BytesIO(CONTENT[:100])).size == 100
    monkeypatch.undo()
    assert store.verified_path(hashlib.sha256(CONTENT[:100]).hexdigest())


# --- damage


def test_damaged_content_is_never_handed_out_as_a_path(store: ArtifactStore) -> None:
    store.add(io.BytesIO(CONTENT))
    damage(store, DIGEST)
    with pytest.raises(ContentDamaged) as caught:
        store.verified_path(DIGEST)
    assert DIGEST in str(caught.value)
    assert "Add the file again" in str(caught.value)


@pytest.mark.parametrize("size", [1, 100, 8192, -1])
def test_a_reader_of_damaged_content_fails_at_the_end_at_the_latest(store: ArtifactStore, size: int) -> None:
    store.add(io.BytesIO(CONTENT))
    damage(store, DIGEST)
    with store.open(DIGEST) as reader, pytest.raises(ContentDamaged):
        while reader.read(size):
            pass


@pytest.mark.parametrize("cut", [0, 1, len(CONTENT) - 1])
def test_content_that_was_cut_short_is_damaged(store: ArtifactStore, cut: int) -> None:
    store.add(io.BytesIO(CONTENT))
    path_of(store, DIGEST).chmod(0o640)
    os.truncate(path_of(store, DIGEST), cut)
    with pytest.raises(ContentDamaged):
        store.verified_path(DIGEST)


def test_damaged_content_is_mended_by_adding_it_again(store: ArtifactStore) -> None:
    store.add(io.BytesIO(CONTENT))
    damage(store, DIGEST)
    store.add(io.BytesIO(CONTENT))
    assert store.verified_path(DIGEST).read_bytes() == CONTENT


def test_a_check_of_everything_names_what_is_damaged_and_what_does_not_belong_there(store: ArtifactStore) -> None:
    store.add(io.BytesIO(CONTENT))
    bad = store.add(io.BytesIO(b"other")).digest
    damage(store, bad)
    (store.root / "sha256" / "note.txt").write_text("x")
    (store.root / "sha256" / DIGEST[:2] / OTHER).write_text("in the wrong folder")
    (store.root / "sha256" / OTHER[:2]).mkdir(exist_ok=True)
    path_of(store, OTHER).symlink_to("/etc/passwd")
    report = store.verify_all()
    assert report.intact == [(DIGEST, len(CONTENT))]
    assert report.damaged == [bad]
    assert report.foreign == sorted([f"sha256/{DIGEST[:2]}/{OTHER}", f"sha256/{OTHER[:2]}/{OTHER}", "sha256/note.txt"])


def test_a_link_in_the_place_of_content_is_not_followed(store: ArtifactStore) -> None:
    path_of(store, OTHER).parent.mkdir()
    path_of(store, OTHER).symlink_to("/etc/passwd")
    with pytest.raises(StoreUnavailable):
        store.open(OTHER)


# --- names


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "zz" * 32, "\u0660" * 64]
)
def test_a_name_that_is_no_digest_never_becomes_a_path(store: ArtifactStore, digest: str) -> None:
    for ask in (store.open, store.verified_path, store.has, store.delete):
        with pytest.raises(InvalidInput, match="no SHA-256"):
            ask(digest)


def test_an_expected_checksum_that_is_none_is_refused_before_anything_is_read(store: ArtifactStore) -> None:
    stream = io.BytesIO(CONTENT)
    with pytest.raises(InvalidInput, match="no SHA-256"):
        store.add(stream, "latest")
    assert stream.tell() == 0


def test_what_is_not_there_is_not_found(store: ArtifactStore) -> None:
    for ask in (store.open, store.verified_path, store.delete):
        with pytest.raises(NotFound, match=f"the library has no artifact {OTHER[:16]}"):
            ask(OTHER)
    assert not store.has(OTHER)


def test_deleted_content_is_gone(store: ArtifactStore) -> None:
    store.add(io.BytesIO(CONTENT))
    store.delete(DIGEST)
    assert not store.has(DIGEST)
    assert store.verify_all().intact == []


# --- several at once, and killed


def test_many_may_add_and_read_the_same_content_at_the_same_time(store: ArtifactStore) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                store.add(io.BytesIO(CONTENT), DIGEST)
                assert store.verified_path(DIGEST).stat().st_size == len(CONTENT)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert nothing_arriving(store)


ADDING = """
import hashlib, io, itertools, sys
from pathlib import Path
from verdelta_controller.library.store import ArtifactStore
store = ArtifactStore(Path(sys.argv[1]))
for number in itertools.count():
    content = b"%d\\n" % number * (1 + number % 7 * 40_000)
    print(store.add(io.BytesIO(content)).digest, flush=True)
"""


@pytest.mark.timeout(120)
def test_content_outlives_a_killed_process_whole_or_not_at_all(store: ArtifactStore) -> None:
    announced: set[str] = set()
    for delay in (0.0, 0.013, 0.05, 0.111, 0.2):
        child = subprocess.Popen(
            [sys.executable, "-c", ADDING, str(store.root)], stdout=subprocess.PIPE, text=True, encoding="ascii"
        )
        assert child.stdout is not None
        announced.add(child.stdout.readline().strip())
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        announced.update(line.strip() for line in child.stdout if len(line) == 65)
        child.wait()
        child.stdout.close()
    report = store.verify_all()
    assert (report.damaged, report.foreign, report.quarantined) == ([], [], [])
    assert announced <= {stored.digest for stored in report.intact}
    assert len(announced) > 5


SLOW = """
import sys, time
from pathlib import Path
from verdelta_controller.library.store import ArtifactStore
class Slow:
    def read(self, size):
        print("reading", flush=True)
        time.sleep(0.01)
        return b"x" * 1000
ArtifactStore(Path(sys.argv[1])).add(Slow())
"""


@pytest.mark.timeout(60)
def test_what_a_killed_process_left_behind_is_swept_up_and_what_still_arrives_is_not(store: ArtifactStore) -> None:
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(store.root)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(3):
        child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()
    (left,) = (store.root / "incoming").iterdir()
    assert store.verify_all() == ([], [], [], [])
    assert store.sweep() == 0
    long_ago = time.time() - module.STALE - 1
    os.utime(left, (long_ago, long_ago))
    assert store.sweep() == 1
    assert nothing_arriving(store)


def test_an_archive_is_stored_as_the_bytes_that_it_is(store: ArtifactStore) -> None:
    bomb = b"PK\x03\x04" + b"\0" * 5000 + b"../../../../etc/cron.d/x"
    digest = store.add(io.BytesIO(bomb), name="../../x.zip").digest
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == [digest]
