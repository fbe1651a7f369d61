"""Runs container engines for tests, each with a store of its own below a directory, out of reach of this machine.

Nothing that they do touches this machine: mounts, processes and the network are their own (dockerd, for one, switches
forwarding on), containers are made and never started, and images come from a file that is made here.
"""

import io
import json
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


def run(engine: str, script: str, directory: Path) -> None:
    """Run a script that fills a store below `directory`.  Skips the test, with the reason, where it cannot run here."""
    if shutil.which(engine, path=PATH) is None:
        pytest.skip(f"{engine} is not installed")
    _base(directory / "base.tar")
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


def _base(path: Path) -> None:
    """Write what an image is made of: one file."""
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("bin/true")
        member.size, member.mode = 4, 0o755
        archive.addfile(member, io.BytesIO(b"true"))
