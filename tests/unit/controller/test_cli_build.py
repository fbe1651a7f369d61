"""verdelta release build: from a folder and what is elsewhere to a package, and nothing half-sent on the way."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import CommandLine, InProcess
from tests.support.web import a_client, a_controller, a_token

from verdelta_controller.cli import builder_tests, fetching, folder, package
from verdelta_controller.foundation.errors import InvalidInput, TooLarge, Unavailable
from verdelta_controller.releases.manifest import BuilderTest

HEAD = """\
release: {name}
version: "1.0"
type: minor
service: lab
install: {{playbook: install_packages.yml}}
changes: [{{section: software.dpkg, key: "labapp:*", after: any}}]
components:
"""
ONE = "  - {kind: in-house-application, name: app, version: '1', files: [app]}\n"


class Source(ThreadingHTTPServer):
    """A web server whose files a test sets; it can break off, and change what it has."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.break_off_after: int | None = None
        self.elsewhere: dict[str, str] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        name, wanted = self.path.removeprefix("/"), self.headers.get("Range", "")
        self.server.asked.append((name, wanted))
        if name in self.server.elsewhere:
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere[name])
            self.end_headers()
            return
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        etag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        start = int(wanted[6:-1]) if wanted and self.headers.get("If-Range") == etag else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) if self.server.break_off_after is None else start + self.server.break_off_after
        self.server.break_off_after = None
        self.wfile.write(content[start:end])

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def source() -> Iterator[Source]:
    with Source() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "verdelta"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    (tmp_path / "release" / "app" / "deep").mkdir(parents=True)
    (tmp_path / "release" / "app" / "main.py").write_text("main")
    (tmp_path / "release" / "app" / "deep" / "other.py").write_text("other")
    return tmp_path / "release"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with a_controller(tmp_path_factory.mktemp("controller")) as services:
        yield services, a_client(services), a_token(services)


@pytest.fixture
def verdelta(controller: Any, tmp_path: Path) -> CommandLine:
    _, client, token = controller
    return CommandLine(tmp_path, InProcess(client), token)


def write(release: Path, components: str, name: str = "lab", more: str = "") -> Path:
    (release / "release.yaml").write_text(HEAD.format(name=name) + components + more)
    return release


def fetched(url: str, more: str = "") -> str:
    return f"  - {{kind: external-software, name: lib, version: '1', source: '{url}'{more}}}\n"


# --- the folder


def test_a_component_of_a_folder_has_every_file_below_it(release: Path) -> None:
    found = package.read(write(release, ONE))
    assert [file.name for file in found.files] == ["app/deep/other.py", "app/main.py"]
    assert found.lock.components[0].size == len("main") + len("other")


@pytest.mark.parametrize("name", [".hidden", "line\nbreak", "bad\udcff", "x" * 250 + "/" + "y" * 250])
def test_what_cannot_be_part_of_a_package_is_named_and_never_left_out_in_silence(release: Path, name: str) -> None:
    path = release / "app" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    with pytest.raises(InvalidInput, match=r"release.yaml:8: .*cannot be part of a package"):
        package.read(write(release, ONE))


