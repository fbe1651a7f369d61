"""dpkg's status file and journal, whole and broken."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import dpkg
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost


def stanza(name: str, status: str = "install ok installed", **fields: str) -> str:
    lines = [f"Package: {name}", f"Status: {status}"]
    stated = {"Architecture": "amd64", "Source": "", "Version": "1.0", **fields}  # in the order in which dpkg writes
    return "\n".join(lines + [f"{key}: {value}" for key, value in stated.items() if value]) + "\n\n"


def section(status: str, **more: str):
    files = {dpkg.STATUS: status, **{f"{dpkg.UPDATES}/{name[1:]}": text for name, text in more.items()}}
    return collect(RecordedHost({"files": files}), dpkg.COLLECTOR)


def test_an_upgrade_is_one_changed_row():
    before, after = dpkg.parse(stanza("nginx", Version="1.24-1")), dpkg.parse(stanza("nginx", Version="1.26-2"))
    assert list(before) == list(after) == ["nginx:amd64"]
    assert (before["nginx:amd64"]["version"], after["nginx:amd64"]["version"]) == ("1.24-1", "1.26-2")


@pytest.mark.parametrize("state", ["half-installed", "unpacked", "half-configured", "triggers-pending", "config-files"])
def test_a_package_that_is_there_in_part_is_a_row_with_its_state(state):
    assert dpkg.parse(stanza("nginx", f"install reinstreq {state}"))["nginx:amd64"]["state"] == state


def test_a_package_that_dpkg_merely_remembers_is_no_row():
    assert dpkg.parse(stanza("gone", "unknown ok not-installed", Version="")) == {}


def test_a_description_that_speaks_of_states_changes_nothing():
    text = stanza("tool", Description="shows what is\n Status: purge ok not-installed\n or merely not-installed")
    assert dpkg.parse(text)["tool:amd64"]["state"] == "installed"


def test_a_stanza_without_architecture_still_is_a_package():
    assert list(dpkg.parse(stanza("old", Architecture=""))) == ["old:"]


def test_two_architectures_of_one_package_are_two_rows():
    assert sorted(dpkg.parse(stanza("libc6") + stanza("libc6", Architecture="i386"))) == ["libc6:amd64", "libc6:i386"]


def test_bytes_that_are_no_utf_8_are_shown_and_harm_nothing():
    data = stanza("odd", Version="1.0").encode().replace(b"1.0", b"1.0\xff")
    host = RecordedHost({"files": {dpkg.STATUS: {"hex": data.hex()}}})
    assert collect(host, dpkg.COLLECTOR).rows["odd:amd64"]["version"] == "1.0\\xff"


def test_what_an_interrupted_dpkg_left_in_its_journal_overrides_the_status_file():
    read = section(
        stanza("a") + stanza("b") + stanza("c"),
        _0000=stanza("a", "install ok half-configured", Version="2.0"),
        _0001=stanza("b", "unknown ok not-installed", Version=""),
        _0002=stanza("a", Version="2.0"),
    )
    assert {key: (row["version"], row["state"]) for key, row in read.rows.items()} == {
        "a:amd64": ("2.0", "installed"),
        "c:amd64": ("1.0", "installed"),
    }


def test_dpkgs_own_work_in_progress_in_the_journal_is_not_read():
    assert list(section(stanza("a"), **{"_tmp.i": "#padding\n#padd"}).rows) == ["a:amd64"]


def test_a_journal_that_changes_under_the_reader_fails_the_section():
    class AtWork(RecordedHost):
        count = 0

        def listdir(self, path):
            self.count += 1
            return [f"{self.count:04d}"]

        def read_bytes(self, path, limit=0):
            return stanza("a").encode()

    host = AtWork({"files": {dpkg.STATUS: "", f"{dpkg.UPDATES}/0000": ""}})
    assert (collect(host, dpkg.COLLECTOR).status, "at work" in collect(host, dpkg.COLLECTOR).error) == ("failed", True)


def test_an_empty_status_file_beside_files_of_packages_is_a_failure_and_not_all_removed():
    files = {dpkg.STATUS: "", f"{dpkg.INFO}/bash.list": "/."}
    assert collect(RecordedHost({"files": files}), dpkg.COLLECTOR).status == "failed"


def test_dpkg_on_a_host_whose_packages_are_not_its_own_has_no_rows():
    assert section("") == ("ok", {}, {}, None)


@pytest.mark.parametrize(
    "broken",
    ["Package: a\nStatus: install ok\n\n", "Status: install ok installed\nVersion: 1\n\n", "\0\0\0\0", "Package: a"],
)
def test_what_is_no_status_file_fails_the_section(broken):
    assert section(broken).status == "failed"


WHOLE = stanza("a", Source="src (1)") + stanza("b", Version="2:1.0-1") + stanza("c", "hold ok installed")


@given(st.integers(0, len(WHOLE)))
def test_a_status_file_cut_short_never_shows_a_package_as_it_is_not(length):
    try:
        rows = dpkg.parse(WHOLE[:length])
    except ValueError:
        return
    assert rows.items() <= dpkg.parse(WHOLE).items()


@given(st.text())
def test_no_text_at_all_does_more_than_raise_value_error(text):
    with contextlib.suppress(ValueError):
        dpkg.parse(text)
