"""Gathering: whatever becomes of one collector, the other sections stand."""

import os
import re
import threading
import time
from typing import Any

import pytest

from verdelta_agent import gather as gathering
from verdelta_agent.collectors import Entry
from verdelta_agent.gather import REASON, gather, read
from verdelta_agent.host import Host, LocalHost
from verdelta_agent.model import ABSENT, FAILED, OK, Collector, Section, canonical, digest_sections
from verdelta_agent.recorded_host import RecordedHost

HOST = RecordedHost({})
FINE = Section(OK, {"k": {"f": "x"}}, {"k": {"used": 1}})


def collector(name: str, collect: Any, deadline: float = 5) -> Collector:
    return Collector(name, "key", collect, deadline)


def between(collect: Any, deadline: float = 5, host: Host = HOST) -> Section:
    """Return what became of a collector that runs between two others, which have to stand."""
    collectors = [
        collector("a", lambda host: FINE),
        collector("b", collect, deadline),
        collector("c", lambda host: FINE),
    ]
    sections = gather(host, collectors, "me").sections
    assert list(sections) == ["a", "b", "c"]
    assert sections["a"] == sections["c"] == FINE
    assert digest_sections(sections)  # whatever it was, it can be hashed
    return sections["b"]


def raising(error: BaseException) -> Section:
    def collect(host: Host) -> Section:
        raise error

    return between(collect)


def test_a_snapshot_says_of_whom_when_and_by_which_agent() -> None:
    snapshot = gather(HOST, [collector("a", lambda host: FINE)], "me")
    assert (snapshot.host_id, snapshot.sections) == ("me", {"a": FINE})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", snapshot.taken_at)
    assert re.fullmatch(r"\d+\.\d+\.\d+", snapshot.agent)


def test_the_time_is_utc_wherever_the_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        taken_at = gather(HOST, []).taken_at
        assert abs(time.time() - time.mktime(time.strptime(taken_at, "%Y-%m-%dT%H:%M:%SZ")) - 19800) < 60
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_collector_that_loops_is_ended_at_its_deadline() -> None:
    def loop(host: Host) -> Section:
        while True:
            pass

    began = time.monotonic()
    assert between(loop, 0.2) == Section(FAILED, {}, {}, "deadline: not read within 0.2 s")
    assert time.monotonic() - began < 10


def test_a_collector_that_sleeps_in_a_read_is_ended_at_its_deadline(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def sleep(host: Host) -> Section:
        with open(tmp_path / "fifo", "rb") as fifo:  # waits for a writer, as a file of a hanging mount would
            fifo.read()
        return FINE

    assert between(sleep, 0.2, LocalHost()).error == "deadline: not read within 0.2 s"


def test_a_collector_that_runs_a_hanging_command_is_ended_at_its_deadline() -> None:
    began = time.monotonic()
    section = between(lambda host: host.run(["sleep", "60"], timeout=5), 0.3, LocalHost())
    assert section.error == "deadline: not read within 0.3 s"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "No entry", "/etc/shadow"), "permission: [Errno 13] No entry: '/etc/shadow'"),
        (FileNotFoundError(2, "No such file", "/x"), "unreadable: [Errno 2] No such file: '/x'"),
        (OSError("just so"), "unreadable: just so"),
        (ValueError("not a line: 'x'"), "parse: ValueError: not a line: 'x'"),
        (KeyError("Package"), "parse: KeyError: 'Package'"),
        (RecursionError("too deep"), "parse: RecursionError: too deep"),
        (MemoryError(), "parse: MemoryError: "),
        (AssertionError(), "parse: AssertionError: "),
        (SystemExit(0), "parse: SystemExit: 0"),
        (UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"), "parse: UnicodeDecodeError: 'ascii' codec can't decode"),
    ],
)  # fmt: skip
def test_whatever_a_collector_raises_is_the_reason_of_its_own_failure(error: Exception, reason: str) -> None:
    section = raising(error)
    assert (section.status, section.rows, section.volatile) == (FAILED, {}, {})
    assert section.error is not None
    assert section.error.startswith(reason)


