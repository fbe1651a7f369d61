"""Many small files at once: all of them or none, in the records as if each had come by itself, on either database."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.concurrently import at_once
from tests.support.web import CI, a_client, a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.foundation.errors import InvalidInput
from verdelta_controller.library import bundles
from verdelta_controller.library.bundles import Bundled, pack, unpack
from verdelta_controller.wiring import Services


def file(content: bytes, name: str = "a.txt") -> tuple[Bundled, bytes]:
    return Bundled(file_name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content)), content


@pytest.fixture
def services(tmp_path: Path, database_url: str) -> Iterator[Services]:
    with a_controller(tmp_path, database_url) as services:
        yield services


def recorded(services: Services) -> list[str]:
    with services.database.reading() as session:
        found = services.evidence.entries(session, kind="artifact-brought-in")
    return [entry.subject for entry in found]


def test_many_files_are_in_the_library_as_if_each_had_come_by_itself(services: Services) -> None:
    files = [file(b"%d" % number, f"folder/{number}.txt") for number in range(700)]
    new = services.bundles.bring_in(pack(files), "ci")
    assert sorted(new) == sorted(said.sha256 for said, _ in files)
    for said, content in files[:20]:
        assert services.library.path(said.sha256).read_bytes() == content
        assert services.library.artifact(said.sha256).file_name == said.file_name.rpartition("/")[2]
    assert services.bundles.missing([said.sha256 for said, _ in files] + ["f" * 64]) == ["f" * 64]
    assert services.bundles.bring_in(pack(files), "ci") == []
    assert len(recorded(services)) == 100  # entries are shown a hundred at a time
    assert not list((services.settings.state / "library" / "incoming").iterdir())


def test_one_false_file_keeps_all_of_them_out(services: Services) -> None:
    good, other = file(b"good"), file(b"other")
    with pytest.raises(InvalidInput, match="checksum"):
        services.bundles.bring_in(pack([good, (other[0], b"OTHER")]), "ci")
    assert services.bundles.missing([good[0].sha256]) == [good[0].sha256]
    assert not recorded(services)
    assert services.library.artifacts() == []


def test_two_who_bring_the_same_in_at_the_same_moment_both_succeed_and_it_is_recorded_once(services: Services) -> None:
    bundle = pack([file(b"%d" % number) for number in range(50)])
    done = at_once([lambda: services.bundles.bring_in(bundle, "ci")] * 4)
    assert sorted(map(len, done)) == [0, 0, 0, 50]
    assert len(recorded(services)) == 50


@pytest.mark.parametrize("name", ["\u00a0", "\u202e", "a\u00a0b", "/", "../..", "." * 200])
def test_whatever_a_file_is_called_it_can_be_recorded(services: Services, name: str) -> None:
    said, content = file(b"content", name)
    assert services.bundles.bring_in(pack([(said, content)]), "ci") == [said.sha256]


HEADER = pack([file(b"x")])
HOSTILE = [
    b"",
    b"\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x02[]x",
    b"\x00\x00\x00\x02{}",
    b"\x00\x00\xff\xff" + b"[" * 65_535,
    HEADER + b"x",
    HEADER[:-1],
    HEADER.replace(b'"size": 1', b'"size": -1'),
    HEADER.replace(b'"size": 1', b'"size": 1e9'),
    HEADER.replace(b"sha256", b"sha257"),
]


@pytest.mark.parametrize("bundle", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_bundle_is_refused_in_one_line(bundle: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        unpack(bundle)
    assert "\n" not in caught.value.message


def test_a_bundle_over_http_is_capped_by_itself_and_for_who_may_record(services: Services) -> None:
    client = a_client(services)
    builder = {"Authorization": f"Bearer {a_token(services)}"}
    said, content = file(b"over http")
    answer = client.post("/api/v1/artifacts/bundles", content=pack([(said, content)]), headers=builder)
    assert (answer.status_code, answer.json()) == (201, [said.sha256])
    whole = pack(
        [file(bytes([number]) * (1 << 20), f"{number}.bin") for number in range(12)]
    )  # more than other requests
    assert client.post("/api/v1/artifacts/bundles", content=whole, headers=builder).status_code == 201
    large = client.post("/api/v1/artifacts/bundles", content=b"x" * (bundles.LIMIT + 1), headers=builder)
    assert large.status_code == 413
    auditor = {"Authorization": f"Bearer {a_token(services, Role.AUDITOR)}"}
    assert client.post("/api/v1/artifacts/bundles", content=b"", headers=auditor).status_code == 403
    asked = client.post("/api/v1/artifacts/missing", json={"digests": [said.sha256, "0" * 64]}, headers=auditor)
    assert asked.json() == ["0" * 64]


def test_a_package_of_ten_thousand_files_with_long_names_is_taken_in(services: Services) -> None:
    files = [file(b"%d" % number) for number in range(100)]
    services.bundles.bring_in(pack(files), "ci")
    manifest = (
        'release: big\nversion: "1"\ntype: minor\nservice: lab\ninstall: {playbook: install_packages.yml}\n'
        "changes: [{section: software.dpkg, key: x, after: any}]\n"
        "components: [{kind: in-house-application, name: big, version: '1', files: [tree]}]\n"
    )
    paths = {f"tree/{'long-name/' * 10}{number}": files[number % 100][0].sha256 for number in range(10_000)}
    release, is_new = services.releases.build(manifest, paths, "release.yaml", CI)
    assert is_new and len(services.releases.package(release.digest).files) == 10_000
