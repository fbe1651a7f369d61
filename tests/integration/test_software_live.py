"""What the agent reads of packages and units on this machine, held against the tools that own them."""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.support import rpmdb as write

from verdelta_agent.collectors.software import dpkg, flatpak, gem, npm, pacman, pip, rpm
from verdelta_agent.collectors.software.rpmdb import bdb, read_packages, sqlite
from verdelta_agent.collectors.system import units
from verdelta_agent.gather import collect
from verdelta_agent.host import LocalHost
from verdelta_agent.model import rows_digest
from verdelta_agent.rooted_host import RootedHost


def needs(command: str):
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not installed on this machine")


def said(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", **environment})
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@needs("dpkg-query")
def test_debian_packages_are_those_that_dpkg_query_shows():
    shown = said(
        "dpkg-query", "-W", "-f", "${Package}:${Architecture}\t${Version}\t${db:Status-Status}\t${source:Package}\n"
    )
    expected = {}
    for line in shown.splitlines():
        key, version, state, source = line.split("\t")
        expected[key] = (version, state, source)
    rows = collect(LocalHost(), dpkg.COLLECTOR).rows
    assert {
        key: (row["version"], row["state"], row.get("source", key.partition(":")[0])) for key, row in rows.items()
    } == expected


SPEC = """Name: {name}
Version: {version}
Release: {release}
{epoch}
Summary: {name}
License: none
Vendor: Lab
BuildArch: noarch
%description
{name}
%install
mkdir -p %{{buildroot}}/opt/{name}-{version}
for number in $(seq 200); do echo $number > %{{buildroot}}/opt/{name}-{version}/file-$number; done
%files
/opt/{name}-{version}
"""
PACKAGES = [
    {"name": "labapp", "version": "1.0~rc1", "release": "1.el9", "epoch": "Epoch: 2"},
    {"name": "kernel", "version": "5.9", "release": "1", "epoch": ""},
    {"name": "kernel", "version": "5.10", "release": "1", "epoch": ""},
]


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """A directory with a database that rpm itself wrote, in its sqlite format."""
    top = tmp_path_factory.mktemp("rpm")
    for number, package in enumerate(PACKAGES):
        spec = top / f"{number}.spec"
        spec.write_text(SPEC.format(**package))
        said("rpmbuild", "-bb", "--define", f"_topdir {top}/build", spec, HOME=str(top))
    packages = sorted((top / "build/RPMS/noarch").glob("*.rpm"))
    if shutil.which("gpg") and shutil.which("rpmsign"):
        sign(top, packages[-1])
    directory = top / "var/lib/rpm"
    directory.mkdir(parents=True)
    for package in packages:
        said("rpm", "--dbpath", directory, "-i", "--force", "--justdb", "--nodeps", "--nosignature", package)
    return directory


def sign(top: Path, package: Path) -> None:
    """Sign a package with a key that is thrown away."""
    home = top / "gnupg"
    home.mkdir(mode=0o700)
    said("gpg", "--homedir", home, "--batch", "--passphrase", "", "--quick-gen-key", "lab@example.org", "rsa2048")
    macros = {"_gpg_name": "lab@example.org", "_gpg_path": home, "__gpg": shutil.which("gpg")}
    defined = [part for name, value in macros.items() for part in ("--define", f"{name} {value}")]
    said("rpmsign", *defined, "--addsign", package, HOME=str(top), GNUPGHOME=str(home))
    said("gpgconf", "--homedir", home, "--kill", "gpg-agent")


def query(directory: Path, form: str, *options: str) -> str:
    return said("rpm", *options, "--dbpath", directory, "-qa", "--nosignature", "--qf", form)


def without_keys(rows):
    return {key: {name: value for name, value in row.items() if name != "signed_by"} for key, row in rows.items()}


@needs("rpmbuild")
def test_a_database_that_rpm_wrote_has_the_rows_that_rpm_shows(database):
    rows = rpm.rows(read_packages(str(database / "rpmdb.sqlite"), sqlite.headers))
    assert without_keys(rows) == rpm.rows(rpm.parse(query(database, rpm.COMMAND[-1])))
    assert rows["kernel.noarch"]["other_versions"] == ["5.9-1"]
    assert rows["labapp.noarch"]["version"] == "2:1.0~rc1-1.el9"


@needs("rpmbuild")
@needs("gpg")
@needs("rpmsign")
def test_the_key_that_signed_a_package_is_the_one_that_rpm_shows(database):
    shown = query(database, "%{NAME} %{RSAHEADER:pgpsig}\n")
    (signed,) = (line for line in shown.splitlines() if "Key ID" in line)
    rows = rpm.rows(read_packages(str(database / "rpmdb.sqlite"), sqlite.headers))
    assert [row["signed_by"] for row in rows.values() if "signed_by" in row] == [signed.split()[-1]]


@needs("rpmbuild")
@pytest.mark.parametrize("order", ["<", ">"])
def test_rpm_reads_the_hash_that_the_tests_write_as_the_agent_does(database, tmp_path, order):
    with open(database / "rpmdb.sqlite", "rb", buffering=0) as file:
        headers = list(sqlite.headers(file))
    (tmp_path / "Packages").write_bytes(write.bdb(headers, order, page_size=4096))
    shown = rpm.rows(rpm.parse(query(tmp_path, rpm.COMMAND[-1], "--define", "_db_backend bdb_ro")))
    assert without_keys(rpm.rows(read_packages(str(tmp_path / "Packages"), bdb.headers))) == shown


@needs("rpm")
@pytest.mark.parametrize("one", ["1.0", "1.0~rc1", "1.0^git", "1.0.1", "1.0a", "01.0", "1.a", "2", "10", "1_0"])
def test_versions_compare_as_rpm_compares_them(one):
    others = ["1.0", "1.0~~", "1.0~rc2", "1.0^", "1.0^git~1", "1.0.0", "1.0b", "1.b", "2.0", "9", "A", "1+0"]
    script = "".join(f"print(rpm.vercmp('{one}', '{other}') .. ' ')" for other in others)
    compared = [int(sign) for sign in said("rpm", "--eval", "%{lua:" + script + "}").split()]
    mine = rpm.order_of(one)
    assert [(mine > rpm.order_of(other)) - (mine < rpm.order_of(other)) for other in others] == compared


PYTHON = "/usr/bin/python3"
LIST = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions(path=['%s'])]"


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="this machine has no Python of its own")
def test_python_distributions_are_those_that_the_system_interpreter_finds():
    rows = collect(LocalHost(), pip.COLLECTOR).rows
    for directory in {key.partition(":")[0] for key in rows}:
        found = dict(line.split() for line in said(PYTHON, "-I", "-c", LIST % directory).splitlines())
        expected = {f"{directory}:{pip.parse(f'{name}-1.dist-info').name}": found[name] for name in found}
        read = {key: row["version"] for key, row in rows.items() if key.startswith(f"{directory}:")}
        assert read == expected


