"""Content on its way in and out: broken off, gone on with, lied about, and never taken for whole when it is not."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.concurrently import at_once
from tests.support.server import serving
from tests.support.web import a_controller, a_token

from verdelta_controller.access.rules import Role
from verdelta_controller.app import create_app
from verdelta_controller.cli.client import Api
from verdelta_controller.cli.profile import Access
from verdelta_controller.foundation.errors import InvalidInput, NotFound, TooLarge, Unavailable
from verdelta_controller.library import parts, transfer
from verdelta_controller.library.store import ChecksumMismatch
from verdelta_controller.wiring import Services

MIB = 1 << 20


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with a_controller(tmp_path) as services:
        yield services
        services.library_tasks.close()


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    with serving(create_app(services)) as server:
        yield server.url


@pytest.fixture
def api(services: Services, url: str) -> Iterator[Api]:
    with an_api(url, a_token(services)) as api:
        yield api


@contextmanager
def an_api(url: str, token: str) -> Iterator[Api]:
    api = Api(Access(url, token, ""))
    yield api
    api._client.close()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 2 MiB, so that a few of them are no burden."""
    monkeypatch.setattr(transfer, "SMALL", MIB)
    monkeypatch.setattr(transfer, "PART", 2 * MIB)


def content(data: bytes, name: str = "labapp.img", sha256: str = "") -> transfer.Content:
    @contextmanager
    def read_from(offset: int) -> Iterator[list[bytes]]:
        yield [data[at : at + MIB] for at in range(offset, len(data), MIB)]

    return transfer.Content(sha256 or digest_of(data), len(data), name, read_from, "https://example.org/x", "ACME")


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(api: Api, data: bytes, **other: object) -> dict[str, object]:
    order = {"file_name": "labapp.img", "size": len(data), "sha256": digest_of(data), **other}
    return dict(api.post("artifacts/uploads", order))


def part(api: Api, upload: object, offset: int, data: bytes) -> dict[str, object]:
    return dict(api.upload(f"artifacts/uploads/{upload}", [data], len(data), offset=offset))


def no_pause(seconds: float) -> None:
    """Wait for nothing."""


# -- in


def test_what_was_sent_in_parts_is_in_the_library_with_where_it_came_from(api: Api, services: Services):
    data = os.urandom(5 * MIB + 17)
    seen: list[int] = []

    transfer.send(api, content(data), seen.append)

    assert seen[-1] == len(data) and seen == sorted(seen)
    found = api.get(f"artifacts/{digest_of(data)}")
    assert found["is_here"] and found["size"] == len(data)
    (arrival,) = found["arrivals"]
    assert (arrival["source"], arrival["supplier"]) == ("https://example.org/x", "ACME")
    assert arrival["brought_by"] == "administrator"
    assert services.library.path(digest_of(data)).read_bytes() == data
    assert list((services.settings.state / "library/uploads").iterdir()) == []


def test_who_brought_the_same_content_from_elsewhere_is_kept_too_and_the_same_again_is_not(api: Api):
    data = os.urandom(3 * MIB)
    transfer.send(api, content(data))
    transfer.send(api, content(data))
    transfer.send(api, content(data)._replace(source="a CD"))

    assert [one["source"] for one in api.get(f"artifacts/{digest_of(data)}")["arrivals"]] == [
        "https://example.org/x",
        "a CD",
    ]


def test_an_upload_that_was_broken_off_goes_on_where_the_disk_says(api: Api, services: Services):
    data = os.urandom(4 * MIB)
    upload = begin(api, data)
    part(api, upload["id"], 0, data[:1000])
    sent: list[int] = []

    transfer.send(api, content(data), sent.append)

    assert sent[0] == 1000
    assert services.library.path(digest_of(data)).read_bytes() == data


def test_where_an_upload_stands_is_told_by_head(api: Api, services: Services, url: str):
    upload = begin(api, b"x" * 4000)
    part(api, upload["id"], 0, b"x" * 1500)

    headers = {"Authorization": f"Bearer {services.access.create_token('other', Role.ADMINISTRATOR, 1).secret}"}
    path = f"{url}/api/v1/artifacts/uploads/{upload['id']}"
    assert httpx.head(path, headers=headers).status_code == 404  # it is somebody else's
    own = {"Authorization": api._client.headers["Authorization"]}
    assert httpx.head(path, headers=own).headers["upload-offset"] == "1500"


@pytest.mark.parametrize("offset", [0, 999, 1001, 4000, 1 << 49])
def test_a_part_that_begins_elsewhere_is_refused_and_changes_nothing(api: Api, offset: int):
    data = os.urandom(4000)
    upload = begin(api, data)
    part(api, upload["id"], 0, data[:1000])

    with pytest.raises(InvalidInput, match="stands at 1000 bytes"):
        part(api, upload["id"], offset, b"x" * 10)

    assert part(api, upload["id"], 1000, data[1000:])["offset"] == 4000


