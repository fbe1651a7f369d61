"""Copies in an S3-compatible object store, over its protocol, and in obstore's own stores."""

import builtins
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.s3 import BUCKET, KEY, S3, SECRET, an_object_store, endpoint_of_a_real_one
from tests.support.web import a_controller

from verdelta_controller.foundation.clock import now
from verdelta_controller.foundation.errors import InvalidInput, NotFound, Unavailable
from verdelta_controller.library import transfer
from verdelta_controller.library.rules import CopyState, Origin
from verdelta_controller.library.sites import object_store
from verdelta_controller.library.sites.object_store import ObjectStoreSite
from verdelta_controller.library.sites.port import Place, SiteKind, read_back
from verdelta_controller.library.store import ContentDamaged
from verdelta_controller.library.tables import Artifact

pytest.importorskip("obstore", reason="needs obstore (the extra object-storage)")

LARGE = (20 << 20) + 7  # bytes: three parts


@pytest.fixture
def s3() -> Iterator[S3]:
    with an_object_store() as server:
        yield server


def place(endpoint: str, key: str = KEY, prefix: str = "live") -> Place:
    return Place(
        SiteKind.OBJECT_STORE,
        f"s3://{BUCKET}/{prefix}",
        {"endpoint": endpoint, "region": "us-east-1"},
        {"access_key": key, "secret": SECRET},
    )


@pytest.fixture(params=["s3", "real s3", "memory", "directory"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoreSite:
    from obstore.store import LocalStore, MemoryStore

    if request.param == "memory":
        return ObjectStoreSite(MemoryStore())
    if request.param == "directory":
        return ObjectStoreSite(LocalStore(str(tmp_path)))
    if request.param == "s3":
        return object_store.connect(place(request.getfixturevalue("s3").url))
    if not endpoint_of_a_real_one():
        pytest.skip("VERDELTA_TEST_S3 names no object store")
    return object_store.connect(place(endpoint_of_a_real_one(), prefix=secrets.token_hex(4)))


def artifact(data: bytes) -> Artifact:
    import hashlib

    digest = hashlib.sha256(data).hexdigest()
    return Artifact(digest=digest, size=len(data), file_name="labapp.img", added_at=now(), added_by="ci")


def pieces_of(data: bytes, then: Callable[[], bytes] | None = None) -> transfer.ContentFrom:
    @contextmanager
    def read_from(offset: int) -> Iterator[Iterator[bytes]]:
        def pieces() -> Iterator[bytes]:
            for at in range(offset, len(data), 1 << 20):
                yield data[at : at + (1 << 20)]
            if then is not None:
                yield then()

        yield pieces()

    return read_from


@pytest.mark.parametrize("size", [0, 1, 8 << 20, (8 << 20) + 1, LARGE])
def test_a_copy_comes_back_as_it_went(site: ObjectStoreSite, size: int):
    data = os.urandom(size)
    one = artifact(data)
    assert read_back(site, one.digest, size) is CopyState.MISSING

    site.write(one, pieces_of(data))

    assert read_back(site, one.digest, size) is CopyState.COMPLETE
    assert dict(site.listing()) == {one.digest: size}
    with site.read(one.digest) as pieces:
        assert b"".join(pieces) == data


@pytest.mark.parametrize("size", [1000, LARGE])
def test_content_that_turns_out_to_be_damaged_leaves_nothing(site: ObjectStoreSite, size: int):
    data = os.urandom(size)

    def damaged() -> bytes:
        raise ContentDamaged("its end is not what it was")

    with pytest.raises((ContentDamaged, Unavailable)):
        site.write(artifact(data), pieces_of(data, damaged))

    assert list(site.listing()) == []


def test_what_was_exchanged_or_cut_short_is_damaged(s3: S3):
    site = object_store.connect(place(s3.url))
    data = os.urandom(5000)
    one = artifact(data)
    site.write(one, pieces_of(data))
    for other in (data[:-1], data[:-1] + b"\0", b"", data + b"x", b"y" * 5000):
        s3.objects = dict.fromkeys(s3.objects, other)
        assert read_back(site, one.digest, one.size) is CopyState.DAMAGED


def test_an_upload_that_was_broken_off_is_given_up(s3: S3):
    site = object_store.connect(place(s3.url))

    def gone() -> bytes:
        raise Unavailable("as if it had gone")

    with pytest.raises(Unavailable):
        site.write(artifact(os.urandom(LARGE)), pieces_of(os.urandom(LARGE), gone))

    assert (s3.objects, s3.uploads) == ({}, {})


def test_a_wrong_key_is_said_without_the_secret(s3: S3):
    site = object_store.connect(place(s3.url, key="other"))
    with pytest.raises(Unavailable) as caught:
        list(site.listing())
    assert SECRET not in str(caught.value) and "Signature" not in str(caught.value)


def test_a_store_that_does_not_answer_is_unavailable():
    site = object_store.connect(place("http://127.0.0.1:9"))
    with pytest.raises(Unavailable):
        read_back(site, "a" * 64, 1)


@pytest.mark.parametrize("location", ["", "bucket", "s3://", "http://bucket/x", "s3://bucket?x=y", "file:///etc"])
def test_what_is_no_bucket_is_refused(location: str):
    with pytest.raises(InvalidInput):
        object_store.connect(Place(SiteKind.OBJECT_STORE, location, {}, {}))


def test_without_obstore_the_mend_is_said(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("obstore"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput) as caught:
        object_store.connect(place("http://127.0.0.1:9"))
    assert "verdelta-controller[object-storage]" in str(caught.value.mend)


def test_the_library_is_kept_in_a_bucket_and_comes_back_from_it(s3: S3, tmp_path: Path):
    with a_controller(tmp_path) as services:
        data = os.urandom(LARGE)
        (tmp_path / "labapp.img").write_bytes(data)
        with (tmp_path / "labapp.img").open("rb") as stream:
            digest = services.library.bring_in(stream, None, Origin("labapp.img", "ci")).digest
        services.library_keeping.add("bucket", place(s3.url), "alice")
        _done(services, services.library_keeping.replicate("bucket", "alice"))
        _done(services, services.library_keeping.archive("bucket", [digest], "alice"))
        with pytest.raises(NotFound):
            services.library.path(digest)
        _done(services, services.library_keeping.restore(digest, "alice"))
        assert services.library.path(digest).read_bytes() == data
        services.library_tasks.close()


def _done(services, task) -> None:
    import time

    while (found := services.library_tasks.task(task.id)).state == "running":
        time.sleep(0.02)
    assert found.state == "done", found.result