def test_distributions_of_a_virtual_environment_are_those_that_its_pip_lists(tmp_path):
    environment = tmp_path / "opt/app/venv"
    environment.parent.mkdir(parents=True)
    made = subprocess.run([PYTHON, "-m", "venv", environment], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no virtual environment can be made here: {made.stdout.strip()[:100]}")
    listed = json.loads(said(environment / "bin/python", "-I", "-m", "pip", "list", "--format", "json"))
    rows = collect(RootedHost(str(tmp_path)), pip.COLLECTOR).rows
    assert {key.rpartition(":")[2]: row["version"] for key, row in rows.items()} == {
        pip.parse(f"{each['name']}-1.dist-info").name: each["version"] for each in listed
    }
    assert all(key.startswith("/opt/app/venv/lib/python3") for key in rows)


class Below(LocalHost):
    """A directory of this machine as another machine's root, without links above the units."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = str(root)

    def lstat(self, path):
        return super().lstat(self.root + path)

    def listdir(self, path):
        return super().listdir(self.root + path)

    def readlink(self, path):
        return super().readlink(self.root + path)

    def resolve(self, path):
        return path

    def read_bytes(self, path, limit=0):
        return super().read_bytes(self.root + path, limit)


def listed(root: Path) -> dict[str, str]:
    """Return the states that systemctl shows, without what is generated or in force until the next start."""
    lines = said("systemctl", f"--root={root}", "list-unit-files", "--no-legend", "--no-pager").splitlines()
    passing = {path.name for path in root.glob("run/systemd/*/*")}
    return {name: state for name, state in (line.split()[:2] for line in lines) if name not in passing}


def states(host: LocalHost) -> dict[str, str]:
    rows = collect(host, units.COLLECTOR).rows
    return {name: row["enabled"] for name, row in rows.items() if "enabled" in row}


@needs("systemctl")
def test_units_have_the_states_that_systemctl_shows():
    assert states(LocalHost()) == listed(Path("/"))


ETC, USR = "etc/systemd/system", "usr/lib/systemd/system"
WANTED = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x.target\n"


@needs("systemctl")
def test_units_that_this_machine_does_not_have_are_judged_as_systemctl_does(tmp_path):
    def unit(place: str, name: str, text: str) -> None:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_text(text)

    def link(place: str, name: str, target: str) -> None:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).symlink_to(target)

    plain = WANTED.partition("[Install]")[0]
    for name, text in {
        "wanted.service": WANTED,
        "required.service": WANTED,
        "disabled.service": WANTED,
        "static.service": plain,
        "static-enabled.service": plain,
        "also.service": plain + "[Install]\nAlso=wanted.service\n",
        "aliased.service": plain + "[Install]\nAlias=other.service\n",
        "unstated.service": WANTED,
        "masked.service": WANTED,
        "empty.service": WANTED,
        "overridden.service": WANTED,
        "extended.service": plain,
        "reset.service": WANTED + "WantedBy=\n",
        "continued.service": plain + "[Install]\nWantedBy=\\\n x.target\n",
        "one@.service": WANTED,
        "default@.service": WANTED + "DefaultInstance=a\n",
        "instance@.service": WANTED,
    }.items():
        unit(USR, name, text)
    for name in ("wanted", "static-enabled", "one@x", "default@a"):
        template = f"{name.partition('@')[0]}@" if "@" in name else name
        link(f"{ETC}/x.target.wants", f"{name}.service", f"/{USR}/{template}.service")
    link(f"{ETC}/y.target.requires", "required.service", f"/{USR}/required.service")
    link(ETC, "other.service", f"/{USR}/aliased.service")
    link(ETC, "unknown.service", f"/{USR}/unstated.service")
    link(ETC, "masked.service", "/dev/null")
    link(ETC, "alias-of-masked.service", "masked.service")
    link(ETC, "instance@b.service", f"/{USR}/instance@.service")
    link(USR, "instance@c.service", "instance@.service")
    link(USR, "nowhere.service", "none.service")
    link(USR, "vendor-alias.service", "static.service")
    unit(ETC, "empty.service", "")
    unit(ETC, "overridden.service", plain)
    unit(f"{ETC}/extended.service.d", "x.conf", "[Install]\nWantedBy=x.target\n")
    unit("opt", "linked.service", WANTED)
    link(ETC, "linked.service", "/opt/linked.service")
    assert states(Below(tmp_path)) == listed(tmp_path)


@pytest.mark.parametrize("collector", [dpkg, rpm, pip, units], ids=lambda module: module.COLLECTOR.name)
def test_this_machine_read_twice_has_the_same_rows(collector):
    one, two = collect(LocalHost(), collector.COLLECTOR), collect(LocalHost(), collector.COLLECTOR)
    assert (one.status, one.error, rows_digest(one.rows)) == (two.status, two.error, rows_digest(two.rows))


COLUMNS = "--columns=ref,origin,active"


def pacman_package(path: Path, name: str, version: str, **more: str) -> None:
    """Write a package as makepkg does: a tar with what is said of it, and its files."""
    stated = {
        "pkgname": name,
        "pkgbase": name,
        "pkgver": version,
        "size": "2",
        "arch": "any",
        "license": "none",
        **more,
    }
    contents = {".PKGINFO": "".join(f"{field} = {value}\n" for field, value in stated.items()), f"opt/{name}": "x\n"}
    with tarfile.open(path, "w") as archive:
        for inside, text in contents.items():
            member = tarfile.TarInfo(inside)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@needs("pacman")
def test_packages_of_arch_are_those_that_pacman_shows(tmp_path):
    database = tmp_path / "var/lib/pacman"
    database.mkdir(parents=True)
    (tmp_path / "pacman.conf").write_text("[options]\nArchitecture = x86_64\nSigLevel = Never\n")
    own = ("--config", tmp_path / "pacman.conf", "--root", tmp_path, "--dbpath", database)
    own += ("--logfile", tmp_path / "log", "--hookdir", tmp_path / "hooks", "--cachedir", tmp_path / "cache")
    for number, (name, version, more, how) in enumerate(
        [
            ("labapp", "2:1.0-1", {"packager": "Lab <lab@example.org>", "pkgbase": "lab"}, "--asexplicit"),
            ("lab-lib", "1.0.r3-1.1", {"pkgdesc": "two\twords"}, "--asdeps"),
            ("labapp", "2:1.1-1", {}, "--asexplicit"),
        ]
    ):
        package = tmp_path / f"{number}.pkg.tar"
        pacman_package(package, name, version, **more)
        said("pacman", *own, "--noconfirm", "--dbonly", how, "-U", package)
    blocks = said("pacman", *own, "-Qi").strip().split("\n\n")
    shown = [dict(re.split(r"\s+: ", line, maxsplit=1) for line in block.splitlines()) for block in blocks]
    read = collect(RootedHost(str(tmp_path)), pacman.COLLECTOR)
    rows = read.rows
    assert read.error is None
    assert {name: (row["version"], row["explicit"], row["architecture"]) for name, row in rows.items()} == {
        each["Name"]: (each["Version"], each["Install Reason"] == "Explicitly installed", each["Architecture"])
        for each in shown
    }
    assert {row["version"] for row in rows.values()} == {"2:1.1-1", "1.0.r3-1.1"}
    assert {tuple(row["validation"]) for row in rows.values()} == {(each["Validated By"].lower(),) for each in shown}


@needs("flatpak")
def test_flatpaks_are_those_that_flatpak_lists(tmp_path):
    metadata = {
        "app": "[Application]\nname=org.lab.App\nruntime=org.lab.Platform/x86_64/1\n",
        "runtime": "[Runtime]\nname=org.lab.Platform\nruntime=org.lab.Platform/x86_64/1\n",
    }
    system = tmp_path / "root/var/lib/flatpak"
    system.mkdir(parents=True)
    own = {"FLATPAK_SYSTEM_DIR": str(system), "FLATPAK_CONFIG_DIR": str(tmp_path / "configuration")}
    own["XDG_DATA_HOME"] = str(tmp_path / "home")
    for kind, text in metadata.items():
        for inside in ("files", "usr", "export"):
            (tmp_path / kind / inside).mkdir(parents=True)
        (tmp_path / kind / "metadata").write_text(text)
        runtime = ["--runtime"] if kind == "runtime" else []
        said("flatpak", "build-export", "--arch=x86_64", *runtime, tmp_path / "repository", tmp_path / kind, "1", **own)
    said("flatpak", "--system", "remote-add", "--no-gpg-verify", "lab", f"file://{tmp_path}/repository", **own)
    install = (
        "flatpak",
        "--system",
        "install",
        "--noninteractive",
        "--no-related",
        "--arch=x86_64",
        "lab",
        "org.lab.App",
    )
    said(*install, **own)
    listed = [line.split("\t") for line in said("flatpak", "--system", "list", COLUMNS, **own).splitlines()]
    read = collect(RootedHost(str(tmp_path / "root")), flatpak.COLLECTOR)
    rows = read.rows
    assert read.error is None
    ours = {(key.partition("/")[2], row["origin"], row["commit"][:12]) for key, row in rows.items()}
    assert ours == {tuple(each) for each in listed}
    assert sorted(rows) == ["app/org.lab.App/x86_64/1", "runtime/org.lab.Platform/x86_64/1"]


@needs("npm")
def test_global_packages_of_node_are_those_that_npm_lists():
    root = said("npm", "root", "--global").strip()
    if root not in npm.FOLDERS:
        pytest.skip(f"npm keeps its packages in {root}")
    listed = json.loads(said("npm", "ls", "--global", "--depth", "0", "--json"))["dependencies"]
    rows = collect(LocalHost(), npm.COLLECTOR).rows
    ours = {key.partition(":")[2]: row["version"] for key, row in rows.items() if key.startswith(root + ":")}
    assert ours == {name: package["version"] for name, package in listed.items()}


@needs("/usr/bin/ruby")
def test_gems_are_those_that_the_systems_ruby_knows():
    program = "Gem::Specification.each { |gem| puts gem.name + ' ' + gem.version.to_s }"
    theirs = {tuple(line.split()) for line in said("/usr/bin/ruby", "-e", program).splitlines()}
    rows = collect(LocalHost(), gem.COLLECTOR).rows
    ours = {(key.rpartition(":")[2], one.partition("-")[0]) for key, row in rows.items() for one in row["versions"]}
    assert theirs <= ours
    assert len(theirs) > 10


@needs("npm")
def test_modules_of_an_application_are_those_that_npm_lists(tmp_path):
    application = tmp_path / "opt/app"
    application.mkdir(parents=True)
    (application / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    packed = []
    for name in ("one", "@lab/two"):
        source = tmp_path / "sources" / name
        source.mkdir(parents=True)
        (source / "package.json").write_text(json.dumps({"name": name, "version": "2.1.0", "license": "MIT"}))
        packed.append(tmp_path / said("npm", "pack", "--silent", "--pack-destination", tmp_path, source).strip())
    npm_here = ("npm", "--prefix", application, "--cache", tmp_path / "cache")
    said(*npm_here, "install", "--offline", "--no-audit", "--no-fund", *packed)
    listed = json.loads(said(*npm_here, "ls", "--json"))["dependencies"]
    rows = collect(RootedHost(str(tmp_path)), npm.COLLECTOR).rows
    assert {key.partition(":")[2]: row["version"] for key, row in rows.items()} == {
        name: package["version"] for name, package in listed.items()
    }
    assert {key.partition(":")[0] for key in rows} == {"/opt/app/node_modules"}


GEM = "Gem::Specification.new { |s| s.name = '%s'; s.version = '%s'; s.summary = s.author = 'lab'; s.files = [] }\n"


@needs("/usr/bin/gem")
def test_gems_of_a_bundle_are_those_that_gem_lists(tmp_path):
    home = tmp_path / "srv/app/vendor/bundle/ruby/3.1.0"
    for name, version in (("lab-app", "1.0"), ("lab-app", "1.10"), ("lab-app", "1.9.beta2"), ("lab2app", "2")):
        (tmp_path / "x.gemspec").write_text(GEM % (name, version))
        package = tmp_path / f"{name}-{version}.gem"
        said("/usr/bin/gem", "build", "--force", "--output", package, tmp_path / "x.gemspec")
        said("/usr/bin/gem", "install", "--local", "--no-document", "--install-dir", home, package)
    printed = said("/usr/bin/gem", "list", "--local", "--all", "^lab", GEM_HOME=str(home), GEM_PATH=str(home))
    named = (line.rstrip(")").split(" (") for line in printed.splitlines())
    listed = {name: set(versions.split(", ")) for name, versions in named}
    rows = collect(RootedHost(str(tmp_path)), gem.COLLECTOR).rows
    assert {key.rpartition(":")[2]: set(row["versions"]) for key, row in rows.items()} == listed