def test_nothing_goes_beyond_what_was_announced_or_is_allowed(api: Api, services: Services):
    upload = begin(api, b"x" * 1000)
    with pytest.raises(TooLarge):
        part(api, upload["id"], 0, b"x" * 1001)
    assert api.get(f"artifacts/uploads/{upload['id']}")["offset"] == 0
    with pytest.raises(TooLarge):
        begin(api, b"x", size=services.settings.artifact_limit + 1)


def test_an_upload_is_not_complete_before_it_is(api: Api):
    upload = begin(api, b"x" * 1000)
    part(api, upload["id"], 0, b"x" * 999)
    with pytest.raises(InvalidInput, match="999 of 1000"):
        api.post(f"artifacts/uploads/{upload['id']}/completion")


def test_content_that_is_not_what_was_announced_is_in_quarantine_and_begins_anew(api: Api, services: Services):
    data, other = os.urandom(3 * MIB), os.urandom(3 * MIB)

    with pytest.raises(InvalidInput, match="checksum does not match"):
        transfer.send(api, content(other, sha256=digest_of(data)))

    assert (services.settings.state / "library/quarantine" / digest_of(other)).is_file()
    with pytest.raises(NotFound):
        api.get(f"artifacts/{digest_of(data)}")
    assert begin(api, data)["offset"] == 0
    transfer.send(api, content(data))
    assert services.library.path(digest_of(data)).read_bytes() == data


def test_what_was_killed_after_it_was_taken_in_and_before_that_was_recorded_is_recorded(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
):
    data = os.urandom(3 * MIB)

    def killed(*_: object) -> None:
        raise Unavailable("as if it had been killed")

    with monkeypatch.context() as patched:
        patched.setattr(services.library, "record", killed)
        with pytest.raises(Exception, match="as if"):
            transfer.send(api, content(data), pause=no_pause)
    assert begin(api, data)["offset"] == len(data)

    transfer.send(api, content(data))

    assert api.get(f"artifacts/{digest_of(data)}")["is_here"]


def test_damaged_content_is_mended_by_the_same_content(api: Api, services: Services):
    data = os.urandom(3 * MIB)
    transfer.send(api, content(data))
    path = services.library.path(digest_of(data))
    path.chmod(0o600)
    path.write_bytes(b"damaged")

    transfer.send(api, content(data))

    assert services.library.path(digest_of(data)).read_bytes() == data


def test_two_who_send_the_same_content_at_once_both_end_well(database_url: str, tmp_path: Path):
    data = os.urandom(9 * MIB)
    with a_controller(tmp_path, database_url) as services, serving(create_app(services)) as server:
        token, other = a_token(services), a_token(services, Role.RELEASE_MANAGER)
        with an_api(server.url, token) as one, an_api(server.url, token) as two, an_api(server.url, other) as three:
            sending = [lambda api=api: transfer.send(api, content(data), pause=no_pause) for api in (one, two, three)]
            results = at_once(sending)

        # Of one person's two, one may find that the other has finished: it says so, and the content is there.
        assert all(result is None or isinstance(result, NotFound) for result in results), results
        assert results[2] is None
        assert services.library.path(digest_of(data)).read_bytes() == data
        assert list((services.settings.state / "library/uploads").iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "a/../b"])
def test_folders_in_a_name_are_dropped(api: Api, name: str):
    assert begin(api, b"x" * 10, file_name=name)["file_name"] in {"passwd", "boot.ini", "b"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "/", "x\0y", "x\ny", "\x1b[2J"])
def test_what_is_no_name_is_refused(api: Api, name: str):
    with pytest.raises(InvalidInput):
        begin(api, b"x" * 10, file_name=name)


@pytest.mark.parametrize("digest", ["A" * 64, "a" * 63, "../" + "a" * 61, "g" * 64, "a" * 64 + "\n", ""])
def test_a_digest_is_64_small_hexadecimal_digits(api: Api, digest: str):
    with pytest.raises(InvalidInput):
        begin(api, b"x" * 10, sha256=digest)


def test_a_source_with_a_password_is_refused_and_not_repeated(api: Api):
    with pytest.raises(InvalidInput) as caught:
        begin(api, b"x" * 10, source="https://me:hunter2@example.org/x")
    assert "hunter2" not in str(caught.value)


