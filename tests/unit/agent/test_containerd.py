"""containerd's images and containers, from its database: what others make and remove by themselves is not compared."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import boltdb

from verdelta_agent.collectors.software import containerd
from verdelta_agent.gather import collect
from verdelta_agent.model import Section, check_rows
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
DATABASE = "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"


def section(namespaces: dict[bytes, Any], **more: Any) -> Section:
    files = {DATABASE: {"hex": boltdb.write({b"v1": namespaces}).hex()}}
    return collect(RecordedHost({"files": files, **more}), containerd.COLLECTOR)


def image(digest: bytes) -> dict[bytes, Any]:
    return {b"target": {b"digest": digest, b"mediatype": b"application/vnd.oci.image.index.v1+json"}}


def container(**labels: str) -> dict[bytes, Any]:
    spec = json.dumps({"process": {"args": ["app"], "env": ["TOKEN=hunter2"]}}).encode()
    kept = {name.encode(): value.encode() for name, value in labels.items()}
    return {b"image": b"app:1", b"spec": b"\x0a\x01x\x12" + bytes([len(spec)]) + spec, b"labels": kept}


def test_a_name_that_leads_to_another_image_is_one_changed_row() -> None:
    before, after = (section({b"default": {b"images": {b"app:1": image(digest)}}}).rows for digest in (b"old", b"new"))
    assert set(before) == set(after) == {"image default/app:1"}
    assert before != after


def test_what_kubernetes_keeps_is_shown_and_not_compared() -> None:
    kept = {b"images": {b"app:1": image(b"x")}, b"containers": {b"pod": container()}}
    found = section({b"k8s.io": kept})
    assert found.rows == {}
    assert set(found.volatile) == {"image k8s.io/app:1", "container k8s.io/pod"}


def test_what_docker_runs_is_left_to_its_own_section_but_the_images_are_here() -> None:
    found = section({b"moby": {b"images": {b"app:1": image(b"x")}, b"containers": {b"1": container()}}})
    assert set(found.rows) == {"image moby/app:1"}
    assert found.volatile["container moby/1"]["ephemeral"] == "of Docker"


def test_whether_a_container_runs_is_not_compared() -> None:
    kept = {b"default": {b"containers": {b"web": container()}}}
    still = section(kept)
    runs = section(kept, directories=[f"{containerd.RUNNING}/default/web"])
    assert still.rows == runs.rows != {}
    assert (still.volatile["container default/web"], runs.volatile["container default/web"]) == (
        {"state": "not running"},
        {"state": "running"},
    )


def test_no_secret_is_shown() -> None:
    found = section({b"default": {b"containers": {b"web": container(password="hunter2")}}})
    assert found.rows["container default/web"]["environment"] == ["TOKEN"]
    assert found.rows["container default/web"]["labels"] == ["password"]
    for recording in HOSTS.glob("*/software.containerd.json"):
        shown = json.dumps(json.loads(recording.read_text())["expect"])
        assert not any(secret in shown for secret in ("not-to-be-seen", "hunter2", "zzz", "=secret", "=abc"))


def test_a_database_that_is_broken_or_refused_fails_the_section() -> None:
    for content in (
        "",
        "no bolt",
        {"error": "EACCES"},
        {"hex": boltdb.write({b"a": {b"b" * 900: b"c" * 900}})[:2048].hex()},
    ):
        found = collect(RecordedHost({"files": {DATABASE: content}}), containerd.COLLECTOR)
        assert (found.status, found.rows) == ("failed", {})


def test_stores_of_kubernetes_distributions_are_found() -> None:
    path = DATABASE.replace("/var/lib/containerd", "/var/lib/rancher/k3s/agent/containerd")
    data = boltdb.write({b"v1": {b"k8s.io": {b"images": {b"app:1": image(b"x")}}}})
    found = collect(RecordedHost({"files": {path: {"hex": data.hex()}}}), containerd.COLLECTOR)
    assert set(found.volatile) == {"image k8s.io/app:1"}


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        ("010000000ee2996e8400000005ffff", "2026-11-26T00:04:20Z"),
        ("01" + "00" * 14, None),
        ("01" + "7f" * 14, None),
        ("", None),
    ],
)
def test_a_time_is_read_as_go_writes_it(stamp: str, shown: str | None) -> None:
    assert containerd.moment(bytes.fromhex(stamp)) == shown


KNOWN = st.sampled_from([b"images", b"containers", b"target", b"labels", b"spec", b"createdat", b"digest", b"runtime"])
NAMES, VALUES = st.binary(min_size=1, max_size=20), st.binary(max_size=20)
ITEMS = st.dictionaries(KNOWN, VALUES | st.dictionaries(KNOWN, VALUES, max_size=2), max_size=4)
KINDS = st.dictionaries(KNOWN, VALUES | st.dictionaries(NAMES, ITEMS, max_size=2), max_size=3)


@settings(deadline=None)
@given(st.dictionaries(NAMES, KINDS, max_size=2))
def test_whatever_is_kept_can_be_sent(namespaces: dict[bytes, Any]) -> None:
    found = section(namespaces)
    assert found.status == "ok"
    check_rows(found.rows)


@given(st.binary(max_size=60))
def test_a_message_of_anything_has_a_value_or_is_refused(message: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert containerd._of_any(message) in message
