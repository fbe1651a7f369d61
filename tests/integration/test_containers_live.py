"""Images and containers that Podman and containerd really made, held against what they themselves list."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from verdelta_agent.collectors.software import containerd, podman
from verdelta_agent.gather import collect
from verdelta_agent.host import RootedHost

IMAGE = "registry.example.org/web:1.0"
pytestmark = pytest.mark.xdist_group("containers")  # one store of images for all


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A root below which Podman keeps an image and a container, and how to ask it."""
    folder = tmp_path_factory.mktemp("podman")
    (folder / "image/bin").mkdir(parents=True)
    shutil.copy("/bin/true", folder / "image/bin/true")
    run("tar", "-C", folder / "image", "-cf", folder / "image.tar", ".")
    place = [f"--root={folder}/root/var/lib/containers/storage", f"--runroot={folder}/run", "--storage-driver=vfs"]
    ask = [tool("podman"), *place, "--cgroup-manager=cgroupfs"]
    if subprocess.run([*ask, "info"], capture_output=True, check=False, timeout=60).returncode != 0:
        pytest.skip("podman does not work here")
    run(*ask, "import", "--change", 'CMD ["/bin/true"]', folder / "image.tar", IMAGE)
    options = ["--name=web", "--env=SECRET=s3cret", "--publish=8080:80", "--volume=/srv:/srv:ro", "--restart=always"]
    run(*ask, "create", *options, "--label=team=ops", "--cap-add=NET_ADMIN", IMAGE)
    return folder, ask


def test_what_podman_made_is_shown_as_podman_lists_it(store: tuple[Path, list[str]]) -> None:
    folder, ask = store
    found = collect(RootedHost(f"{folder}/root"), podman.COLLECTOR)
    assert found.status == "ok"
    (image,) = json.loads(run(*ask, "images", "--format=json"))
    (container,) = json.loads(run(*ask, "inspect", "web"))
    assert set(found.rows) == {f"image {image['Names'][0]}", "container web"}
    assert found.rows[f"image {IMAGE}"]["id"] == f"sha256:{image['Id']}"
    if found.error is not None:
        pytest.skip(found.error)  # a Podman that keeps its settings in another database
    row = found.rows["container web"]
    assert row["image"] == container["ImageName"]
    assert row["command"] == container["Config"]["Cmd"]
    assert row["restart"] == container["HostConfig"]["RestartPolicy"]["Name"]
    assert row["environment"] == sorted(
        entry.partition("=")[0] for entry in container["Config"]["Env"] if "HOME" not in entry
    )
    assert row["mounts"] == ["/srv:/srv:ro"]
    assert row["ports"] == ["*:8080->80/tcp"]
    assert row["labels"] == ["team"]
    assert "CAP_NET_ADMIN" in row["capabilities"]


@pytest.fixture
def daemon(tmp_path: Path, store: tuple[Path, list[str]]) -> Iterator[tuple[Path, list[str]]]:
    """A containerd of its own, with an image and a container."""
    ask = store[1]
    state = tmp_path / "root/var/lib/containerd"
    address = tmp_path / "c.sock"
    command = [tool("containerd"), "--root", state, "--state", tmp_path / "state", "--address", address]
    run(*ask, "save", "--quiet", "--format=oci-archive", "--output", tmp_path / "image.oci", IMAGE)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = [tool("ctr"), "--address", str(address)]
    try:
        for _ in range(100):
            if subprocess.run([*client, "version"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            pytest.skip("containerd does not start here")
        for namespace in ("default", "k8s.io"):
            run(*client, "-n", namespace, "images", "import", "--no-unpack", tmp_path / "image.oci")
        run(*client, "-n", "default", "containers", "create", "--snapshotter=native", "--label=team=ops", IMAGE, "web1")
        yield tmp_path, client
    finally:
        process.terminate()
        process.wait()


def test_what_containerd_made_is_shown_as_it_lists_it_while_it_runs(daemon: tuple[Path, list[str]]) -> None:
    folder, client = daemon
    found = collect(RootedHost(f"{folder}/root"), containerd.COLLECTOR)
    assert (found.status, found.error) == ("ok", None)
    (line,) = run(*client, "-n", "default", "images", "ls").splitlines()[1:]
    name, kind, digest, *_ = line.split()
    assert found.rows[f"image default/{name}"] == {"id": digest, "media_type": kind}
    assert found.rows["container default/web1"]["image"] == IMAGE
    assert "team" in found.rows["container default/web1"]["labels"]
    assert set(found.rows) == {f"image default/{IMAGE}", "container default/web1"}
    assert f"image k8s.io/{IMAGE}" in found.volatile
