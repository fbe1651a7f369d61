"""Build the agent's packages: python -m agent.packaging.build DIRECTORY

A .deb where dpkg-deb is, an .rpm where rpmbuild is; what cannot be built is named.  The same sources make the same
bytes: no file has a time of its own.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

from agent.packaging import manual

import verdelta_agent
from verdelta_controller.fleet.agent_archive import MAIN

HERE = Path(__file__).parent
PACKAGE = Path(verdelta_agent.__file__).parent
LICENCE = HERE.parents[1] / "LICENSE"
SUMMARY = "Inventories this host, signs what it saw, reports it to Verdelta"
EPOCH = 1577836800  # 2020-01-01: of every file in a package
LIBRARY = "usr/lib/verdelta-agent"
UNITS = "usr/lib/systemd/system"
DEFINES = {  # to rpmbuild: no time and no name of this machine, and no byte code of its Python
    "_build_id_links": "none",
    "_buildhost": "localhost",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "__os_install_post": "%{nil}",
}


def tree(root: Path) -> None:
    """Lay the files out as they are to be installed."""
    for path, content in sorted(_files().items()):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755 if path.startswith("usr/bin/") else 0o644)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (EPOCH, EPOCH))


def _files() -> Dict[str, bytes]:
    files = {f"{LIBRARY}/__main__.py": MAIN.encode(), f"{LIBRARY}/compile": (HERE / "compile").read_bytes()}
    for source in PACKAGE.rglob("*.py"):
        files[f"{LIBRARY}/verdelta_agent/{source.relative_to(PACKAGE).as_posix()}"] = source.read_bytes()
    for unit in (PACKAGE / "units").iterdir():
        files[f"{UNITS}/{unit.name}"] = unit.read_bytes().replace(b"@COMMAND@", b"/usr/bin/verdelta-agent")
    files["usr/bin/verdelta-agent"] = (HERE / "verdelta-agent").read_bytes()
    files["usr/share/man/man8/verdelta-agent.8.gz"] = gzip.compress(manual.page().encode(), 9, mtime=0)
    files["usr/share/doc/verdelta-agent/copyright"] = LICENCE.read_bytes()
    return files


def _filled(template: Path, **values: str) -> str:
    text = template.read_text()
    for name, value in {"VERSION": verdelta_agent.__version__, "SUMMARY": SUMMARY, **values}.items():
        text = text.replace(f"@{name}@", value)
    return text


def deb(target: Path) -> Path:
    """Build the Debian package into a directory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        tree(root)
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        control = root / "DEBIAN"
        control.mkdir()
        (control / "control").write_text(_filled(HERE / "deb/control", SIZE=str(size // 1024)))
        for script in ("postinst", "prerm", "postrm"):
            shutil.copy(HERE / "deb" / script, control / script)
            (control / script).chmod(0o755)
        for path in [control, *control.iterdir(), root]:
            os.utime(path, (EPOCH, EPOCH))
        result = target / f"verdelta-agent_{verdelta_agent.__version__}_all.deb"
        _run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(result)])
    return result


def rpm(target: Path) -> Path:
    """Build the rpm package into a directory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        tree(root)
        spec = Path(folder) / "verdelta-agent.spec"
        spec.write_text(_filled(HERE / "rpm/verdelta-agent.spec", FILES="\n".join(_listed(root)), TREE=str(root)))
        command = ["rpmbuild", "-bb", "--quiet", "--target", "noarch-linux"]
        for name, value in {**DEFINES, "_topdir": f"{folder}/work", "_rpmdir": f"{folder}/out"}.items():
            command += ["--define", f"{name} {value}"]
        _run([*command, str(spec)])
        (built,) = Path(folder, "out").rglob("*.rpm")
        return Path(shutil.copy(built, target / built.name))


def _listed(root: Path) -> Iterator[str]:
    """Yield the lines of %files: each file, and the directory that is the package's own."""
    yield f"%dir /{LIBRARY}"
    for path in sorted(root.rglob("*")):
        name = "/" + path.relative_to(root).as_posix()
        if path.is_dir() and name.startswith(f"/{LIBRARY}/"):
            yield f"%dir {name}"
        elif path.is_file():
            yield name


def _run(command: List[str]) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip()}")


def main() -> int:
    """Build what can be built here."""
    if len(sys.argv) != 2:
        print("usage: python -m agent.packaging.build DIRECTORY", file=sys.stderr)
        return 2
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for tool, build in (("dpkg-deb", deb), ("rpmbuild", rpm)):
        if shutil.which(tool):
            print(build(target))
        else:
            print(f"not built: {tool} is not installed here", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