def test_endless_recursion_and_endless_memory_stay_in_their_section() -> None:
    def recurse(host: Host) -> Section:
        return recurse(host)

    assert between(recurse).error.startswith("parse: RecursionError: ")
    assert between(lambda host: Section(OK, {"k": {"f": "x" * (1 << 62)}}, {})).error.startswith("parse: ")


def test_who_stops_the_agent_stops_it_in_the_middle_of_a_collector() -> None:
    with pytest.raises(KeyboardInterrupt):
        raising(KeyboardInterrupt())


def test_a_reason_is_short_and_every_reader_takes_it() -> None:
    section = raising(ValueError("\udcff" + "x" * 5000))
    assert section.error is not None
    assert len(section.error) <= REASON + 100
    assert "\\udcff" in section.error
    partial = between(lambda host: FINE._replace(error="\udcff" + "x" * 5000))
    assert (partial.status, len(partial.error)) == (OK, REASON)
    assert canonical(partial.error)


def test_more_rows_than_anybody_takes_in_are_an_error_of_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ROWS", 3)
    rows = {str(number): {"n": number} for number in range(4)}
    assert between(lambda host: Section(OK, rows, {})).error == "parse: ValueError: 4 rows, at most 3"
    assert between(lambda host: Section(OK, {}, rows)).error == "parse: ValueError: 4 rows, at most 3"
    del rows["0"]
    assert between(lambda host: Section(OK, rows, rows)).status == OK


@pytest.mark.parametrize(
    "returned",
    [
        None,
        {},
        "rows",
        ("ok", {}, {}, None),
        Section("great", {}, {}),
        Section(OK, None, {}),
        Section(OK, [], []),
        Section(OK, {"k": {"f": 0.5}}, {}),
        Section(OK, {"k": {"f": "\udcff"}}, {}),
        Section(OK, {}, {"k": {"f": float("nan")}}),
        Section(OK, {"k": {"f": {"deep": 1}}}, {}),
        Section(OK, {}, {}, ["why"]),
    ],
    ids=repr,
)
def test_what_cannot_be_hashed_and_sent_fails_its_section_alone(returned: Any) -> None:
    section = between(lambda host: returned)
    assert (section.status, section.rows, section.volatile) == (FAILED, {}, {})
    assert section.error is not None
    assert section.error.startswith("parse: ")


def test_deadlines_hold_in_a_thread_too() -> None:
    seen: list[Section] = []
    worker = threading.Thread(target=lambda: seen.append(between(lambda host: time.sleep(3600), 0.15)))
    worker.start()
    worker.join()
    assert seen[0].error == "deadline: not read within 0.15 s"


def test_what_a_host_does_not_have_is_absent_without_its_collector_being_imported() -> None:
    section = read(HOST, Entry("no.such_file", ("/var/lib/dpkg/status", "/var/lib/rpm")))
    assert section == Section(ABSENT, {}, {}, "there is no /var/lib/dpkg/status or /var/lib/rpm")


def test_without_sysfs_and_proc_it_is_not_known_what_is_absent() -> None:
    unmounted = read(RecordedHost({"directories": ["/sys", "/proc"]}), Entry("hardware.pci", ("/sys/bus/pci",)))
    assert unmounted.status == FAILED
    mounted = read(
        RecordedHost({"directories": ["/sys/devices", "/sys/bus"]}), Entry("hardware.pci", ("/sys/bus/pci",))
    )
    assert mounted.status == ABSENT


def test_a_path_that_may_not_be_looked_at_is_no_absence() -> None:
    class Closed(RecordedHost):
        def lstat(self, path: str) -> Any:
            raise PermissionError(13, "Permission denied", path)

    section = read(Closed({}), Entry("software.dpkg", ("/var/lib/dpkg/status",)))
    assert section.status == FAILED
    assert section.error is not None
    assert section.error.startswith("permission: ")


def test_a_system_that_is_not_running_has_no_running_system() -> None:
    host = RecordedHost({"files": {"/proc/modules": "loop 1 0 - Live 0x0\n"}})
    host.running = False
    assert read(host, Entry("system.modules", live=True)).status == ABSENT
