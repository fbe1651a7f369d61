"""The root filesystems that hosts are cloned from, built once for each recipe and shared by every lab.

In the cache, ${XDG_CACHE_HOME:-~/.cache}/verdelta-lab:
    base-<hash>.tar      what the network is needed for; worth keeping between runs of a build server
    <hash>/debian, rpm   a root filesystem for each family
    <hash>/repository    the package repositories
    <hash>/key           the private key that every host lets in as root and as deploy
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import repository
from .commands import run

SUITE = "bookworm"
INCLUDE = (
    *("python3", "python3-apt", "openssh-server", "openssl", "systemd-sysv", "dbus", "sudo", "snmpd"),
    *("iproute2", "procps", "kmod", "dmidecode", "pciutils"),
    *("rpm", "dnf", "createrepo-c"),
)
LEAVE_OUT = ("man", "locale", "doc", "info")
MASKED = (
    # would reach for mirrors, for disks or for a screen that no host of the lab has
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("e2scrub_reap.service", "getty.target", "systemd-pstore.service"),
)
SOURCES = ("image.py", "packages.py", "repository.py")

SNMP = """\
agentaddress udp:161
rocommunity public
createUser auditor SHA-256 authpass12345 AES privpass12345
rouser auditor authpriv
sysLocation lab
"""

RPM_RELEASE = """\
NAME="Lab RPM Linux"
ID=labrpm
ID_LIKE="rhel centos fedora"
VERSION_ID="9.4"
PRETTY_NAME="Lab RPM Linux 9.4"
"""


@dataclass(frozen=True)
class Image:
    """A finished image in the cache."""

    path: Path

    def root(self, family: str) -> Path:
        return self.path / family

    @property
    def repository(self) -> Path:
        return self.path / "repository"

    @property
    def private_key(self) -> Path:
        return self.path / "key"


def cache() -> Path:
    """The folder that all images live in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "verdelta-lab"


def current() -> Image:
    """The image of the recipe as it is now, whether it has been built or not."""
    digest = hashlib.sha256(_base_name().encode())
    for name in SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    return Image(cache() / digest.hexdigest()[:16])


def ensure(repository_url: str) -> Image:
    """Return the current image; build it first if the cache has none.  One process builds, others wait."""
    image = current()
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(cache() / "lock"):
        if image.path.exists():
            os.utime(image.path)
        else:
            unfinished = image.path.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o755)
            _build(_base(), unfinished, repository_url)
            unfinished.rename(image.path)
            _remove_old()
    return image


def _remove_old() -> None:
    """Recipes change, and an image takes half a gigabyte: drop those that nobody has used for a week."""
    mounts = Path("/proc/self/mounts").read_text()
    for path in (p for p in cache().iterdir() if p.name != "lock"):
        if path.stat().st_mtime < time.time() - 7 * 86400 and str(path) not in mounts:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty_cache() -> None:
    """Remove every image and base.  Only when no lab runs: hosts stand on them."""
    shutil.rmtree(cache(), ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _base_command() -> list[str]:
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEAVE_OUT]
    include = f"--include={','.join(INCLUDE)}"
    return ["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io", *options, include, SUITE]


def _base_name() -> str:
    return f"base-{hashlib.sha256(' '.join(_base_command()).encode()).hexdigest()[:16]}.tar"


def _base() -> Path:
    """The base root filesystem as a tar.  The mirror is mmdebstrap's own choice."""
    tar = cache() / _base_name()
    if not tar.exists():
        unfinished = tar.with_suffix(".unfinished.tar")  # mmdebstrap goes by the last suffix
        run([*_base_command(), unfinished], timeout=1800)
        unfinished.rename(tar)
    os.utime(tar)
    return tar


