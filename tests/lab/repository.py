"""Build the lab's packages and the two repositories that offer them: a signed one for apt, one for dnf."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from .commands import run
from .packages import Package, mode, packages

KEYRING = "lab.gpg"
WORKSHOP = "tmp/workshop"  # below the root filesystem whose rpm tools are used


def build(rpm_root: Path, target: Path) -> None:
    """Leave deb/, rpm/ and the public key of the apt repository in `target`.

    `rpm_root` is a root filesystem with rpmbuild and createrepo_c: so the machine itself needs neither.
    """
    _build_apt(target / "deb")
    _build_dnf(rpm_root, target / "rpm")


def _build_apt(folder: Path) -> None:
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        for package in packages():
            _deb(package, Path(scratch) / package.file_stem, folder)
    index = "\n".join(_index_entry(deb) for deb in sorted(folder.glob("*.deb")))
    (folder / "Packages").write_text(index)
    (folder / "Release").write_text(_release(index.encode()))
    _sign(folder / "Release", folder / "InRelease", folder.parent / KEYRING)


def _deb(package: Package, tree: Path, folder: Path) -> None:
    _lay_out(package, tree)
    control = tree / "DEBIAN"
    control.mkdir()
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": "all",
        "Maintainer": "Lab <lab@example.test>",
        "Depends": ", ".join(package.depends),
        "Description": package.summary,
    }
    (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items() if value))
    if package.configuration:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in package.configuration))
    _script(control / "postinst", package.refuses + package.installed)
    _script(control / "prerm", package.removed and f'[ "$1" = remove ] || exit 0\n{package.removed}')
    run(["dpkg-deb", "--root-owner-group", "--build", tree, folder])


def _lay_out(package: Package, tree: Path) -> None:
    tree.mkdir(parents=True)
    for path, text in package.files.items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode(path))


def _script(path: Path, body: str) -> None:
    if body:
        path.write_text(f"#!/bin/sh\nset -e\n{body}")
        path.chmod(0o755)


def _index_entry(deb: Path) -> str:
    control = run(["dpkg-deb", "--field", deb]).stdout
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    return f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"


def _release(index: bytes) -> str:
    return (
        "Origin: lab\nLabel: lab\nSuite: stable\nCodename: lab\nArchitectures: all amd64 arm64\n"
        f"Date: {formatdate(usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )


def _sign(file: Path, signed: Path, keyring: Path) -> None:
    """Sign with a key that nobody keeps: the repository never changes after it."""
    with tempfile.TemporaryDirectory(prefix="lab-gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        run([*gpg, "--passphrase", "", "--quick-gen-key", "lab@example.test", "ed25519", "sign", "never"])
        run([*gpg, "--output", signed, "--clearsign", file])
        run([*gpg, "--output", keyring, "--export"])
        run(["gpgconf", "--homedir", home, "--kill", "all"])


def _build_dnf(root: Path, folder: Path) -> None:
    workshop = root / WORKSHOP
    workshop.mkdir(parents=True)
    (root / "etc/rpm").mkdir(exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")  # Debian's default is a folder in root's home
    specs = {"lab-base-9.4": BASE_SPEC}
    for package in packages():
        _lay_out(package, workshop / "tree" / package.file_stem)
        specs[package.file_stem] = _spec(package)
    for name, spec in specs.items():
        (workshop / f"{name}.spec").write_text(spec)
    run(["chroot", root, "rpmbuild", "--quiet", "--define", f"_topdir /{WORKSHOP}", "-bb",
         *(f"/{WORKSHOP}/{name}.spec" for name in specs)])  # fmt: skip
    run(["chroot", root, "createrepo_c", "--quiet", f"/{WORKSHOP}/RPMS/noarch"])
    shutil.copytree(workshop / "RPMS/noarch", folder)
    shutil.rmtree(workshop)


BASE_SPEC = """\
Name: lab-base
Version: 9.4
Release: 1
Summary: What the lab's other packages stand on
License: MIT
BuildArch: noarch
Provides: /bin/sh
%description
What the lab's other packages stand on
%files
"""


def _spec(package: Package) -> str:
    head = {
        "Name": package.name,
        "Version": package.version,
        "Release": "1",
        "Summary": package.summary,
        "License": "MIT",
        "BuildArch": "noarch",
        "AutoReqProv": "no",
        "Requires": " ".join(package.depends),
    }
    section: Callable[[str, str], str] = lambda name, body: f"%{name}\n{body}" if body else ""  # noqa: E731
    return "".join((
        *(f"{name}: {value}\n" for name, value in head.items() if value),
        section("description", f"{package.summary}\n"),
        section("install", f"mkdir -p %{{buildroot}}; cp -a /{WORKSHOP}/tree/{package.file_stem}/. %{{buildroot}}/\n"),
        section("pre", package.refuses),
        section("post", package.installed),
        section("preun", package.removed and f'[ "$1" = 0 ] || exit 0\n{package.removed}'),
        "%files\n",
        *(f"{'%config(noreplace) ' if path in package.configuration else ''}{path}\n" for path in package.files),
    ))  # fmt: skip
