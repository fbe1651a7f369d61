"""What is kept beside the identity: worth something when it is whole, no harm when it is not."""

import json
import os
from pathlib import Path

import pytest
from tests.support.unprivileged import as_nobody, open_directory

from verdelta_agent import kept

ROOT = "a" * 64
CACHE = {"software.dpkg": {"vim:amd64": {"version": "9.0", "hold": False, "tags": ["ü", None, 1]}}, "system.users": {}}


def test_what_was_seen_comes_back(tmp_path: Path) -> None:
    kept.save_cache(str(tmp_path), ROOT, lambda: CACHE)
    assert kept.load_cache(str(tmp_path)) == CACHE
    assert (tmp_path / "last").stat().st_mode & 0o777 == 0o600


def test_a_night_in_which_nothing_changed_writes_nothing(tmp_path: Path) -> None:
    kept.save_cache(str(tmp_path), ROOT, lambda: CACHE)
    before = (tmp_path / "last").stat()
    kept.save_cache(str(tmp_path), ROOT, lambda: CACHE)
    assert (tmp_path / "last").stat().st_ino == before.st_ino
    kept.save_cache(str(tmp_path), "b" * 64, lambda: {})
    assert kept.load_cache(str(tmp_path)) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        ROOT.encode(),
        ROOT.encode() + b"\n{",
        ROOT.encode() + b"\n[]",
        ROOT.encode() + b"\n" + b"[" * 100000,
        ROOT.encode() + b"\n\xff",
        ROOT.encode() + b'\n{"a": 1, "b": [], "c": {"k": 1}, "d": null}',
    ],
    ids=range(9),
)
def test_a_damaged_cache_is_no_cache(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last").write_bytes(content)
    assert kept.load_cache(str(tmp_path)) == {}


def test_a_cache_that_is_not_there_or_no_file_is_no_cache(tmp_path: Path) -> None:
    assert kept.load_cache(str(tmp_path)) == {}
    (tmp_path / "last").mkdir()
    assert kept.load_cache(str(tmp_path)) == {}


def test_a_larger_cache_than_anybody_writes_is_not_read_into_memory(tmp_path: Path, monkeypatch) -> None:
    kept.save_cache(str(tmp_path), ROOT, lambda: CACHE)
    monkeypatch.setattr(kept, "LIMIT", 80)
    assert kept.load_cache(str(tmp_path)) == {}


def test_watched_paths_come_back_and_nobody_else_reads_them(tmp_path: Path) -> None:
    assert kept.load_watched(str(tmp_path)) is None
    kept.save_watched(str(tmp_path), ["/etc", "/srv/ü", "/srv/\udcff"])
    assert kept.load_watched(str(tmp_path)) == ["/etc", "/srv/ü", "/srv/\udcff"]
    assert (tmp_path / "watched.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'"/etc"', b"[1]", b'["etc"]', b'["/etc", null]', b"[" * 99999, b"\xff"]
)
def test_a_damaged_choice_of_paths_is_said_and_not_replaced_by_another(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "watched.json").write_bytes(content)
    with pytest.raises(OSError, match=r"watched\.json is damaged: expected a list of absolute paths"):
        kept.load_watched(str(tmp_path))


def test_a_choice_of_paths_that_may_not_be_read_is_said_and_not_replaced_by_another() -> None:
    with open_directory() as directory:
        (directory / "watched.json").write_text(json.dumps(["/srv"]))
        os.chmod(directory / "watched.json", 0)
        with pytest.raises(PermissionError):
            as_nobody(lambda: kept.load_watched(str(directory)))


def test_the_invitation_that_a_key_is_for_comes_back(tmp_path: Path) -> None:
    assert kept.load_invitation(str(tmp_path)) is None
    kept.save_invitation(str(tmp_path), "audience.host.1")
    assert kept.load_invitation(str(tmp_path)) == "audience.host.1"
    (tmp_path / "invitation").write_bytes(b"\xff")
    assert kept.load_invitation(str(tmp_path)) not in (None, "audience.host.1")
