"""Where applications keep libraries of their own."""

import pytest

from verdelta_agent.collectors.software import applications, pip
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost


def found(*directories, **more):
    return applications.find(RecordedHost({"directories": list(directories), **more}))


@pytest.mark.parametrize(
    "path",
    [
        "/opt/app/venv/lib/python3.11",
        "/opt/app/.venv/lib64/python3.11",
        "/opt/conda/envs/science/lib/python3.12",
        "/opt/python3.9/lib/python3.9",
        "/opt/pypy/lib/pypy3.10",
        "/root/.local/share/pipx/venvs/black/lib/python3.11",
        "/root/.local/share/uv/tools/ruff/lib/python3.13",
        "/srv/www/site/node_modules",
        "/var/lib/app/releases/2/web/node_modules",
        "/usr/local/lib/node_modules",
        "/opt/puppetlabs/puppet/lib/ruby",
        "/srv/app/vendor/bundle/ruby",
        "/usr/local/share/gems/specifications",
    ],
)
def test_libraries_of_an_application_are_found(path):
    assert found(path) == ([path], [])


@pytest.mark.parametrize(
    "path",
    [
        "/opt/a/b/c/d/e/node_modules",
        "/opt/app/node_modules/inner/node_modules/x",
        "/opt/app/.cache/node_modules",
        "/var/lib/docker/overlay2/1/diff/usr/lib/python3.11",
        "/var/lib/containers/x/lib/python3.11",
        "/home/somebody/venv/lib/python3.11",
        "/opt/python3.9/src",
    ],
)
def test_what_lies_deep_or_in_something_else_is_not(path):
    assert path not in found(path).paths


def test_what_somebody_chose_to_watch_is_searched_too_and_etc_is_not():
    watched = ["/etc", "/data/apps", "/opt/app"]
    paths = ["/data/apps/one/node_modules", "/etc/app/node_modules", "/opt/app/node_modules"]
    assert sorted(found(*paths, watched=watched).paths) == [paths[0], paths[2]]


MOUNT = "36 25 0:32 / {} rw - {} server:/x rw\n"
ROOT = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "autofs"])
@pytest.mark.parametrize("point", ["/opt", "/opt/share", "/opt/share/a"])
def test_no_file_system_of_another_machine_is_entered(kind, point):
    class Watched(RecordedHost):
        def listdir(self, path):
            assert not (path + "/").startswith(point + "/"), "it was looked into"
            return super().listdir(path)

    paths = ["/opt/share/a/node_modules", "/srv/a/node_modules"]
    mountinfo = {"/proc/self/mountinfo": ROOT + MOUNT.format(point, kind)}
    assert applications.find(Watched({"files": mountinfo, "directories": paths})).paths == paths[1:]


def test_a_root_that_is_a_link_to_another_machine_is_not_entered():
    mountinfo = {"/proc/self/mountinfo": ROOT + MOUNT.format("/net", "nfs")}
    paths = ["/net/opt/a/node_modules"]
    assert found(*paths, files=mountinfo, links={"/opt": "net/opt"}).paths == []
    assert found(*paths, links={"/opt": "net/opt"}).paths == ["/opt/a/node_modules"]


def test_all_of_a_machine_may_be_watched_and_still_no_mount_is_entered():
    mountinfo = {"/proc/self/mountinfo": ROOT + MOUNT.format("/opt/share", "nfs")}
    paths = ["/opt/share/a/node_modules", "/home/a/node_modules"]
    assert found(*paths, files=mountinfo, watched=["/"]).paths == paths[1:]


VENV = "/opt/app/venv/lib/python3.11/site-packages"


def environment(version):
    files = {f"{VENV}/flask-{version}.dist-info/METADATA": "", f"{VENV}/flask/__init__.py": ""}
    return {
        "files": {"/opt/app/venv/pyvenv.cfg": "home = /usr/bin\n", **files},
        "links": {"/opt/app/venv/lib64": "lib"},
    }


def test_a_distribution_in_a_virtual_environment_is_a_row_and_its_upgrade_one_change():
    before, after = (collect(RecordedHost(environment(version)), pip.COLLECTOR).rows for version in ("3.0", "3.1"))
    assert before == {f"{VENV}:flask": {"version": "3.0"}}
    assert after == {f"{VENV}:flask": {"version": "3.1"}}


def test_an_environment_that_may_not_be_read_makes_the_section_partial_and_keeps_the_others():
    class Refusing(RecordedHost):
        def listdir(self, path):
            if path.startswith("/srv/app/venv/lib/python3.11/"):
                raise PermissionError(13, "Permission denied", path)
            return super().listdir(path)

    recording = environment("3.0")
    recording["directories"] = ["/srv/app/venv/lib/python3.11/site-packages"]
    section = collect(Refusing(recording), pip.COLLECTOR)
    assert (section.status, list(section.rows)) == ("ok", [f"{VENV}:flask"])
    assert section.error == "partial: not read: /srv/app/venv/lib/python3.11/site-packages (Permission denied)"


def test_metadata_that_cannot_be_read_costs_its_own_row_no_more_than_the_version():
    recording = environment("3.0")
    recording["files"][f"{VENV}/old.egg-info"] = {"error": "EIO"}
    section = collect(RecordedHost(recording), pip.COLLECTOR)
    assert section.rows == {f"{VENV}:flask": {"version": "3.0"}, f"{VENV}:old": {"version": ""}}
    assert section.error == f"not understood: {VENV}/old.egg-info (Input/output error)"