def test_links_pipes_and_empty_patterns_are_errors_with_their_line(release: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (release / "app" / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInput, match="leads out of the release folder"):
        package.read(write(release, ONE))
    (release / "app" / "out").unlink()
    (release / "app" / "folder").symlink_to("deep")
    with pytest.raises(InvalidInput, match="not a regular file"):
        package.read(write(release, ONE))
    (release / "app" / "folder").unlink()
    os.mkfifo(release / "app" / "pipe")
    with pytest.raises(InvalidInput, match="not a regular file"):
        package.read(write(release, ONE))
    with pytest.raises(InvalidInput, match=r"release.yaml:8: app/\*\.so: names no file"):
        package.read(write(release, ONE.replace("[app]", '["app/*.so"]')))
    with pytest.raises(InvalidInput, match="leads out of the release folder"):
        (release / "up").symlink_to(tmp_path)
        package.read(write(release, ONE.replace("[app]", "[up]")))


# --- what comes from elsewhere


def test_what_is_not_in_the_folder_is_fetched_once_and_pinned(release: Path, source: Source) -> None:
    source.files["lib.tar"] = b"content" * 1000
    write(release, fetched(source.url("lib.tar")))
    first = package.read(release)
    assert first.keep_lock() and not first.keep_lock()
    assert [file.name for file in first.files] == ["fetched/lib.tar"]
    again = package.read(release)
    assert again.order() == first.order()
    assert len(source.asked) == 1  # it was in the cache


def test_a_digest_that_changed_upstream_is_shown_with_both_and_the_way_to_accept_it(
    release: Path, source: Source, cache: Path
) -> None:
    source.files["lib.tar"] = b"one"
    package.read(write(release, fetched(source.url("lib.tar")))).keep_lock()
    source.files["lib.tar"] = b"two"
    for kept in (cache / "sha256").iterdir():
        kept.unlink()
    with pytest.raises(InvalidInput) as caught:
        package.read(release)
    assert hashlib.sha256(b"one").hexdigest() in caught.value.message
    assert hashlib.sha256(b"two").hexdigest() in caught.value.message
    assert "verdelta release build --update-lock" in (caught.value.mend or "")
    assert package.read(release, update_lock=True).files[0].sha256 == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_changed_under_the_same_version_is_refused_until_that_is_intended(release: Path) -> None:
    package.read(write(release, ONE)).keep_lock()
    (release / "app" / "main.py").write_text("changed")
    with pytest.raises(InvalidInput, match=r"release.yaml:8: app@1: app/main.py is not what release.lock has pinned"):
        package.read(release)
    package.read(write(release, ONE.replace("'1'", "'2'")))  # a new version is pinned anew
    package.read(write(release, ONE), update_lock=True)


def test_what_vanished_from_its_source_is_one_line(release: Path, source: Source, tmp_path: Path) -> None:
    for url in (source.url("gone.tar"), f"file://{tmp_path}/gone.tar"):
        with pytest.raises(InvalidInput, match=r"release.yaml:8: fetched/gone.tar has vanished from its source"):
            package.read(write(release, fetched(url)))


def test_the_manifests_own_digest_is_held_against_what_comes(release: Path, source: Source) -> None:
    source.files["lib.tar"] = b"other"
    with pytest.raises(InvalidInput, match="does not match the manifest"):
        package.read(write(release, fetched(source.url("lib.tar"), f", sha256: {'ab' * 32}")))


def test_a_transfer_that_breaks_off_goes_on_where_it_ended(source: Source) -> None:
    source.files["big"] = os.urandom(3_000_000)
    source.break_off_after = 1_000_000
    file = fetching.fetch(source.url("big"), "big", None)
    assert file.path.read_bytes() == source.files["big"]
    assert source.asked == [("big", ""), ("big", "bytes=1000000-")]


def test_a_source_that_changes_between_two_tries_is_fetched_from_the_beginning(source: Source, cache: Path) -> None:
    source.files["big"] = b"a" * 2_000_000
    partial = cache / "partial" / hashlib.sha256(source.url("big").encode()).hexdigest()
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"b" * 1_000_000)
    partial.with_suffix(".validator").write_text('"old"')
    assert fetching.fetch(source.url("big"), "big", None).path.read_bytes() == source.files["big"]


def test_damaged_content_of_the_cache_is_fetched_again(source: Source, cache: Path) -> None:
    source.files["lib"] = b"good"
    digest = hashlib.sha256(b"good").hexdigest()
    (cache / "sha256").mkdir(parents=True)
    (cache / "sha256" / digest).write_bytes(b"bad")
    assert fetching.fetch(source.url("lib"), "lib", digest).path.read_bytes() == b"good"


