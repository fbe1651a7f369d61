"""`verdelta library …` against the real application: what it prints, what it changes, and how it ends."""

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.command_line import URL, CommandLine, InProcess
from tests.support.web import TestClient, a_controller, a_token

from verdelta_controller.app import create_app
from verdelta_controller.cli import library_pictures
from verdelta_controller.wiring import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path / "controller") as services:
        yield services
        services.library_tasks.close()


@pytest.fixture
def verdelta(services: Services, tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, InProcess(TestClient(create_app(services), base_url=URL)), a_token(services))


@pytest.fixture(autouse=True)
def controller_folder(tmp_path: Path) -> None:
    (tmp_path / "controller").mkdir()


def a_file(folder: Path, name: str = "labapp.img", data: bytes = b"x" * 1500) -> tuple[Path, str]:
    path = folder / name
    path.write_bytes(data)
    return path, sha256(data).hexdigest()


def content_of(services: Services, digest: str) -> Path:
    return services.settings.state / "library/sha256" / digest[:2] / digest


def test_a_file_is_brought_in_shown_with_its_origin_and_fetched_again(verdelta: CommandLine, tmp_path: Path):
    path, digest = a_file(tmp_path)

    added = verdelta("library", "add", path, "--source", "https://example.org/labapp.img", "--supplier", "ACME")
    assert added.exit_code == 0, added.stderr
    assert f"labapp.img  1.5 KiB  sha256 {digest[:12]}  brought in" in added.stdout
    assert "in the library" in verdelta("library", "add", path).stdout
    shown = " ".join(verdelta("library", "show", digest[:8]).stdout.split())
    assert "administrator from https://example.org/labapp.img, supplied by ACME" in shown
    assert "no release" in shown
    assert digest[:12] in verdelta("library", "list", "labapp").stdout
    assert "empty" in verdelta("library", "list", "nothing-like-it").stdout

    fetched = verdelta("library", "fetch", "labapp.img", "--file", tmp_path / "back")
    assert f"sha256 {digest} verified" in fetched.stderr
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_file_whose_checksum_is_not_what_the_supplier_says_is_not_sent(verdelta: CommandLine, tmp_path: Path):
    path, _ = a_file(tmp_path)
    refused = verdelta("library", "add", path, "--sha256", "0" * 64)
    assert refused.exit_code == 2 and "Nothing was sent" in refused.stderr
    assert json.loads(verdelta("library", "list", "-o", "json").stdout) == []


def test_a_name_that_could_be_several_is_asked_about(verdelta: CommandLine, tmp_path: Path):
    for data in (b"one", b"two"):
        verdelta("library", "add", a_file(tmp_path, data=data)[0])
    refused = verdelta("library", "show", "labapp.img")
    assert refused.exit_code == 2 and "could be" in refused.stderr
    missing = verdelta("library", "fetch", "nothing")
    assert missing.exit_code == 2 and "no artifact 'nothing'" in missing.stderr


def test_verify_ends_with_3_when_something_is_wrong_and_add_again_mends_it(
    verdelta: CommandLine, services: Services, tmp_path: Path
):
    path, digest = a_file(tmp_path)
    verdelta("library", "add", path)
    good = verdelta("library", "verify")
    assert good.exit_code == 0 and "✔ 1 file intact" in good.stdout

    os.chmod(content_of(services, digest), 0o600)
    content_of(services, digest).write_bytes(b"damaged")
    bad = verdelta("library", "verify")
    assert bad.exit_code == 3
    assert "1 damaged: verdelta library restore, or add FILE --again" in bad.stdout and digest in bad.stdout

    assert verdelta("library", "add", path, "--again").exit_code == 0
    assert verdelta("library", "verify").exit_code == 0

    content_of(services, digest).unlink()
    assert verdelta("library", "verify").exit_code == 3
    assert "brought in" in verdelta("library", "add", path).stdout
    assert verdelta("library", "verify").exit_code == 0


def test_a_site_is_filled_checked_used_as_an_archive_and_given_back_from(
    verdelta: CommandLine, services: Services, tmp_path: Path
):
    path, digest = a_file(tmp_path)
    verdelta("library", "add", path)
    offsite = tmp_path / "offsite"
    offsite.mkdir()
    added = verdelta("library", "site", "add", "offsite", "--kind", "directory", "--location", offsite)
    assert added.exit_code == 0, added.stderr

    empty = verdelta("library", "site", "check", "offsite")
    assert empty.exit_code == 3 and "1 missing" in empty.stdout
    filled = verdelta("library", "replicate", "offsite")
    assert filled.exit_code == 0 and "1 file complete, 1.5 KiB; 1 copied now" in filled.stdout
    assert "offsite" in verdelta("library", "site", "list").stdout
    assert "copy at" in verdelta("library", "show", digest).stdout

    asked = verdelta("library", "archive", "offsite", digest)
    assert asked.exit_code == 2 and "--yes" in asked.stderr
    archived = verdelta("library", "archive", "offsite", digest, "--yes")
    assert archived.exit_code == 0 and "1.5 KiB freed here" in archived.stdout
    assert not content_of(services, digest).exists()
    assert "in the archive" in verdelta("library", "show", digest).stdout
    gone = verdelta("library", "fetch", digest, "--file", tmp_path / "back")
    assert gone.exit_code == 2 and "verdelta library restore" in gone.stderr
    restored = verdelta("library", "restore", digest)
    assert restored.exit_code == 0 and "is back from offsite, verified" in restored.stdout
    assert content_of(services, digest).exists()


def test_a_secret_of_a_site_is_read_from_a_file_and_never_shown(verdelta: CommandLine, tmp_path: Path):
    (tmp_path / "secret").write_text("hunter2\n")
    where = ("--location", "http://127.0.0.1:9", "--secret-file", tmp_path / "secret")
    refused = verdelta("library", "site", "add", "berlin", "--kind", "controller", *where)
    assert refused.exit_code == 1 and "hunter2" not in refused.stderr + refused.stdout
    assert verdelta("library", "site", "list").stdout.startswith("There is no site")


def test_a_version_is_retired_after_a_question_and_with_a_reason(verdelta: CommandLine, tmp_path: Path):
    missing = verdelta("library", "retire", "labapp", "1.0", "--reason", "old", "--yes")
    assert missing.exit_code == 2 and "no release labapp 1.0" in missing.stderr
    assert verdelta("library", "retire", "labapp", "1.0", "--yes").exit_code == 2
    assert "--yes" in verdelta("library", "retire", "labapp", "1.0", "--reason", "old").stderr


def test_nothing_that_a_site_or_a_supplier_says_acts_on_the_terminal():
    evil = "\x1b[2J\u202e"
    document = {
        "missing": {"count": 0, "first": []},
        "damaged": {"count": 0, "first": []},
        "extra": {"count": 1, "first": [evil]},
        "complete": 0,
        "bytes": 0,
        "copied": 0,
        "failed": {evil: evil},
    }
    from rich.console import Console

    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(library_pictures.site_report(evil, document))
    assert "\x1b" not in captured.get() and "\u202e" not in captured.get()
