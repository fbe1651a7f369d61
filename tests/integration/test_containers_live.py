"""What the agent reads of container engines' stores, held against what the engines say of the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import engines

from verdelta_agent.collectors.software import docker
from verdelta_agent.gather import collect
from verdelta_agent.host import RootedHost
from verdelta_agent.model import Rows, Section


@pytest.fixture(scope="module")
def docker_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docker")
    engines.run("dockerd", engines.DOCKER, directory)
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
        assert row["variables"] == sorted(variable.partition("=")[0] for variable in container["Config"]["Env"])
        assert len(row.get("labels", [])) == len(container["Config"]["Labels"] or {})
        assert row["network_mode"] == limits["NetworkMode"].replace("default", "bridge")
        assert len(row.get("mounts", [])) == len(container["Mounts"]) + len(limits.get("Tmpfs") or {})
        assert len(row.get("ports", [])) == sum(map(len, limits["PortBindings"].values()))
        assert row.get("devices", []) == [device["PathOnHost"] for device in limits["Devices"] or []]
        assert section.volatile[f"container {name}"]["state"] == container["State"]["Status"]
    assert rows["web"]["ports"] == ["127.0.0.1:8080->80/tcp", "443->443/udp"]
    assert rows["web"]["mounts"] == ["/etc/hosts:/etc/hosts:ro", "data:/data", "tmpfs:/scratch"]
    assert rows["web"]["command"] == "/bin/true --key (hidden)"
