"""Python distributions as rows, from the names of their metadata directories."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.collectors.software import pip
from verdelta_agent.gather import collect
from verdelta_agent.recorded_host import RecordedHost

SITE = "/usr/local/lib/python3.11/site-packages"


def section(files=(), **more):
    recorded = {f"{SITE}/{name}": text for name, text in dict(files).items()}
    return collect(RecordedHost({"files": recorded, **more}), pip.COLLECTOR)


@pytest.mark.parametrize(
    ("entry", "name", "version"),
    [
        ("requests-2.31.0.dist-info", "requests", "2.31.0"),
        ("Zope.Interface-5.0.dist-info", "zope-interface", "5.0"),
        ("ruamel.yaml.clib-0.2.7.dist-info", "ruamel-yaml-clib", "0.2.7"),
        ("lazr.uri-1.0.6.egg-info", "lazr-uri", "1.0.6"),
        ("PyYAML-5.1-py3.6-linux-x86_64.egg-info", "pyyaml", "5.1"),
        ("six-1.16.0-py2.7.egg", "six", "1.16.0"),
        ("cryptography.egg-info", "cryptography", ""),
        ("work.egg-link", "work", ""),
    ],
)
def test_a_name_says_which_distribution_it_is(entry, name, version):
    assert pip.parse(entry)[2:] == (name, version)


@pytest.mark.parametrize("entry", ["requests", "six.py", "~equests-2.0.dist-info", ".dist-info", "__pycache__", ""])
def test_what_is_no_metadata_is_no_distribution(entry):
    assert pip.parse(entry) is None


def test_an_upgrade_is_one_changed_row_and_two_interpreters_do_not_collide():
    files = {
        "/usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA": "",
        "/usr/local/lib/python3.11/site-packages/six-1.17.0.dist-info/METADATA": "",
    }
    assert collect(RecordedHost({"files": files}), pip.COLLECTOR).rows == {
        "/usr/lib/python3/dist-packages:six": {"version": "1.16.0"},
        "/usr/local/lib/python3.11/site-packages:six": {"version": "1.17.0"},
    }


def test_a_directory_that_two_paths_lead_to_is_read_once():
    files = {"/usr/lib/python3.9/site-packages/six-1.16.0.dist-info/METADATA": ""}
    read = collect(RecordedHost({"files": files, "links": {"/usr/lib64": "lib"}}), pip.COLLECTOR)
    assert list(read.rows) == ["/usr/lib/python3.9/site-packages:six"]


def test_a_version_that_the_name_does_not_say_comes_from_the_metadata():
    metadata = "Metadata-Version: 2.1\nName: old\nVersion: 1.5\n\nVersion: 9\n"
    assert section({"old.egg-info": metadata}).rows == {f"{SITE}:old": {"version": "1.5"}}
    assert section({"old.egg-info/PKG-INFO": metadata}).rows == {f"{SITE}:old": {"version": "1.5"}}


def test_metadata_left_by_an_upgrade_that_went_wrong_is_seen():
    rows = section({"six-1.16.0.dist-info/METADATA": "", "six-1.15.0.egg-info/PKG-INFO": ""}).rows
    assert rows == {f"{SITE}:six": {"version": "1.16.0", "other_versions": ["1.15.0"]}}


def test_a_working_copy_is_marked_and_says_where_it_is():
    rows = section({"app-1.0.dist-info/direct_url.json": '{"url": "file:///src", "dir_info": {"editable": true}}'}).rows
    assert rows == {f"{SITE}:app": {"version": "1.0", "direct_url": "file:///src", "editable": True}}
    rows = section({"app.egg-link": "/home/somebody/app\n."}).rows
    assert rows == {f"{SITE}:app": {"version": "", "direct_url": "file:///home/somebody/app", "editable": True}}


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ('{"url": "https://u:secret@example.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "1f"}}', "a.git@1f"),
        ('{"url": "https://example.org/a.whl?token=secret", "archive_info": {}}', "a.whl"),
        ('{"url": "https://secret@example.org/a.whl"}', "a.whl"),
    ],
)
def test_a_direct_url_shows_no_credentials(stated, shown):
    row = pip.origin(stated)
    assert row == {"direct_url": f"https://example.org/{shown}"}


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"url": 1}', '{"url": "x", "vcs_info": []}', "[" * 100000])
def test_a_direct_url_that_is_none_makes_the_section_partial_and_keeps_the_row(broken):
    read = section({"app-1.0.dist-info/direct_url.json": broken, "six-1.0.dist-info/METADATA": ""})
    assert (read.status, sorted(read.rows)) == ("ok", [f"{SITE}:app", f"{SITE}:six"])
    assert read.error.startswith(f"not understood: {SITE}/app-1.0.dist-info (no direct URL")


def test_a_file_in_place_of_a_metadata_directory_harms_nothing():
    assert section({"odd-1.0.dist-info": "", "six-1.0.dist-info/METADATA": ""}).status == "ok"


def test_a_host_without_python_is_absent_and_one_without_distributions_has_no_rows():
    assert collect(RecordedHost({}), pip.COLLECTOR).status == "absent"
    assert section(directories=[SITE]) == ("ok", {}, {}, None)


@given(st.lists(st.text(max_size=30)))
def test_no_names_at_all_crash_anything(entries):
    for distributions in pip.by_name(entries).values():
        assert all(distribution.entry in entries for distribution in distributions)


@given(st.text())
def test_no_text_at_all_is_more_than_a_value_error(text):
    with contextlib.suppress(ValueError):
        pip.origin(text)