def test_more_than_the_limit_is_not_taken(source: Source, tmp_path: Path) -> None:
    source.files["big"] = b"x" * 1000
    (tmp_path / "big").write_bytes(b"x" * 1000)
    for url in (source.url("big"), f"file://{tmp_path}/big"):
        with pytest.raises(TooLarge):
            fetching.fetch(url, "big", None, limit=999)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/x", "anybody on the way could exchange it"),
        ("https://me:secret@example.org/x", "a name or a password"),
        ("file://other/x", "not a file of this machine"),
        ("https:///x", "without a host"),
        ("file:///dev/zero", "not a regular file"),
    ],
)
def test_a_source_that_is_not_safe_is_not_asked(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        fetching.fetch(url, "x", None)
    assert "secret" not in str(caught.value)


def test_a_source_that_leads_in_circles_or_to_a_file_of_this_machine_is_refused(source: Source) -> None:
    source.elsewhere = {"round": source.url("round"), "local": "file:///etc/passwd"}
    with pytest.raises(InvalidInput, match="more than 5 times"):
        fetching.fetch(source.url("round"), "x", None)
    with pytest.raises(InvalidInput, match="not safe to fetch from"):
        fetching.fetch(source.url("local"), "x", None)


def test_a_source_that_cannot_be_reached_is_not_success() -> None:
    with pytest.raises(Unavailable):
        fetching.fetch("http://127.0.0.1:1/x", "x", None)


# --- the builder's own tests


def ran(tmp_path: Path, program: str, timeout: int = 20) -> Any:
    return builder_tests.run(BuilderTest(name="t", run=[sys.executable, "-c", program], timeout=timeout), tmp_path)


def test_a_test_passes_by_its_exit_code_alone_and_says_its_last_words_when_it_fails(tmp_path: Path) -> None:
    assert ran(tmp_path, "print('FAILED')").outcome == "passed"
    failed = ran(tmp_path, "print('x' * 10**7); print('the end'); raise SystemExit(3)")
    assert failed.outcome == "failed"
    assert failed.message.startswith("exit code 3\n") and failed.message.endswith("the end")
    assert len(failed.message) <= 2000


def test_a_test_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    result = ran(tmp_path, "import subprocess, time; subprocess.Popen(['sleep', '99']); time.sleep(99)", timeout=1)
    assert (result.outcome, result.message) == ("failed", "not ended after 1 s")


def test_a_test_that_cannot_be_started_has_failed(tmp_path: Path) -> None:
    result = builder_tests.run(BuilderTest(name="t", run=["/no/such/program"]), tmp_path)
    assert result.outcome == "failed" and "cannot be run" in result.message


def test_a_test_sees_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERDELTA_TOKEN", "vdt_secret")
    program = "import os; raise SystemExit(any('vdt_secret' in value for value in os.environ.values()))"
    assert ran(tmp_path, program).outcome == "passed"


# --- the command


TESTS = "tests:\n  - {{name: unit, run: [{python}, -c, 'raise SystemExit({code})']}}\n"


def test_a_package_is_built_shown_and_compared(verdelta: CommandLine, release: Path) -> None:
    write(release, ONE, "one", TESTS.format(python=sys.executable, code=0))
    first = verdelta("release", "build", release)
    assert first.exit_code == 0, first.stderr
    assert "✔ test unit  passed" in first.stdout and "builder's tests: 1 passed" in first.stdout
    made = verdelta.json("release", "build", release)
    assert set(made["files"]) == {"app/main.py", "app/deep/other.py", "release.lock"}
    assert verdelta.json("release", "sbom", "one", "1.0") == verdelta.json("release", "sbom", "one", "1.0")
    assert verdelta.json("release", "lock", "one", "1.0") == json.loads((release / "release.lock").read_text())
    assert "app 1  " in verdelta("release", "lock", "one", "1.0").stdout

    text = (release / "release.yaml").read_text().replace('version: "1.0"', 'version: "1.1"').replace("'1'", "'2'")
    (release / "release.yaml").write_text(text)
    (release / "app" / "main.py").write_text("newer")
    assert verdelta("release", "build", release).exit_code == 0
    picture = verdelta("release", "diff", "one@1.0", "one@1.1")
    assert picture.exit_code == 3
    assert "~ app  in-house-application  1 → 2" in picture.stdout
    assert "~     app/main.py  " in picture.stdout and "4 B → " in picture.stdout
    assert verdelta("release", "diff", "one@1.0", "one@1.0").exit_code == 0
    assert verdelta("release", "diff", "one", "one@1.0").exit_code == 2


def test_failed_tests_stop_the_build_unless_that_is_said_and_left_out_ones_are_visible(
    verdelta: CommandLine, release: Path
) -> None:
    write(release, ONE, "two", TESTS.format(python=sys.executable, code=1))
    refused = verdelta("release", "build", release)
    assert refused.exit_code == 1 and "nothing was sent" in refused.stderr
    assert not (release / "release.lock").exists()
    assert verdelta("release", "show", "two", "1.0").exit_code == 2
    assert "those of the manifest left out" in verdelta("release", "build", release, "--without-tests").stdout
    assert "! builder's tests: 1 failed" in verdelta("release", "build", release, "--despite-failed-tests").stdout


def test_a_junit_report_is_taken_in_and_a_failure_in_it_counts(verdelta: CommandLine, release: Path) -> None:
    write(release, ONE, "three")
    report = release.parent / "report.xml"
    report.write_text("<testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>")
    assert verdelta("release", "build", release, "--junit", report).exit_code == 1
    report.write_text("<testsuite><testcase name='a'/></testsuite>")
    assert "builder's tests: 1 passed" in verdelta("release", "build", release, "--junit", report).stdout
    report.write_text("no")
    assert verdelta("release", "build", release, "--junit", report).exit_code == 2


def test_a_dry_run_writes_nothing_and_runs_nothing(verdelta: CommandLine, release: Path) -> None:
    write(release, ONE, "four", TESTS.format(python=sys.executable, code=1))
    assert verdelta("release", "build", release, "--dry-run").exit_code == 0
    assert not (release / "release.lock").exists()


def test_a_package_without_a_lock_of_its_own_still_has_one_and_a_false_one_is_refused(
    controller: Any, verdelta: CommandLine, release: Path
) -> None:
    _, client, token = controller
    write(release, ONE, "five")
    assert verdelta("release", "build", release, "--dry-run").exit_code == 0
    order = package.read(release).order()
    verdelta("release", "build", write(release, ONE, "six"))  # brings the files in
    headers = {"Authorization": f"Bearer {token}"}
    other_lock = hashlib.sha256((release / "release.lock").read_bytes()).hexdigest()
    files = dict(order["files"]) | {"release.lock": other_lock}
    false = client.post("/api/v1/releases", json={**order, "files": files}, headers=headers)
    assert false.status_code == 422 and "not the lock of this manifest" in false.json()["error"]
    without = {path: digest for path, digest in dict(order["files"]).items() if path != "release.lock"}
    assert client.post("/api/v1/releases", json={**order, "files": without}, headers=headers).status_code == 201
    assert verdelta.json("release", "lock", "five", "1.0") == package.read(write(release, ONE, "five")).lock.document()


def test_files_of_one_content_are_brought_in_once(release: Path) -> None:
    (release / "app" / "copy.py").write_text("main")
    digests = [folder.hashed("x", path).sha256 for path in sorted((release / "app").glob("*.py"))]
    assert digests[0] == digests[1]
