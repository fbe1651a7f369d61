"""Podman's images and containers, from its files: nothing moves in what is compared, no secret is shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import boltdb, libpod

from verdelta_agent.collectors.software import libpod_sqlite, oci, podman
from verdelta_agent.gather import collect
from verdelta_agent.model import Section, check_rows
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
ROOT = "/var/lib/containers/storage"
WEB = {"id": "1" * 64, "name": "web", "rootfsImageID": "a" * 64, "createdTime": "2026-01-01T00:00:00Z"}
STORED = json.dumps([{"id": WEB["id"], "names": ["web"], "image": "a" * 64}])


def section(files: dict[str, Any]) -> Section:
    return collect(RecordedHost({"files": {f"{ROOT}/{path}": text for path, text in files.items()}}), podman.COLLECTOR)


def in_bolt(*containers: dict[str, Any]) -> dict[str, str]:
    stored = {c["id"].encode(): {b"config": json.dumps(c).encode(), b"state": b'{"state": 3}'} for c in containers}
    return {"hex": boltdb.write({b"ctr": stored}).hex()}


def in_sqlite(*containers: dict[str, Any]) -> dict[str, str]:
    return {"hex": libpod.database(list(containers)).hex()}


def test_a_container_is_the_same_from_either_database() -> None:
    old = section({"overlay-containers/containers.json": STORED, "libpod/bolt_state.db": in_bolt(WEB)})
    new = section({"overlay-containers/containers.json": STORED, "db.sql": in_sqlite(WEB)})
    assert old.rows == new.rows != {}
    assert (old.error, new.error) == (None, None)


def test_a_container_of_which_only_an_older_database_knows_is_gone() -> None:
    files = {"overlay-containers/containers.json": STORED, "db.sql": in_sqlite(WEB)}
    found = section({**files, "libpod/bolt_state.db": in_bolt({**WEB, "id": "2" * 64, "name": "gone"})})
    assert set(found.rows) == {"container web"}


def test_a_container_of_a_unit_that_was_started_again_is_the_same_row() -> None:
    unit = {"labels": {"PODMAN_SYSTEMD_UNIT": "web.service"}}
    rows = []
    for identity in ("1" * 64, "2" * 64):
        made = {**WEB, **unit, "id": identity, "createdTime": f"2026-01-0{identity[0]}T00:00:00Z"}
        stored = json.dumps([{"id": identity, "names": ["web"]}])
        rows.append(section({"overlay-containers/containers.json": stored, "db.sql": in_sqlite(made)}).rows)
    assert rows[0] == rows[1] != {}


def test_the_container_of_a_pod_keeps_its_name_when_the_pod_is_made_anew() -> None:
    names = set()
    for pod in ("7" * 64, "8" * 64):
        infra = {"id": "3" * 64, "name": f"{pod[:12]}-infra", "pod": pod, "pause": True}
        member = {**WEB, "pod": pod, "netNsCtr": "3" * 64}
        stored = json.dumps([{"id": infra["id"]}, {"id": WEB["id"]}])
        database = {"hex": libpod.database([infra, member], {pod: "shop"}).hex()}
        rows = section({"overlay-containers/containers.json": stored, "db.sql": database}).rows
        names |= {*rows, rows["container web"]["network"]}
    assert names == {"container web", "container shop-infra", "container:shop-infra"}


def test_a_tag_that_was_pulled_anew_is_one_changed_row() -> None:
    def images(*listed: dict[str, Any]) -> Section:
        return section({"overlay-images/images.json": json.dumps(listed)})

    before = images({"id": "a" * 64, "names": ["web:1"]}).rows
    after = images({"id": "a" * 64, "names": None}, {"id": "b" * 64, "names": ["web:1"]}).rows
    assert set(before) == {"image web:1"}
    assert set(after) == {"image web:1", f"image {'a' * 64}"}
    assert before["image web:1"] != after["image web:1"]


def test_no_secret_of_a_recorded_machine_is_shown() -> None:
    for recording in HOSTS.glob("*/software.podman.json"):
        shown = json.dumps(json.loads(recording.read_text())["expect"])
        assert not any(secret in shown for secret in ("not-to-be-seen", "hunter2", "zzz", "=secret", "=abc"))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("overlay-images/images.json", '[{"id"'),
        ("overlay-containers/containers.json", "{}"),
        ("overlay-containers/containers.json", {"error": "EACCES"}),
        ("libpod/bolt_state.db", "no bolt"),
        ("db.sql", "no sqlite"),
        ("db.sql", {"error": "EIO"}),
    ],
)
def test_a_list_that_cannot_be_read_fails_the_section_and_is_not_empty(path: str, content: Any) -> None:
    found = section({path: content})
    assert (found.status, found.rows) == ("failed", {})
    assert found.error


def test_a_container_that_cannot_be_understood_costs_no_other_one() -> None:
    broken = {b"1" * 64: {b"config": b'{"id"'}, b"2" * 64: {b"config": b'{"id": "%s", "name": "fine"}' % (b"2" * 64)}}
    stored = json.dumps([{"id": "1" * 64, "names": ["broken"]}, {"id": "2" * 64}])
    database = {"hex": boltdb.write({b"ctr": broken}).hex()}
    found = section({"overlay-containers/containers.json": stored, "libpod/bolt_state.db": database})
    assert (found.status, set(found.rows)) == ("ok", {"container broken", "container fine"})
    assert found.error is not None
    assert "1" * 64 in found.error


@pytest.mark.parametrize("log", ["-journal", "-wal"])
def test_a_database_within_a_transaction_is_an_error_and_no_guess(log: str) -> None:
    found = section({"db.sql": in_sqlite(WEB), f"db.sql{log}": "x"})
    assert found.status == "failed"
    assert found.error is not None
    assert "written to while it was read, or not finished" in found.error


def test_a_database_that_is_written_to_is_read_again() -> None:
    class Written(RecordedHost):
        readings = 0

        def read_bytes(self, path: str, limit: int = 0) -> bytes:
            self.readings += 1
            return super().read_bytes(path) + bytes([min(self.readings, 3)])

    host = Written({"files": {"/db.sql": in_sqlite(WEB)}})
    assert set(libpod_sqlite.read_tables(host, "/db.sql")[0]) == {WEB["id"]}
    assert host.readings > 3


@given(st.binary(max_size=300) | st.integers(0, 4000).map(lambda cut: libpod.database([WEB])[:cut]))
def test_whatever_a_database_of_sqlite_holds_it_is_read_or_refused(content: bytes) -> None:
    found = section({"db.sql": {"hex": content.hex()}, "overlay-images/images.json": "[]"})
    assert found.status in ("failed", "ok", "absent")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["spec", "labels", "name", "newPortMappings", "portMappings", "namedVolumes", "networks", "user", "pod", "id"]
PARTS = ["process", "mounts", "linux", "annotations", "args", "env", "user", "capabilities", "namespaces", "devices"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), st.dictionaries(st.sampled_from(PARTS), ANYTHING))
def test_whatever_a_container_is_said_to_be_can_be_sent(configuration: Any, spec: Any) -> None:
    configuration.setdefault("spec", spec)
    name, row, _ = podman.parse_configuration(configuration, {}, {})
    check_rows({name: row, "spec": oci.parse_spec(spec), "state": podman.parse_state(spec)})
