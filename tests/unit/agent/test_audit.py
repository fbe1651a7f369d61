"""An audit as a message: digests of all, rows of what is not known, and whether the host is at rest."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.audit import Audit, take
from verdelta_agent.delta import apply
from verdelta_agent.model import (
    ABSENT,
    FAILED,
    OK,
    Collector,
    Section,
    Snapshot,
    digest_sections,
    root_digest,
    rows_digest,
)
from verdelta_agent.recorded_host import RecordedHost

HOST = RecordedHost({})
COLLECTOR = Collector("a", "key", lambda host: Section(OK, {"k": {"f": 1}}, {}), 5)
OLD = {"vim:amd64": {"version": "9.0"}, "nginx:amd64": {"version": "1.24"}}
NEW = {"vim:amd64": {"version": "9.0"}, "nginx:amd64": {"version": "1.26"}, "jq:amd64": {"version": "1.7"}}


def audit(sections: dict[str, Section], idle: bool | None = None) -> Audit:
    return Audit(Snapshot("me", "2026-01-02T03:04:05Z", "0.1.0", sections), idle, never)


def packages(rows: dict[str, Any]) -> Audit:
    return audit({"software.dpkg": Section(OK, rows, {})})


def never(*arguments: Any) -> Any:
    raise AssertionError("the cache was loaded, or a section collected, without need")


def test_a_check_in_is_digests_and_no_rows() -> None:
    sections = {"a": Section(OK, OLD, {"vim:amd64": {"used": 1}}), "b": Section(FAILED, {}, {}, "permission")}
    assert audit(sections).summary() == {
        "taken_at": "2026-01-02T03:04:05Z",
        "agent": "0.1.0",
        "root": root_digest(digest_sections(sections)),
        "sections": {
            "a": {"status": "ok", "digest": rows_digest(OLD)},
            "b": {"status": "failed", "digest": rows_digest({}), "error": "permission"},
        },
    }


def test_of_a_section_that_the_controller_knows_no_row_is_sent() -> None:
    body = packages(OLD).body({"software.dpkg": rows_digest(OLD)}, never, "asked")
    assert (body["contents"], body["challenge"]) == ({}, "asked")
    assert body["sections"]["software.dpkg"]["digest"] == rows_digest(OLD)


def test_of_a_section_that_it_does_not_know_all_rows_are_sent() -> None:
    assert packages(OLD).body({}, never, "")["contents"] == {"software.dpkg": {"rows": OLD}}


def test_of_a_section_that_changed_a_patch_against_its_state_is_sent() -> None:
    known = {"software.dpkg": rows_digest(OLD)}
    (content,) = packages(NEW).body(known, lambda: {"software.dpkg": OLD}, "")["contents"].values()
    expected = {"nginx:amd64": {"version": "1.26"}, "jq:amd64": {"version": "1.7"}}
    assert content == {"base": rows_digest(OLD), "set": expected, "removed": []}


@pytest.mark.parametrize(
    "cache",
    [{}, {"software.dpkg": {}}, {"software.dpkg": NEW}, {"software.dpkg": {**OLD, "vim:amd64": {"version": "8"}}}],
    ids=["none", "empty", "of another state", "damaged"],
)
def test_without_the_state_that_the_controller_has_all_rows_are_sent(cache: dict[str, Any]) -> None:
    known = {"software.dpkg": rows_digest(OLD)}
    assert packages(NEW).body(known, lambda: cache, "")["contents"] == {"software.dpkg": {"rows": NEW}}


def test_a_section_without_rows_needs_none() -> None:
    sections = {"a": Section(ABSENT, {}, {}), "b": Section(FAILED, {}, {}, "x"), "c": Section(OK, {}, {})}
    assert audit(sections).body({"c": rows_digest(OLD)}, never, "")["contents"] == {}


def test_what_is_volatile_is_shown_beside_the_rows() -> None:
    sections = {"a": Section(OK, {}, {"k": {"used": 1}}), "b": Section(OK, {}, {})}
    assert audit(sections).body({}, never, "")["volatile"] == {"a": {"k": {"used": 1}}}


ROWS = st.dictionaries(st.sampled_from("abcd"), st.fixed_dictionaries({"v": st.integers(0, 2)}))


@given(ROWS, ROWS, ROWS)
def test_whatever_is_known_and_cached_the_controller_arrives_at_the_same_rows(known, cached, rows) -> None:
    body = packages(rows).body({"software.dpkg": rows_digest(known)}, lambda: {"software.dpkg": cached}, "")
    content = body["contents"].get("software.dpkg")
    if content is None:
        arrived = known if rows_digest(known) == rows_digest(rows) else {}
    elif "base" in content:
        assert content["base"] == rows_digest(known)
        arrived = apply(known, content)
    else:
        arrived = content["rows"]
    assert arrived == rows


# -- the install lock

HOLD = "import fcntl, os, sys; fcntl.flock(os.open({path!r}, os.O_RDONLY), fcntl.{how}); print(1, flush=True); input()"


def holding(path: Path, how: str, then: Callable[[], Any]) -> Any:
    """Return what `then` says while another process holds a lock."""
    program = HOLD.format(path=str(path), how=how)
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        try:
            return then()
        finally:
            process.kill()


@pytest.fixture(params=["file", "directory"])
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    if request.param == "file":
        path.touch()
    else:
        path.mkdir()
    return path


def idle(path: Path) -> bool | None:
    body = take(HOST, [COLLECTOR], "me", str(path)).summary()
    idle: bool | None = body.get("install_idle")
    return idle


def test_a_host_on_which_nobody_installs_is_idle(lock: Path) -> None:
    assert idle(lock) is True


@pytest.mark.parametrize("how", ["LOCK_SH", "LOCK_EX"])
def test_a_host_on_which_a_step_still_runs_is_not(lock: Path, how: str) -> None:
    assert holding(lock, how, lambda: idle(lock)) is False
    assert idle(lock) is True


def test_no_step_can_begin_while_the_host_is_audited(lock: Path) -> None:
    tried: list[bool] = []

    def try_to_begin(host: Any) -> Section:
        descriptor = os.open(lock, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            tried.append(True)
        except BlockingIOError:
            tried.append(False)
        finally:
            os.close(descriptor)
        return Section(OK, {}, {})

    take(HOST, [COLLECTOR._replace(collect=try_to_begin)], "me", str(lock))
    assert tried == [False]


def test_nothing_is_made_or_changed_for_the_lock(lock: Path) -> None:
    before = (os.stat(lock), sorted(os.listdir(lock.parent)))
    idle(lock)
    after = (os.stat(lock), sorted(os.listdir(lock.parent)))
    assert after[1] == before[1]
    assert (after[0].st_mtime_ns, after[0].st_ctime_ns) == (before[0].st_mtime_ns, before[0].st_ctime_ns)


def test_without_a_lock_nothing_is_said_about_installs() -> None:
    assert "install_idle" not in take(HOST, [COLLECTOR], "me", None).summary()


def test_a_lock_that_is_not_there_is_an_error_that_names_it_and_nobody_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        take(HOST, [COLLECTOR], "me", f"{tmp_path}/nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_neither_file_nor_directory_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (f"{tmp_path}/fifo", "/dev/null"):
        with pytest.raises(OSError, match="neither a file nor a directory"):
            take(HOST, [COLLECTOR], "me", path)
