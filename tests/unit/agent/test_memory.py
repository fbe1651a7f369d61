"""What has not changed is not read anew, and what has never goes unseen."""

import copy
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verdelta_agent import memory as remembering
from verdelta_agent.audit import Audit, take
from verdelta_agent.collectors import SECTIONS
from verdelta_agent.host import LIMIT, QUESTIONS, Host, LocalHost
from verdelta_agent.memory import Memory, Witness, dump, load
from verdelta_agent.model import FAILED, OK, Collector, Section, failed, rows_digest
from verdelta_agent.recorded_host import RecordedHost

RECORDINGS = sorted((Path(__file__).parents[2] / "hosts").glob("*/*.json"))
BY_NAME = {entry.name: entry.load() for entry in SECTIONS}


class Counted:
    """A collector of one section, which counts how often it is asked."""

    def __init__(self, collect: Any) -> None:
        self.times = 0
        self._collect = collect
        self.collector = Collector("a", "key", self.collect, 5)

    def collect(self, host: Host) -> Section:
        self.times += 1
        return self._collect(host)


def content_of(path: str) -> Any:
    return lambda host: Section(OK, {path: {"content": host.read(path)}}, {})


def audit(host: Host, collector: Collector, memory: Memory | None) -> Audit:
    return take(host, [collector], "me", None, memory)


def kept(memory: Memory, host: Host) -> Memory:
    return load(dump(memory, host), host)


def test_what_is_as_it_was_is_not_collected_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    counted, host = Counted(content_of(str(tmp_path / "file"))), LocalHost()
    memory = Memory()
    first = audit(host, counted.collector, memory)
    memory = kept(memory, host)
    second = audit(host, counted.collector, memory)
    assert (counted.times, second.digests, second.root) == (1, first.digests, first.root)
    assert not memory.changed