def test_a_link_in_the_place_of_an_upload_is_not_followed(api: Api, services: Services, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    upload = begin(api, b"x" * 10)
    (services.settings.state / "library/uploads" / str(upload["id"])).symlink_to(victim)

    with pytest.raises(Unavailable):
        part(api, upload["id"], 0, b"x" * 10)

    assert victim.read_bytes() == b""


def test_what_nobody_went_on_with_is_given_up_and_what_still_arrives_is_not(
    api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
):
    old, new = begin(api, b"x" * 100), begin(api, b"y" * 100)
    for upload in (old, new):
        part(api, upload["id"], 0, b"xy"[:1])
    folder = services.settings.state / "library/uploads"
    os.utime(folder / str(old["id"]), (0, 0))
    monkeypatch.setattr(parts, "ABANDONED", 3600.0)
    with services.database.transaction() as session:
        from datetime import timedelta

        from sqlmodel import select

        from verdelta_controller.library.tables import Upload

        for upload in session.exec(select(Upload)):
            upload.begun_at -= timedelta(days=8)
            session.add(upload)

    assert services.uploads.sweep() == 1

    assert [path.name for path in folder.iterdir()] == [new["id"]]
    with pytest.raises(NotFound):
        api.get(f"artifacts/uploads/{old['id']}")
    assert api.get(f"artifacts/uploads/{new['id']}")["offset"] == 1


# -- out


class Breaking:
    """A remote whose downloads break off after so many bytes, each time anew."""

    def __init__(self, api: Api, after: int, change: Callable[[bytes], bytes] = bytes) -> None:
        self._api, self._after, self._change = api, after, change
        self.starts: list[int] = []

    @contextmanager
    def read(self, path: str, start: int = 0) -> Iterator[tuple[int, Iterator[bytes]]]:
        self.starts.append(start)
        with self._api.read(path, start) as (begins, pieces):
            yield begins, self._some(pieces)

    def _some(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        left = self._after
        for piece in pieces:
            yield self._change(piece[:left])
            left -= len(piece)
            if left <= 0:
                raise Unavailable("the connection ended")


@pytest.fixture
def stored(api: Api) -> bytes:
    data = os.urandom(5 * MIB + 3)
    transfer.send(api, content(data))
    return data


def test_a_download_that_breaks_off_goes_on_until_it_is_whole(api: Api, stored: bytes, tmp_path: Path):
    remote = Breaking(api, 2 * MIB)

    transfer.fetch(remote, digest_of(stored), len(stored), tmp_path / "out", pause=no_pause)  # type: ignore[arg-type]

    assert (tmp_path / "out").read_bytes() == stored
    assert remote.starts[0] == 0 and 0 < remote.starts[1] < remote.starts[2]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_what_arrived_damaged_is_never_presented(api: Api, stored: bytes, tmp_path: Path):
    remote = Breaking(api, 1 << 40, lambda piece: piece[:-1] + b"\0")

    with pytest.raises(ChecksumMismatch):
        transfer.fetch(remote, digest_of(stored), len(stored), tmp_path / "out", pause=no_pause)  # type: ignore[arg-type]

    assert not any(path.name.startswith((".out", "out")) for path in tmp_path.iterdir())


def test_a_partial_file_of_something_else_is_found_out(api: Api, stored: bytes, tmp_path: Path):
    digest = digest_of(stored)
    (tmp_path / f".out.{digest[:16]}.part").write_bytes(b"x" * 1000)
    with pytest.raises(ChecksumMismatch):
        transfer.fetch(api, digest, len(stored), tmp_path / "out")
    transfer.fetch(api, digest, len(stored), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == stored


def test_content_that_is_damaged_in_the_library_never_arrives_whole(
    api: Api, services: Services, stored: bytes, tmp_path: Path
):
    path = services.library.path(digest_of(stored))
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"\0damaged\0")

    with pytest.raises(Unavailable):
        transfer.fetch(api, digest_of(stored), len(stored), tmp_path / "out", pause=no_pause)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-0", 206, slice(0, 1)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=1048570-1048590", 206, slice(1048570, 1048591)),
        ("bytes=10-99999999999", 206, slice(10, None)),
        ("bytes=0-", 200, slice(0, None)),
        ("bytes=-5", 200, slice(0, None)),
        ("bytes=1-2,4-5", 200, slice(0, None)),
        ("lines=1-2", 200, slice(0, None)),
    ],
)
def test_a_range_is_what_was_asked_for(api: Api, url: str, stored: bytes, wanted: str, status: int, expected: slice):
    headers = {"Authorization": api._client.headers["Authorization"], "Range": wanted}
    answer = httpx.get(f"{url}/api/v1/artifacts/{digest_of(stored)}/content", headers=headers)
    assert answer.status_code == status
    assert answer.content == stored[expected]
    if status == 206:
        begin, end, _ = expected.indices(len(stored))
        assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(stored)}"


@pytest.mark.parametrize("wanted", ["bytes=99999999999-", "bytes=5-4"])
def test_a_range_that_is_not_there_is_refused(api: Api, url: str, stored: bytes, wanted: str):
    headers = {"Authorization": api._client.headers["Authorization"], "Range": wanted}
    answer = httpx.get(f"{url}/api/v1/artifacts/{digest_of(stored)}/content", headers=headers)
    assert answer.status_code == 416


def test_two_who_fetch_into_one_file_do_not_mix(api: Api, stored: bytes, tmp_path: Path):
    digest, inside, leave = digest_of(stored), threading.Event(), threading.Event()

    class Waiting(Breaking):
        def _some(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
            inside.set()
            assert leave.wait(20)
            yield from pieces

    first = threading.Thread(target=transfer.fetch, args=(Waiting(api, 0), digest, len(stored), tmp_path / "out"))
    first.start()
    assert inside.wait(20)
    with pytest.raises(InvalidInput, match="another one"):
        transfer.fetch(api, digest, len(stored), tmp_path / "out")
    leave.set()
    first.join()
    assert (tmp_path / "out").read_bytes() == stored
