"""Package managers beside dpkg, rpm and pip: keys outlive an upgrade, and nothing is taken for removed that is not."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import apk, flatpak, gem, npm, pacman, snap
from verdelta_agent.gather import collect
from verdelta_agent.host import LIMIT
from verdelta_agent.model import ABSENT, FAILED, OK, Section, canonical
from verdelta_agent.recorded_host import RecordedHost

APK = "P:musl\nV:{}\nA:x86_64\no:musl\nF:lib\nR:P:notthis\n\nP:zlib\nV:1.3\nA:x86_64\n\n"
DESC = "%NAME%\nbash\n\n%VERSION%\n{}\n\n%ARCH%\nx86_64\n\n"


def section(module: Any, files: dict[str, Any], **more: Any) -> Section:
    return collect(RecordedHost({"files": files, **more}), module.COLLECTOR)


@pytest.mark.parametrize(
    ("module", "path", "text"),
    [
        (apk, "/lib/apk/db/installed", APK),
        (pacman, "/var/lib/pacman/local/bash-{}/desc", DESC),
        (gem, "/var/lib/gems/3.1.0/specifications/rake-{}.gemspec", ""),
        (npm, "/usr/lib/node_modules/npm/package.json", '{{"version": "{}"}}'),
    ],
)
def test_an_upgrade_is_one_changed_row(module: Any, path: str, text: str) -> None:
    before, after = (section(module, {path.format(v): text.format(v)}).rows for v in ("1.2.4-r0", "1.2.5-r1"))
    assert set(before) == set(after)
    assert len([key for key in before if before[key] != after[key]]) == 1


def test_a_database_of_apk_that_is_cut_short_is_failed_and_never_fewer_packages() -> None:
    whole = APK.format("1.2")
    for length in range(1, len(whole)):
        cut = whole[:length]
        found = section(apk, {"/lib/apk/db/installed": cut})
        assert found.status == FAILED or cut.endswith("\n")
        assert found.status == FAILED or len(found.rows) == sum(line[:2] == "V:" for line in cut.split("\n"))


def test_an_entry_of_pacman_that_is_half_written_is_named_and_the_others_stand() -> None:
    local = "/var/lib/pacman/local"
    files = {f"{local}/bash-5-1/desc": DESC.format("5-1"), f"{local}/vim-9-1/desc": "%NAME%\nvim\n", f"{local}/odd": ""}
    found = section(pacman, files)
    assert (found.status, set(found.rows)) == (OK, {"bash", "vim"})
    assert found.rows["vim"] == {"version": "9-1", "incomplete": True}  # by its directory: it is not taken for removed
    assert found.error == "partial: not read: odd (no package's name), vim-9-1 (half written)"


def test_an_entry_of_pacman_that_is_cut_short_is_never_taken_for_one_that_somebody_asked_for() -> None:
    desc = "%NAME%\nbash\n\n%VERSION%\n5-1\n\n%ARCH%\nx86_64\n\n%REASON%\n1\n\n%VALIDATION%\npgp\n\n"
    whole = pacman.parse(desc, "bash", "5-1")
    assert whole == {"version": "5-1", "architecture": "x86_64", "explicit": False, "validation": ["pgp"]}
    for length in range(desc.index("1\n\n%VALID")):
        if not desc[:length].endswith("\n\n"):
            with pytest.raises(ValueError, match="cut short"):
                pacman.parse(desc[:length], "bash", "5-1")


def test_what_an_interrupted_upgrade_of_pacman_left_is_one_row_of_the_version_that_is_whole() -> None:
    local = "/var/lib/pacman/local"
    for whole, left in (("5-1", "5-2"), ("5-2", "5-1")):
        found = section(pacman, {f"{local}/bash-{whole}/desc": DESC.format(whole), f"{local}/bash-{left}/desc": ""})
        assert (found.rows["bash"]["version"], found.rows["bash"]["other_versions"]) == (whole, [left])
        assert "incomplete" not in found.rows["bash"]
        assert found.error == f"partial: not read: bash-{left} (half written)"


def test_what_snapd_keeps_secret_is_not_shown_and_what_is_no_state_fails() -> None:
    state = '{"data": {"auth": {"macaroon": "s3cret"}, "snaps": {"a": {"current": "7", "sequence": []}}}}'
    found = section(snap, {"/var/lib/snapd/state.json": state})
    assert found.rows["a"]["revision"] == "7"
    assert b"s3cret" not in canonical(found.rows)
    for damaged in ("", "[]", '{"data": {"snaps": {"a": {}}}}', '{"data": {"snaps": [1]}}', "[" * 100000):
        assert section(snap, {"/var/lib/snapd/state.json": damaged}).status == FAILED


def test_hosts_without_them_are_absent() -> None:
    for module in (apk, pacman, snap, flatpak, npm, gem):
        assert section(module, {}).status == ABSENT


@given(st.text(alphabet="PVAo:F%NAME\n 1.-", max_size=200))
def test_whatever_stands_in_a_database_is_read_or_failed(text: str) -> None:
    for module, path in ((apk, "/lib/apk/db/installed"), (pacman, "/var/lib/pacman/local/x-1-1/desc")):
        found = section(module, {path: text})
        assert found.status in (OK, FAILED)
        assert canonical(found.rows)


@given(st.binary(max_size=60))
def test_whatever_bytes_a_package_json_holds(content: bytes) -> None:
    found = section(npm, {"/usr/lib/node_modules/x/package.json": {"hex": content.hex()}})
    assert found.status == OK


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("rake-13.0.6.gemspec", ("rake", "13.0.6")),
        ("nokogiri-1.16.5-x86_64-linux.gemspec", ("nokogiri", "1.16.5-x86_64-linux")),
        ("net-http-persistent-4.0.2.gemspec", ("net-http-persistent", "4.0.2")),
        ("rails-7.1.0.beta1.gemspec", ("rails", "7.1.0.beta1")),
        ("README", None),
        ("rake.gemspec", None),
    ],
)
def test_a_gems_name_and_version_are_told_from_its_file(name: str, parsed: Any) -> None:
    assert gem.parse(name) == parsed


def test_what_world_says_of_a_package_of_alpine_and_what_is_broken_of_it_are_shown() -> None:
    installed = "P:a\nV:1\n\nP:b\nV:1\ns:edge\nf:fsS\nF:etc\nf:x\n\nP:c\nV:1\nf:S\n\nP:d\nV:1\n\n"
    rows = apk.parse(installed, ["a", "b@edge<2", "!d", "c~1.0"])
    assert rows["a"] == {"version": "1", "architecture": "", "explicit": True}
    assert (rows["b"]["constraint"], rows["b"]["tag"], rows["b"]["broken"]) == (
        "b@edge<2",
        "edge",
        ["files", "script"],
    )
    assert (rows["c"]["constraint"], "broken" in rows["c"]) == ("c~1.0", False)
    assert not rows["d"]["explicit"]


SNAP = '{"data": {"snaps": {"lxd": {"current": "7", "sequence": [{"revision": "7"}], "active": true}}}}'
ROOT = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


@pytest.mark.parametrize("stated", ["6.1", "'6.1'", '"6.1"', " 6.1 "])
def test_the_version_of_a_snap_comes_from_its_image(stated: str) -> None:
    described = f"name: lxd\nsummary: |\n  version: 9\nversion: {stated}\napps:\n  version: 8\n"
    for mountinfo in ("", ROOT + "40 25 7:1 / /snap/lxd/7 ro - squashfs /dev/loop1 ro\n"):
        files = {"/var/lib/snapd/state.json": SNAP, "/snap/lxd/7/meta/snap.yaml": described}
        files["/proc/self/mountinfo"] = mountinfo
        assert section(snap, files).rows["lxd"]["version"] == "6.1"


def test_the_image_of_a_snap_that_a_program_serves_is_not_touched() -> None:
    class Watched(RecordedHost):
        def read_bytes(self, path: str, limit: int = LIMIT) -> bytes:
            assert not path.startswith("/snap/lxd/")
            return super().read_bytes(path, limit)

    files = {"/var/lib/snapd/state.json": SNAP, "/snap/lxd/7/meta/snap.yaml": "version: 6.1\n"}
    files["/proc/self/mountinfo"] = ROOT + "40 25 0:70 / /snap/lxd/7 ro - fuse.squashfuse squashfuse ro\n"
    found = collect(Watched({"files": files}), snap.COLLECTOR)
    assert (found.status, found.rows["lxd"]["revision"]) == (OK, "7")
    assert found.error == "versions: not read: /snap/lxd/7 (fuse.squashfuse)"
    assert "version" not in found.rows["lxd"]


EXTRA = '# more\n[Other]\nPath=/no\n[Installation "extra"]\nPath=/data/flatpak/\nDisplayName=Extra\n'


def test_flatpaks_of_a_further_installation_go_by_its_name_and_say_where_they_came_from() -> None:
    files = {
        "/etc/flatpak/installations.d/extra.conf": EXTRA,
        "/data/flatpak/app/org.lab.App/x86_64/1/abc/deploy": {"hex": (b"lab\0" + b"ab" * 32 + b"\0\1\2\xff").hex()},
    }
    links = {"/data/flatpak/app/org.lab.App/x86_64/1/active": "abc"}
    links["/data/flatpak/app/org.lab.App/current"] = "x86_64/1"
    found = section(flatpak, files, links=links)
    assert found.rows == {"extra:app/org.lab.App/x86_64/1": {"commit": "abc", "origin": "lab"}}
    assert found.error is None
    files["/proc/self/mountinfo"] = ROOT + "40 25 0:70 / /data rw - nfs4 server:/data rw\n"
    found = section(flatpak, files, links=links)
    assert (found.rows, found.error) == ({}, "partial: not read: /data/flatpak (on nfs4)")


@given(st.binary(max_size=80), st.text(max_size=80))
def test_whatever_flatpak_finds_in_its_files(deploy: bytes, text: str) -> None:
    with contextlib.suppress(ValueError):
        assert canonical(flatpak.parse(deploy))
    assert all(path.startswith("/") or not path for path in flatpak.parse_installations(text).values())
