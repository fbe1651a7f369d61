"""What the agent reads of container engines' stores, held against what the engines say of the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import engines

from verdelta_agent.collectors.software import containerd, docker, podman
from verdelta_agent.gather import collect
from verdelta_agent.model import Rows, Section
from verdelta_agent.rooted_host import RootedHost

pytestmark = pytest.mark.xdist_group("containers")  # one store of each engine for all


@pytest.fixture(scope="module")
def docker_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docker")
    engines.run("dockerd", engines.DOCKER, directory)
    return directory


@pytest.fixture(scope="module")
def podman_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("podman")
    engines.run("podman", engines.PODMAN, directory)
    return directory


@pytest.fixture(scope="module")
def containerd_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("containerd")
    engines.run("containerd", engines.CONTAINERD, directory)
    return directory


def read(module: Any, root: Path) -> Section:
    section = collect(RootedHost(str(root)), module.COLLECTOR)
    assert (section.status, section.error) == ("ok", None)
    assert "hunter2" not in json.dumps(section)
    return section


def of_kind(rows: Rows, kind: str) -> Rows:
    return {key[len(kind) + 1 :]: row for key, row in rows.items() if key.startswith(kind + " ")}


def test_docker_images_are_those_that_docker_has(docker_store: Path) -> None:
    expected = {}
    for image in engines.said(docker_store, "images.json"):
        for name in image["RepoTags"] or [image["Id"]]:
            expected[name] = (image["Id"], image["Created"], image["Architecture"])
    rows = of_kind(read(docker, docker_store).rows, "image")
    assert len(expected) == 3
    assert {name: (row["id"], row["created"], row["architecture"]) for name, row in rows.items()} == expected


def test_docker_containers_are_those_that_docker_has(docker_store: Path) -> None:
    """But the one that is removed when it ends: it is shown, and not compared."""
    section = read(docker, docker_store)
    rows = of_kind(section.rows, "container")
    told = {container["Name"].lstrip("/"): container for container in engines.said(docker_store, "containers.json")}
    assert set(of_kind(section.volatile, "container")) == set(told) == {"web", "tool", "passing"}
    assert set(rows) == {"web", "tool"}
    for name, row in rows.items():
        container, limits = told[name], told[name]["HostConfig"]
        policy, retries = limits["RestartPolicy"]["Name"], limits["RestartPolicy"]["MaximumRetryCount"]
        assert row["id"] == container["Id"]
        assert row["created"] == container["Created"]
        assert (row["image"], row["image_id"]) == (container["Config"]["Image"], container["Image"])
        assert row["restart"] == (f"{policy}:{retries}" if retries else policy)
        assert row.get("user", "") == container["Config"]["User"]
        assert row.get("privileged", False) == limits["Privileged"]
        assert row["environment"] == sorted(variable.partition("=")[0] for variable in container["Config"]["Env"])
        assert len(row.get("labels", [])) == len(container["Config"]["Labels"] or {})
        assert row["network"] == limits["NetworkMode"].replace("default", "bridge")
        assert len(row.get("mounts", [])) == len(container["Mounts"]) + len(limits.get("Tmpfs") or {})
        assert len(row.get("ports", [])) == sum(map(len, limits["PortBindings"].values()))
        assert row.get("devices", []) == [device["PathOnHost"] for device in limits["Devices"] or []]
        assert section.volatile[f"container {name}"]["state"] == container["State"]["Status"]
    assert rows["web"]["ports"] == ["127.0.0.1:8080->80/tcp", "443->443/udp"]
    assert rows["web"]["mounts"] == ["/etc/hosts:/etc/hosts:ro", "data:/data", "tmpfs:/scratch"]
    assert rows["web"]["command"] == "/bin/true --key (hidden)"


def test_podman_images_are_those_that_podman_has(podman_store: Path) -> None:
    expected = {}
    for image in engines.said(podman_store, "images.json"):
        for name in image["RepoTags"] or [image["Id"]]:
            expected[name] = (image["Id"], image["Digest"], image["Architecture"], image["Created"])
    rows = of_kind(read(podman, podman_store).rows, "image")
    fields = ("id", "digest", "architecture", "created")
    assert len(expected) == 3
    assert {name: tuple(row[field] for field in fields) for name, row in rows.items()} == expected


def test_podman_containers_are_those_that_podman_has(podman_store: Path) -> None:
    """But the one that is removed when it ends: it is shown, and not compared."""
    section = read(podman, podman_store)
    rows = of_kind(section.rows, "container")
    told = {container["Name"]: container for container in engines.said(podman_store, "containers.json")}
    assert set(of_kind(section.volatile, "container")) == set(told) == {"web", "tool", "hosted", "passing"}
    assert set(rows) == {"web", "tool", "hosted"}
    for name, row in rows.items():
        container, limits = told[name], told[name]["HostConfig"]
        policy, retries = limits["RestartPolicy"]["Name"] or "no", limits["RestartPolicy"]["MaximumRetryCount"]
        assert (row["id"], row["created"]) == (container["Id"], container["Created"])
        assert (row["image"], row["image_id"]) == (container["ImageName"], container["Image"])
        assert row["restart"] == (f"{policy}:{retries}" if retries else policy)
        assert row.get("user", "") == container["Config"]["User"]
        assert row.get("privileged", False) == limits["Privileged"]
        # podman says the names that it adds when the container starts, too
        told_names = {variable.partition("=")[0] for variable in container["Config"]["Env"]}
        assert set(row["environment"]) >= told_names - {"HOSTNAME", "HOME"}
        assert len(row.get("labels", [])) == len(container["Config"]["Labels"] or {})
        assert row["network"] == limits["NetworkMode"].replace("default", "bridge")
        assert len(row.get("mounts", [])) == len(container["Mounts"]) + len(limits.get("Tmpfs") or {})
        assert len(row.get("ports", [])) == sum(map(len, limits["PortBindings"].values()))
        if not row.get("privileged"):
            assert row["capabilities"] == sorted(cap.removeprefix("CAP_") for cap in container["BoundingCaps"])
        assert section.volatile[f"container {name}"]["state"] == container["State"]["Status"]
    assert rows["web"]["ports"] == ["127.0.0.1:8080->80/tcp", "443->443/udp"]
    assert rows["web"]["mounts"] == ["/etc/hosts:/etc/hosts:ro", "data:/data", "tmpfs:/scratch"]
    assert rows["web"]["command"] == "/bin/true --key (hidden)"
    assert rows["tool"]["host_namespaces"] == ["pid"]


def test_containerd_images_are_those_that_ctr_lists(containerd_store: Path) -> None:
    """After dozens were named and removed again, so that the database has pages that are no longer in use."""
    listed = [line.split() for line in (containerd_store / "images.txt").read_text().splitlines()[1:]]
    section = read(containerd, containerd_store)
    rows = of_kind(section.rows, "image")
    assert {name: (row["media_type"], row["digest"]) for name, row in rows.items()} == {
        f"default/{name}": (kind, digest) for name, kind, digest, *_ in listed
    }
    assert len(listed) == 13
    assert rows["default/registry.example/team/base:1.0"]["labels"] == ["a"]
    assert len(of_kind(section.volatile, "image")) == 2  # of Kubernetes: shown, and not compared


def test_containerd_containers_are_those_that_ctr_shows(containerd_store: Path) -> None:
    section = read(containerd, containerd_store)
    rows = of_kind(section.rows, "container")
    assert set(rows) == {"default/web", "default/tool", "default/pod-default"}
    assert "container k8s.io/pod-k8s.io" in section.volatile
    for key, row in rows.items():
        told = engines.said(containerd_store, f"{key.partition('/')[2]}.json")
        process = told["Spec"]["process"]
        assert (row["image"], row["runtime"]) == (told["Image"], told["Runtime"]["Name"])
        assert row["created"] == told["CreatedAt"].partition(".")[0] + "Z"
        assert row["environment"] == sorted({variable.partition("=")[0] for variable in process["env"]})
        assert [label.partition("=")[0] for label in row.get("labels", [])] == sorted(told["Labels"] or {})
        assert row["command"].split()[0] == process["args"][0]
    assert rows["default/web"]["command"] == "/bin/true --key (hidden)"
    assert rows["default/web"]["host_namespaces"] == ["network"]
    assert "/etc/fstab:/etc/fstab:ro" in rows["default/web"]["mounts"]
    assert rows["default/tool"]["privileged"]
