"""Docker's images and containers, from its files: nothing moves in what is compared, and no secret is shown."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import containers, docker, json_tree
from verdelta_agent.gather import collect
from verdelta_agent.model import Section, canonical, check_rows
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
ROOT = "/var/lib/docker"
IMAGES = f"{ROOT}/image/overlay2"
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CONFIGURATION = json.dumps({"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z"})


def section(files: dict[str, Any], **more: Any) -> Section:
    return collect(
        RecordedHost({"files": {f"{ROOT}/{path}": text for path, text in files.items()}, **more}), docker.COLLECTOR
    )


def images(repositories: dict[str, dict[str, str]], *identities: str) -> Section:
    files = {f"image/overlay2/imagedb/content/sha256/{identity[7:]}": CONFIGURATION for identity in identities}
    named = json.dumps({"Repositories": repositories})
    return section({"image/overlay2/repositories.json": named, **files})


def container(limits: dict[str, Any] | None = None, **config: Any) -> Section:
    config = {"Name": "/web", "ID": "1" * 64, "Path": "/bin/app", **config}
    here = f"containers/{'1' * 64}"
    return section({f"{here}/config.v2.json": json.dumps(config), f"{here}/hostconfig.json": json.dumps(limits or {})})


def test_a_tag_that_was_pulled_anew_is_one_changed_row_and_the_old_image_has_no_tag() -> None:
    before = images({"nginx": {"nginx:1": OLD}}, OLD).rows
    after = images({"nginx": {"nginx:1": NEW}}, OLD, NEW).rows
    assert set(before) == {"image nginx:1"}
    assert set(after) == {"image nginx:1", f"image {OLD}"}
    assert (before["image nginx:1"]["id"], after["image nginx:1"]["id"]) == (OLD, NEW)


def test_what_moves_when_a_container_starts_is_not_compared() -> None:
    running = {"Running": True, "Pid": 7, "StartedAt": "2026-01-02T00:00:00Z"}
    address = {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}
    still = container(NetworkSettings={"Networks": {"bridge": {"IPAddress": ""}}})
    started = container(State=running, RestartCount=3, NetworkSettings=address)
    assert still.rows == started.rows
    assert started.volatile["container web"] == {
        "state": "running",
        "pid": 7,
        "started": "2026-01-02T00:00:00Z",
        "restarts": 3,
        "addresses": ["172.17.0.2"],
    }


@pytest.mark.parametrize(
    ("limits", "labels", "why"),
    [
        ({"AutoRemove": True}, {}, "removed when it ends"),
        ({}, {"io.kubernetes.pod.name": "web-1"}, "of Kubernetes"),
        ({}, {"com.docker.swarm.task.id": "x"}, "of Swarm"),
    ],
)
def test_a_container_that_comes_and_goes_by_itself_is_shown_and_not_compared(limits, labels, why) -> None:
    found = container(limits, Config={"Labels": labels})
    assert found.rows == {}
    assert found.volatile["container web"]["ephemeral"] == why


def test_no_secret_of_a_recorded_machine_is_shown() -> None:
    for system in ("debian-12", "ubuntu-24.04"):
        expected = json.loads((HOSTS / system / "software.docker.json").read_text())["expect"]
        shown = json.dumps(expected)
        assert not any(secret in shown for secret in ("not-to-be-seen", "hunter2", "zzz", "=secret", "abc,"))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("app --password hunter2 -v", "app --password (hidden) -v"),
        ("app --db-password=hunter2", "app --db-password=(hidden)"),
        ("app --password --verbose", "app --password --verbose"),
        ("env API_TOKEN=hunter2 app", "env API_TOKEN=(hidden) app"),
        ("curl https://me:hunter2@example.org/", "curl https://example.org/"),
        ("mysql -phunter2 -uroot", "mysql -p(hidden) -uroot"),
        ("ssh -p22 host", "ssh -p22 host"),
        ("app --port 80 name=web", "app --port 80 name=web"),
    ],
)
def test_a_command_is_shown_without_what_sounds_like_a_secret(command: str, shown: str) -> None:
    assert containers.shown_command(command.split()) == shown


@pytest.mark.parametrize(
    "script",
    [
        "export SECRET_KEY='hunter2 hunter2'; run",
        'echo "password": "hunter2"',
        "app --token hunter2 --x",
        "curl -H 'Authorization: Bearer hunter2' http://x",
    ],
)
def test_a_script_in_a_command_is_shown_without_what_sounds_like_a_secret(script: str) -> None:
    assert "hunter2" not in containers.shown_command(["sh", "-c", script])


def test_a_command_of_any_length_is_shown_within_bounds() -> None:
    assert len(containers.shown_command(["x" * 10**6] * 10**4)) <= json_tree.LONGEST + 1


def test_names_that_lead_to_nobody_knows_which_image_fail_the_section() -> None:
    """Rather than make every image look like another one."""
    assert section({"image/overlay2/repositories.json": '{"Repo'}).status == "failed"
    assert section({"image/overlay2/repositories.json": {"error": "EIO"}}).status == "failed"


def test_without_the_right_to_look_the_section_is_failed_and_not_empty() -> None:
    class Refused(RecordedHost):
        def listdir(self, path: str) -> list[str]:
            raise PermissionError(13, "Permission denied", path)

    found = collect(Refused({"directories": [f"{ROOT}/image/overlay2"]}), docker.COLLECTOR)
    assert (found.status, found.error[:10]) == ("failed", "permission")


def test_a_broken_container_costs_no_other_one() -> None:
    whole, half = "1" * 64, "2" * 64
    found = section(
        {
            f"containers/{whole}/config.v2.json": '{"Name": "/web"}',
            f"containers/{whole}/hostconfig.json": "{}",
            f"containers/{half}/config.v2.json": '{"Name": "/o',
        }
    )
    assert (found.status, list(found.rows)) == ("ok", ["container web"])
    assert found.error is not None
    assert half in found.error


def test_an_image_that_is_named_and_not_there_makes_the_section_partial() -> None:
    found = images({"nginx": {"nginx:1": OLD}})
    assert (list(found.rows), found.error) == (["image nginx:1"], "not understood: image nginx:1 (there is none)")


def test_an_image_that_comes_while_images_are_read_is_looked_for_again() -> None:
    repositories = f"{IMAGES}/repositories.json"
    content = f"{IMAGES}/imagedb/content/sha256"
    named = json.dumps({"Repositories": {"nginx": {"nginx:1": NEW}}})

    class Pulled(RecordedHost):
        looked = 0

        def listdir(self, path: str) -> list[str]:
            self.looked += path == content
            return [] if path == content and self.looked == 1 else super().listdir(path)

    found = collect(Pulled({"files": {repositories: named, f"{content}/{NEW[7:]}": CONFIGURATION}}), docker.COLLECTOR)
    assert (found.error, found.rows["image nginx:1"]["architecture"]) == (None, "amd64")


def test_a_container_that_is_removed_while_it_is_read_is_no_trouble() -> None:
    class Removed(RecordedHost):
        def exists(self, path: str) -> bool:
            return "containers/" not in path and super().exists(path)

    host = {"directories": [f"{ROOT}/containers/{'1' * 64}", f"{ROOT}/image/overlay2"]}
    assert collect(Removed(host), docker.COLLECTOR)[0::3] == ("ok", None)


def test_images_that_containerd_keeps_are_said_to_be_there() -> None:
    settings = json.dumps({"features": {"containerd-snapshotter": True}})
    host = {"files": {"/etc/docker/daemon.json": settings}, "directories": [f"{ROOT}/containers"]}
    for found in (collect(RecordedHost(host), docker.COLLECTOR), container(Driver="overlayfs")):
        assert found.error == docker.IN_CONTAINERD


def test_a_store_on_another_machine_is_not_touched() -> None:
    mountinfo = "22 1 8:1 / / rw - ext4 /dev/a rw\n23 22 0:9 / /srv rw - nfs4 server:/srv rw\n"
    files = {"/etc/docker/daemon.json": '{"data-root": "/srv/docker"}', "/proc/self/mountinfo": mountinfo}
    found = collect(RecordedHost({"files": files}), docker.COLLECTOR)
    assert (found.status, found.error) == ("failed", "/srv/docker is on nfs4: not looked at")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "Name",
    "ID",
    "Config",
    "Labels",
    "Env",
    "Image",
    "Path",
    "Args",
    "State",
    "NetworkSettings",
    "Networks",
    "MountPoints",
    "Created",
    "Driver",
]
LIMITS = [
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "CapAdd",
    "Devices",
    "SecurityOpt",
    "Tmpfs",
    "Privileged",
    "PidMode",
]


@given(
    st.dictionaries(st.sampled_from(NAMES), ANYTHING | st.dictionaries(st.sampled_from(NAMES), ANYTHING)),
    st.dictionaries(st.sampled_from(LIMITS), ANYTHING | st.dictionaries(st.text(), ANYTHING)),
)
def test_whatever_a_container_is_said_to_be_can_be_sent(config: Any, limits: Any) -> None:
    row = {"x": docker.parse_container(config, limits), "y": docker.parse_state(config)}
    docker.ephemeral(config, limits)
    check_rows(row)
    assert canonical(row)


@given(ANYTHING, ANYTHING)
def test_whatever_an_image_is_said_to_be_can_be_sent(repositories: Any, image: Any) -> None:
    named = docker.parse_repositories({"Repositories": repositories})
    check_rows(docker.image_rows(named, {OLD: docker.parse_image({"architecture": image, "created": image})}))


@given(st.binary())
def test_whatever_a_file_holds_is_an_object_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(json_tree.load(content), dict)


@pytest.mark.parametrize("hostile", [b"[" * 10**6, b'{"a":' * 10**5, b"", b"[]", b"null", b'{"a": 1', b"1e999999"])
def test_a_hostile_file_is_refused(hostile: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_tree.load(hostile)