def _build(base: Path, target: Path, repository_url: str) -> None:
    debian, rpm = target / "debian", target / "rpm"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", target / "key"])
    for root in (debian, rpm):
        root.mkdir(mode=0o755)
        run(["tar", "--extract", "--file", base, "--directory", root])
        _furnish(root, (target / "key.pub").read_text())
    repository.build(rpm, target / "repository")
    _make_debian(debian, target / "repository", repository_url)
    _make_rpm(rpm, target / "repository", repository_url)


def _furnish(root: Path, public_key: str) -> None:
    """What both families have: people, keys, SNMP, and nothing that only one machine may own."""
    run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "deploy"])
    sudoers = root / "etc/sudoers.d/deploy"
    sudoers.write_text("deploy ALL=(ALL) NOPASSWD:ALL\n")
    sudoers.chmod(0o440)
    for home, owner in ((root / "root", 0), (root / "home/deploy", 1000)):
        keys = home / ".ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(public_key)
        keys.chmod(0o600)
        os.chown(keys, owner, owner)
        os.chown(keys.parent, owner, owner)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("UseDNS no\nMaxStartups 100\n")
    (root / "etc/snmp/snmpd.conf").write_text(SNMP)
    for unit in MASKED:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    run(["chroot", root, "systemctl", "--quiet", "set-default", "multi-user.target"])
    (root / "etc/machine-id").write_text("")
    (root / "etc/resolv.conf").write_text("")
    for name in (*root.glob("etc/ssh/ssh_host_*"), root / "var/lib/snmp/snmpd.conf", root / "etc/hostname"):
        name.unlink(missing_ok=True)


def _make_debian(root: Path, packages: Path, url: str) -> None:
    _purge(root, "rpm", "dnf", "createrepo-c")
    shutil.rmtree(root / "etc/rpm", ignore_errors=True)
    _forget_apt_sources(root)
    keyrings = root / "etc/apt/keyrings"
    keyrings.mkdir(exist_ok=True)
    shutil.copy(packages / repository.KEYRING, keyrings)
    source = f"deb [signed-by=/etc/apt/keyrings/{repository.KEYRING}] {url}/deb ./\n"
    (root / "etc/apt/sources.list").write_text(source)


def _make_rpm(root: Path, packages: Path, url: str) -> None:
    """Debian's userland under another manager: rpm and dnf alone, and what they recorded is all there is."""
    _purge(root, "python3-apt", "createrepo-c")
    shutil.rmtree(root / "var/lib/dpkg")
    shutil.rmtree(root / "etc/apt")
    shutil.rmtree(root / "var/cache/apt")
    for tool in (*root.glob("usr/bin/apt*"), *root.glob("usr/bin/dpkg*")):
        tool.unlink()
    (root / "etc/debian_version").unlink()
    (root / "usr/lib/os-release").write_text(RPM_RELEASE)
    (root / "etc/redhat-release").write_text("Red Hat Enterprise Linux release 9.4 (Plow)\n")
    for path, text in {
        "etc/yum.repos.d/lab.repo": f"[lab]\nname=lab\nbaseurl={url}/rpm\nenabled=1\ngpgcheck=0\n",
        "etc/dnf/vars/releasever": "9\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    shutil.copy(next((packages / "rpm").glob("lab-base-*.rpm")), root / "tmp/base.rpm")
    run(["chroot", root, "rpm", "--initdb"])
    run(["chroot", root, "rpm", "--install", "--force-debian", "--nodeps", "/tmp/base.rpm"])
    (root / "tmp/base.rpm").unlink()


def _purge(root: Path, *names: str) -> None:
    command = ["chroot", str(root), "apt-get", "--quiet", "--yes", "purge", "--autoremove", *names]
    run(command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def _forget_apt_sources(root: Path) -> None:
    """No host of the lab may know a mirror: it could not reach one, and would wait for it."""
    lists = (path for path in (root / "var/lib/apt/lists").rglob("*") if path.is_file())  # its folders must stay
    for path in (root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").iterdir(), *lists):
        path.unlink(missing_ok=True)