def test_a_change_that_leaves_size_and_times_as_they_were_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    before = file.stat()
    counted, host, memory = Counted(content_of(str(file))), LocalHost(), Memory()
    audit(host, counted.collector, memory)
    with file.open("r+") as same:
        same.write("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    seen = audit(host, counted.collector, memory).snapshot.sections["a"]
    assert seen.rows == {str(file): {"content": "two"}}


def variants(host: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the recording with one thing changed, for each thing in it."""
    for path, content in host.get("files", {}).items():
        yield from _changed_file(host, path, content)
    for path in host.get("links", {}):
        yield _with(host, "links", path, "/somewhere/else")
        yield _without(host, "links", path)
    for path, status in host.get("status", {}).items():
        yield _with(host, "status", path, {**status, "mode": status.get("mode", 0o644) ^ 0o100})
        yield _with(host, "status", path, {**status, "uid": 4711})
    for command, printed in host.get("commands", {}).items():
        yield _with(host, "commands", command, printed + "more\n")
        yield _without(host, "commands", command)
    for kind in ("netlink", "ethtool", "xtables"):
        for request in host.get(kind, {}):
            yield _with(host, kind, request, "")
            yield _without(host, kind, request)
    for path in host.get("directories", []):
        yield {**host, "directories": [other for other in host["directories"] if other != path]}
        yield _with(host, "files", path + "/new", "new\n")


def _changed_file(host: dict[str, Any], path: str, content: Any) -> Iterator[dict[str, Any]]:
    yield _without(host, "files", path)
    yield _with(host, "files", path, {"error": "EACCES"})
    if isinstance(content, str):
        yield _with(host, "files", path, content[: len(content) // 2])
        yield _with(host, "files", path, content.replace("1", "2").replace("a", "b"))
        yield _with(host, "files", path + ".new", content)


def _with(host: dict[str, Any], kind: str, path: str, value: Any) -> dict[str, Any]:
    return {**host, kind: {**host.get(kind, {}), path: value}}


def _without(host: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    return {**host, kind: {name: value for name, value in host[kind].items() if name != path}}


def thinned(found: list[dict[str, Any]], most: int = 60) -> list[dict[str, Any]]:
    return found[:: max(1, len(found) // most)]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_change_of_a_recorded_machine_goes_unseen(recording: Path) -> None:
    recorded = json.loads(recording.read_text())["host"]
    collector = BY_NAME[recording.stem.partition("@")[0]]
    before = RecordedHost(recorded)
    memory = Memory()
    first = audit(before, collector, memory)
    memory = kept(memory, before)
    assert audit(before, collector, copy.deepcopy(memory)).digests == first.digests
    for changed in thinned(list(variants(recorded))):
        host = RecordedHost(changed)
        assert audit(host, collector, copy.deepcopy(memory)).digests == audit(host, collector, None).digests


def test_a_section_whose_sources_move_by_themselves_is_collected_without_asking_twice(tmp_path: Path) -> None:
    clock = tmp_path / "clock"

    def collect(host: Host) -> Section:
        return Section(OK, {"k": {"f": 1}}, {"k": {"time": host.read(str(clock))}})

    counted, host, memory = Counted(collect), LocalHost(), Memory()
    for reading in ("1", "2", "3"):
        clock.write_text(reading)
        memory = kept(memory, host)
        taken = audit(host, counted.collector, memory)
        assert taken.snapshot.sections["a"].volatile == {"k": {"time": reading}}
    assert counted.times == 3
    assert memory.remembered["a"].questions is None
    assert not memory.changed


def test_a_section_that_failed_is_not_remembered_and_forgotten_if_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    counted, host, memory = Counted(content_of(str(file))), LocalHost(), Memory()
    audit(host, counted.collector, memory)
    file.unlink()
    assert audit(host, counted.collector, memory).digests["a"].status == FAILED
    assert memory.remembered == {}
    file.write_text("x")
    assert audit(host, counted.collector, memory).digests["a"].status == OK
    assert counted.times == 3


def test_a_source_that_no_longer_answers_is_waited_for_once(tmp_path: Path) -> None:
    class Hanging(LocalHost):
        def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
            time.sleep(3600)
            return b""

    file = tmp_path / "file"
    file.write_text("x")
    counted, memory = Counted(content_of(str(file))), Memory()
    counted.collector = counted.collector._replace(deadline=0.2)
    audit(LocalHost(), counted.collector, memory)
    found = audit(Hanging(), counted.collector, memory)
    assert found.snapshot.sections["a"] == failed("deadline: not read within 0.2 s")
    assert counted.times == 1
    assert audit(LocalHost(), counted.collector, memory).digests["a"].status == OK


def test_an_error_is_an_answer_and_another_error_another_one() -> None:
    def collect(host: Host) -> Section:
        return Section(OK, {"k": {"content": host.read_or_none("/a")}}, {})

    counted, memory = Counted(collect), Memory()
    refused = RecordedHost({"files": {"/a": {"error": "EACCES"}}})
    audit(refused, counted.collector, memory)
    audit(refused, counted.collector, memory)
    assert counted.times == 1
    audit(RecordedHost({"files": {"/a": {"error": "EIO"}}}), counted.collector, memory)
    assert counted.times == 2


def test_answers_do_not_run_into_each_other() -> None:
    hosts = [{"/a": "xy", "/b": ""}, {"/a": "x", "/b": "y"}, {"/a": "", "/b": "xy"}]
    digests = set()
    for files in hosts:
        witness = Witness(RecordedHost({"files": files}))
        witness.read("/a")
        witness.read("/b")
        digests.add(witness.answers())
    assert len(digests) == len(hosts)


def test_every_question_to_a_host_is_taken_down() -> None:
    doors = {name for name, value in vars(LocalHost).items() if callable(value) and not name.startswith("_")}
    assert doors <= set(QUESTIONS)
    for name in QUESTIONS:
        assert getattr(Witness, name) is not getattr(Host, name)


@pytest.mark.parametrize("damage", ["nothing", "cut", "flipped", "code", "python", "watched", "empty", "not there"])
def test_a_memory_that_is_not_of_this_agent_and_whole_is_none(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host, memory = LocalHost(), Memory()
    audit(host, Counted(content_of("/etc/passwd")).collector, memory)
    content: bytes | None = dump(memory, host)
    assert content is not None
    if damage == "cut":
        content = content[:-1]
    elif damage == "flipped":
        content = content.replace(b"passwd", b"shadow")
    elif damage == "code":
        monkeypatch.setattr(remembering, "_code", lambda: ("another",))
    elif damage == "python":
        monkeypatch.setattr(remembering.sys, "version", "4.0")
    elif damage == "watched":
        host = LocalHost(("/etc", "/opt"))
    elif damage in ("empty", "not there"):
        content = b"" if damage == "empty" else None
    assert bool(load(content, host).remembered) is (damage == "nothing")


def test_rows_that_somebody_wants_all_the_same_come_from_the_cache_or_are_collected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    rows = {str(tmp_path / "file"): {"content": "x"}}
    counted, host, memory = Counted(content_of(str(tmp_path / "file"))), LocalHost(), Memory()
    audit(host, counted.collector, memory)
    for cache, times in (({"a": rows}, 1), ({"a": {}}, 2), ({}, 3)):
        taken = audit(host, counted.collector, memory)
        assert taken.body({}, lambda cache=cache: cache, "")["contents"] == {"a": {"rows": rows}}
        assert counted.times == times
    taken = audit(host, counted.collector, memory)
    assert taken.body({"a": rows_digest(rows)}, dict, "")["contents"] == {}
    assert taken.cache(lambda: {"a": rows, "b": {}}) == {"a": rows}
    assert counted.times == 3
