"""Runs container engines for tests, each with a store of its own below a directory, out of reach of this machine.

Nothing that they do touches this machine: mounts, processes and the network are their own (dockerd, for one, switches
forwarding on), containers are made and never started, and images come from a file that is made here.
"""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
BEGIN = """
set -eu
directory=$1
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
ip link set lo up
"""

DOCKER = """
dockerd --data-root "$directory/var/lib/docker" --exec-root /run/exec --host unix:///run/d.sock --pidfile /run/d.pid \\
    --bridge=none --iptables=false --storage-driver=vfs >"$directory/daemon.log" 2>&1 &
export DOCKER_HOST=unix:///run/d.sock
for _ in $(seq 100); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
name=registry.example/team/base
docker import -c 'CMD ["/bin/true"]' -c 'ENV A=hunter2' "$directory/base.tar" $name:1.0 >/dev/null
docker tag $name:1.0 $name:latest
docker import -c 'ENTRYPOINT ["/bin/other"]' "$directory/base.tar" >/dev/null
docker volume create data >/dev/null
docker create --name web -p 127.0.0.1:8080:80 -p 443:443/udp -v data:/data -v /etc/hosts:/etc/hosts:ro \\
    --tmpfs /scratch -e TOKEN=hunter2 --restart unless-stopped --user 1000:1000 --label a=hunter2 \\
    --label com.docker.compose.project=shop --cap-add NET_ADMIN --device /dev/null \\
    $name:1.0 /bin/true --key hunter2 >/dev/null
docker create --name tool --privileged --network none --pid host --restart on-failure:3 $name:latest >/dev/null
docker create --name passing --rm $name:1.0 >/dev/null
docker image inspect $(docker images --all --quiet | sort -u) >"$directory/images.json"
docker inspect $(docker ps --all --quiet) >"$directory/containers.json"
kill "$(cat /run/d.pid)"
"""

PODMAN = """
export CONTAINERS_STORAGE_CONF="$directory/storage.conf" CONTAINERS_CONF="$directory/containers.conf"
cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "vfs"
graphroot = "$directory/var/lib/containers/storage"
runroot = "/run/podman"
EOF
cat >"$CONTAINERS_CONF" <<EOF
[engine]
cgroup_manager = "cgroupfs"
tmp_dir = "/run/libpod"
[network]
network_config_dir = "/run/networks"
EOF
name=registry.example/team/base
podman import --quiet -c 'CMD ["/bin/true"]' -c 'ENV A=hunter2' "$directory/base.tar" $name:1.0 >/dev/null
podman tag $name:1.0 $name:latest
podman import --quiet -c 'ENTRYPOINT ["/bin/other"]' "$directory/base.tar" >/dev/null
podman volume create data >/dev/null
podman create --name web -p 127.0.0.1:8080:80 -p 443:443/udp -v data:/data -v /etc/hosts:/etc/hosts:ro \\
    --tmpfs /scratch -e TOKEN=hunter2 --restart unless-stopped --user 1000:1000 --label a=hunter2 \\
    --label com.docker.compose.project=shop --cap-add NET_ADMIN $name:1.0 /bin/true --key hunter2 >/dev/null
podman create --name tool --privileged --network none --pid host --restart on-failure:3 $name:latest >/dev/null
podman create --name hosted --network host $name:latest >/dev/null
podman create --name passing --rm $name:1.0 >/dev/null
podman image inspect $(podman images --all --quiet | sort -u) >"$directory/images.json"
podman inspect $(podman ps --all --quiet) >"$directory/containers.json"
"""

CONTAINERD = """
cat >"$directory/config.toml" <<EOF
version = 2
root = "$directory/var/lib/containerd"
state = "/run/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/c.sock"
EOF
containerd --config "$directory/config.toml" >"$directory/daemon.log" 2>&1 &
daemon=$!
export CONTAINERD_ADDRESS=/run/c.sock
for _ in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep 0.2; done
name=registry.example/team/base
for namespace in default k8s.io; do
    ctr --namespace $namespace images import --snapshotter native "$directory/image.tar" >/dev/null
    ctr --namespace $namespace images tag $name:1.0 $name:latest >/dev/null
    ctr --namespace $namespace containers create --snapshotter native $name:latest pod-$namespace
done
ctr images label $name:1.0 a=hunter2 >/dev/null
ctr containers create --snapshotter native --env TOKEN=hunter2 --label a=hunter2 --net-host \\
    --label com.docker.compose.project=shop --mount type=bind,src=/etc/fstab,dst=/etc/fstab,options=rbind:ro \\
    $name:1.0 web /bin/true --key hunter2
ctr containers create --snapshotter native --privileged $name:latest tool
for number in $(seq 60); do ctr images tag $name:1.0 $name:$number >/dev/null; done
for number in $(seq 2 50); do ctr images remove $name:$number >/dev/null; done
ctr images list >"$directory/images.txt"
for container in web tool pod-default; do ctr containers info $container >"$directory/$container.json"; done
kill $daemon
"""


def run(engine: str, script: str, directory: Path) -> None:
    """Run a script that fills a store below `directory`.  Skips the test, with the reason, where it cannot run here."""
    if shutil.which(engine, path=PATH) is None:
        pytest.skip(f"{engine} is not installed")
    _base(directory / "base.tar")
    _image(directory / "image.tar", "registry.example/team/base:1.0")
    isolated = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("there are no namespaces to be had here: not root, or not allowed")
    command = [*isolated, "sh", "-c", BEGIN + script, "sh", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={"PATH": PATH})
    log = directory / "daemon.log"
    assert done.returncode == 0, done.stderr[-2000:] + (log.read_text()[-2000:] if log.exists() else "")


def said(directory: Path, name: str) -> Any:
    """Return what an engine said of its store, in JSON."""
    return json.loads((directory / name).read_text())


def _image(path: Path, name: str) -> None:
    """Write the archive of an image that `docker save` would write, with one empty layer."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": platform.machine().replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {"Cmd": ["/bin/true"], "Env": ["A=hunter2"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    members = {"layer.tar": layer.getvalue()}
    members |= {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _base(path: Path) -> None:
    """Write what an image is made of: one file."""
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("bin/true")
        member.size, member.mode = 4, 0o755
        archive.addfile(member, io.BytesIO(b"true"))
