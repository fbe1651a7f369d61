"""The recorder: what a host answered is what its recording answers."""

import json
from pathlib import Path

import pytest
from tests.support.record import RecordingHost, main, record, renew

from verdelta_agent.host import LocalHost
from verdelta_agent.recorded_host import RecordedHost


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "real/empty").mkdir(parents=True)
    (tmp_path / "real/text").write_text("grüße\n")
    (tmp_path / "real/bytes").write_bytes(b"\xff\x00")
    (tmp_path / "real/text").chmod(0o600)
    (tmp_path / "link").symlink_to("real/../real")
    (tmp_path / "far").symlink_to(tmp_path / "link")
    return tmp_path


def test_a_recording_gives_the_answers_of_the_host(tree: Path) -> None:
    recorder = RecordingHost(LocalHost())
    calls = [
        *(lambda host, name=name: host.read_bytes(f"{tree}/far/{name}") for name in ("text", "bytes", "none", "empty")),
        *(lambda host, name=name: host.lstat(f"{tree}/{name}") for name in ("real/text", "far", "none", "far/empty")),
        lambda host: host.listdir(f"{tree}/far"),
        lambda host: host.listdir(f"{tree}/far/empty"),
        lambda host: host.readlink(f"{tree}/link"),
        lambda host: host.resolve(f"{tree}/far/text"),
        lambda host: host.run(["echo", "said"]),
    ]
    seen = [_answer(call, recorder) for call in calls]
    replay = RecordedHost(json.loads(json.dumps(recorder.recording())))
    for call, answer in zip(calls, seen, strict=True):
        assert _answer(call, replay)[0] == answer[0]
        if answer[0] == "answered" and not hasattr(answer[1], "size"):
            assert _answer(call, replay) == answer
    assert replay.lstat(f"{tree}/real/text").mode == 0o600


def _answer(call, host):
    try:
        return "answered", call(host)
    except OSError as error:
        return "refused", type(error)


def test_a_file_that_was_listed_and_never_read_does_not_pass_for_an_empty_one(tree: Path) -> None:
    recorder = RecordingHost(LocalHost())
    recorder.listdir(f"{tree}/real")
    with pytest.raises(OSError, match="No data"):
        RecordedHost(recorder.recording()).read_bytes(f"{tree}/real/text")


def test_a_refused_file_is_recorded_as_refused() -> None:
    recorder = RecordingHost(RecordedHost({"files": {"/a": {"error": "EACCES"}}}))
    with pytest.raises(PermissionError):
        recorder.read("/a")
    assert recorder.recording() == {"files": {"/a": {"error": "EACCES"}}}


def test_what_a_process_reads_of_itself_is_recorded_without_its_number() -> None:
    recorder = RecordingHost(LocalHost())
    recorder.read("/proc/self/comm")
    assert list(recorder.recording()["files"]) == ["/proc/self/comm"]


def test_a_renewed_recording_expects_what_the_collector_says_now(tmp_path: Path) -> None:
    host = RecordedHost({"files": {"/var/lib/dpkg/status": ""}})
    path = tmp_path / "software.dpkg@empty.json"
    path.write_text(json.dumps({**record("software.dpkg", host, "a test"), "expect": {}}))
    renew(path)
    assert json.loads(path.read_text())["expect"] == {"status": "ok", "rows": {}, "volatile": {}}


def test_the_command_names_the_sections_when_it_is_given_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert main(["software.dpkg"]) == 0
    assert json.loads(capsys.readouterr().out)["expect"]["status"] in ("ok", "absent")
