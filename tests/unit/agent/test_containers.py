"""Images and containers from what is on disk: one row for what one person changes, and no secret of anybody."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import boltdb

from verdelta_agent.collectors.software import bolt, containerd, docker, podman
from verdelta_agent.gather import collect
from verdelta_agent.host import RecordedHost
from verdelta_agent.model import ABSENT, FAILED, OK, Section, canonical

HOSTS = Path(__file__).parents[2] / "hosts"
DOCKER = json.loads((HOSTS / "ubuntu-24.04/software.docker.json").read_text())["host"]
PODMAN = json.loads((HOSTS / "debian-12/software.podman.json").read_text())["host"]
META = "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
CONTENT = {"v1": {"default": {"images": {"a": {"target": {"digest": b"sha256:1"}}}, "n": b"x" * 500}}, "v": b"\x06"}


def section(module: Any, host: dict[str, Any]) -> Section:
    return collect(RecordedHost(host), module.COLLECTOR)


def replaced(host: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(host).replace(old, new))
    return changed


def test_a_tag_that_was_pulled_again_is_one_changed_row() -> None:
    before = section(docker, DOCKER).rows
    repulled = replaced(DOCKER, "1f1f1f1f", "7a7a7a7a")
    after = section(docker, repulled).rows
    assert set(before) == set(after)
    assert [key for key in before if before[key] != after[key]] == [
        "image nginx:1.27",
        "image nginx:latest",
        "container web-nginx-1",
    ]


@pytest.mark.parametrize(("module", "host"), [(docker, DOCKER), (podman, PODMAN)])
def test_no_value_of_a_variable_or_of_a_label_is_shown(module: Any, host: dict[str, Any]) -> None:
    found = section(module, host)
    shown = canonical([found.rows, found.volatile])
    for secret in (b"s3cret", b"=abc", b"PATH="):
        assert secret not in shown
    assert b"SECRET" in shown or b"DB_PASSWORD" in shown


def test_a_container_that_is_started_again_is_no_change() -> None:
    before = section(docker, DOCKER)
    after = section(docker, replaced(DOCKER, "2026-05-02T08:00:01Z", "2026-06-02T08:00:01Z"))
    assert before.rows == after.rows
    assert before.volatile != after.volatile


def test_hosts_without_containers_are_absent() -> None:
    for module in (docker, podman, containerd):
        assert section(module, {}).status == ABSENT


def test_what_kubernetes_makes_and_collects_is_never_compared() -> None:
    content = {"v1": {"k8s.io": {"images": {"a": {"target": {"digest": b"sha256:1"}}}}}}
    found = section(containerd, {"files": {META: {"hex": boltdb.write(content).hex()}}})
    assert (found.rows, set(found.volatile)) == ({}, {"image k8s.io/a"})


@pytest.mark.parametrize("damage", ["{", "[]", "null", "[" * 100000, '{"Repositories": [1]}', '"x"'])
def test_a_damaged_file_is_named_and_the_others_stand(damage: str) -> None:
    for module, host in ((docker, DOCKER), (podman, PODMAN)):
        for path in host["files"]:
            if isinstance(host["files"][path], str):
                found = section(module, {**host, "files": {**host["files"], path: damage}})
                assert found.status in (OK, FAILED)
                assert found.error is not None or damage in ("[]", "null", '{"Repositories": [1]}')


# -- bolt


def read(data: bytes) -> Any:
    database = bolt.Database(data)

    def whole(items: dict[bytes, Any], depth: int = 0) -> Any:
        return {
            key: whole(database.bucket(value), depth + 1) if isinstance(value, bolt.Bucket) and depth < 9 else value
            for key, value in items.items()
        }

    return whole(database.root())


NESTED = st.recursive(
    st.binary(max_size=40),
    lambda inner: st.dictionaries(st.text(alphabet="abc/.", min_size=1, max_size=6), inner, max_size=5),
    max_leaves=20,
)


def encoded(content: Any) -> Any:
    return {key.encode(): encoded(value) for key, value in content.items()} if isinstance(content, dict) else content


@settings(deadline=None)
@given(st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=4), NESTED, max_size=6))
def test_a_database_is_read_as_it_was_written(content: dict[str, Any]) -> None:
    assert read(boltdb.write(content)) == encoded(content)


def test_the_meta_page_of_the_later_transaction_counts_and_a_damaged_one_does_not() -> None:
    data = bytearray(boltdb.write(CONTENT, transaction=9))
    assert bolt.Database(bytes(data)).transaction == 9
    data[40] ^= 1  # of the first meta page
    assert bolt.Database(bytes(data)).transaction == 8
    assert read(bytes(data)) == encoded(CONTENT)


def test_every_truncation_is_refused() -> None:
    data = boltdb.write(CONTENT)
    for length in range(0, len(data) - boltdb.PAGE_SIZE + 16 + 32, 61):
        with pytest.raises(ValueError, match=r"."):
            read(data[:length])


def test_bit_flips_are_refused_or_read_and_never_a_crash_or_without_end() -> None:
    data = boltdb.write(CONTENT)
    start = 3 * boltdb.PAGE_SIZE
    refused = 0
    for at in range(start, start + 900):
        for bit in (0, 4, 7):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            try:
                read(bytes(flipped))
            except ValueError:
                refused += 1
    assert refused > 50


def test_pages_that_refer_to_each_other_end() -> None:
    data = bytearray(boltdb.write({"a": b"x"}))
    page = 3 * boltdb.PAGE_SIZE
    data[page + 8 : page + 10] = b"\x01\x00"  # a branch
    data[page + 24 : page + 32] = (3).to_bytes(8, "little")  # whose child is itself
    with pytest.raises(ValueError, match="refer to each other"):
        read(bytes(data))


@given(st.binary(max_size=300))
def test_whatever_bytes_are_no_database(data: bytes) -> None:
    with pytest.raises(ValueError, match="no bolt database"):
        bolt.Database(data)


def test_a_store_that_is_being_written_is_read_once_more() -> None:
    whole = boltdb.write({"v1": {"default": {"images": {"a": {"target": {"digest": b"sha256:1"}}}}}})

    class BeingWritten(RecordedHost):
        reads = 0

        def read_bytes(self, path: str, limit: int = 1 << 30) -> bytes:
            self.reads += 1
            return whole[:20] + bytes(9000) if self.reads == 1 else whole

    host = BeingWritten({"files": {META: ""}})
    assert set(collect(host, containerd.COLLECTOR).rows) == {"image default/a"}
    assert host.reads == 2


def test_a_container_that_is_removed_while_it_is_read_is_gone_and_nothing_else() -> None:
    class BeingRemoved(RecordedHost):
        def read_bytes(self, path: str, limit: int = 1 << 30) -> bytes:
            if path.endswith("config.v2.json"):
                raise FileNotFoundError(2, "No such file", path)
            return super().read_bytes(path, limit)

    found = collect(BeingRemoved(DOCKER), docker.COLLECTOR)
    assert found.status == OK
    assert {key for key in found.rows if key.startswith("container ")} == set()
    assert "image nginx:1.27" in found.rows
