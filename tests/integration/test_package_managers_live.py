"""Package managers beside the system's own, at work in a directory of their own: the agent shows what they show."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from verdelta_agent.collectors.software import flatpak, pacman
from verdelta_agent.gather import collect
from verdelta_agent.rooted_host import RootedHost


def needs(command: str):
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not installed on this machine")


def said(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", **environment})
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def packed(folder: Path, name: str, version: str, base: str) -> Path:
    """Return a package of pacman's without files."""
    (folder / ".PKGINFO").write_text(
        f"pkgname = {name}\npkgbase = {base}\npkgver = {version}\npkgdesc = {name}\nurl = https://example.org\n"
        "builddate = 1\npackager = lab\nsize = 1\narch = any\nlicense = none\n"
    )
    package = folder / f"{name}-{version}-any.pkg.tar"
    with tarfile.open(package, "w") as archive:
        archive.add(folder / ".PKGINFO", ".PKGINFO")
    return package


@needs("pacman")
@pytest.mark.skipif(os.geteuid() != 0, reason="pacman installs as root alone")
def test_packages_of_pacman_are_those_that_pacman_lists(tmp_path):
    root = tmp_path / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    at = ("--root", root, "--dbpath", root / "var/lib/pacman", "--config", "/dev/null")
    install = ("pacman", *at, "--noconfirm", "--noscriptlet", "-U")
    said(*install, packed(tmp_path, "labapp", "2:1.0-1", "labsuite"))
    said(*install, "--asdeps", packed(tmp_path, "lib-lab", "1.0rc1-3", "lib-lab"))
    said(*install, packed(tmp_path, "labapp", "2:1.1-1", "labsuite"))
    read = collect(RootedHost(str(root)), pacman.COLLECTOR)
    assert read.error is None
    rows = {name: (row["version"], row["explicit"], row["architecture"]) for name, row in read.rows.items()}
    listed = dict(line.split() for line in said("pacman", *at, "-Q").splitlines())
    explicit = said("pacman", *at, "-Qqe").split()
    assert rows == {name: (version, name in explicit, "any") for name, version in listed.items()}
    assert rows["labapp"] == ("2:1.1-1", True, "any")


PLATFORM = "runtime=org.example.Platform/x86_64/1.0\nsdk=org.example.Platform/x86_64/1.0\n"
COLUMNS = "ref,origin,active"


@needs("flatpak")
@pytest.mark.skipif(os.geteuid() != 0, reason="what is installed for all is installed by root alone")
def test_flatpaks_are_those_that_flatpak_lists(tmp_path):
    system = tmp_path / "root/var/lib/flatpak"
    for kind, text in (
        ("runtime", "[Runtime]\nname=org.example.Platform\n"),
        ("app", "[Application]\nname=org.example.A\n"),
    ):
        for inside in ("files", "usr", "export"):
            (tmp_path / kind / inside).mkdir(parents=True)
        (tmp_path / kind / "metadata").write_text(text + PLATFORM)
    system.mkdir(parents=True)
    own = {"FLATPAK_SYSTEM_DIR": str(system), "HOME": str(tmp_path)}
    repository = tmp_path / "repository"
    said("flatpak", "build-export", "--disable-sandbox", "--runtime", repository, tmp_path / "runtime", "1.0", **own)
    said("flatpak", "build-export", "--disable-sandbox", repository, tmp_path / "app", "stable", **own)
    said("flatpak", "--system", "remote-add", "--no-gpg-verify", "lab", repository, **own)
    said("flatpak", "--system", "install", "--noninteractive", "lab", "org.example.A//stable", **own)
    read = collect(RootedHost(str(tmp_path / "root")), flatpak.COLLECTOR)
    assert read.error is None
    listed = said("flatpak", "--system", "list", f"--columns={COLUMNS}", **own).splitlines()
    rows = {  # flatpak shows the beginning of a commit, and does not say of which kind a ref is
        (key.partition("/")[2], row["origin"], row["commit"][:12]) for key, row in read.rows.items()
    }
    assert rows == {tuple(line.split("\t")) for line in listed}
    assert len(rows) == 2
