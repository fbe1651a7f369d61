"""A search that ends soon, and what it finds."""

import os
from pathlib import Path

import pytest

from verdelta_agent import search
from verdelta_agent.host import Host, LocalHost
from verdelta_agent.memory import Memory, Witness, dump, load
from verdelta_agent.recorded_host import RecordedHost
from verdelta_agent.rooted_host import RootedHost

WANTED, CLOSED = r".*/node_modules", r".*/\.[^/]*"


def tree(top: Path, *directories: str) -> Path:
    for directory in directories:
        (top / directory).mkdir(parents=True)
    return top


def recorded(*directories: str) -> RecordedHost:
    return RecordedHost({"directories": list(directories)})


def test_what_is_wanted_is_found_and_neither_it_nor_what_is_closed_is_entered(tmp_path: Path) -> None:
    tree(tmp_path, "opt/a/node_modules/b/node_modules", "opt/c/.git/node_modules", "opt/a/web/node_modules")
    expected = search.Found(["/opt/a/node_modules", "/opt/a/web/node_modules"], [])
    hosts: list[Host] = [
        RootedHost(str(tmp_path)),
        recorded("/opt/a/node_modules/b/node_modules", "/opt/c/.git/node_modules", "/opt/a/web/node_modules"),
    ]
    for host in hosts:
        assert host.find("/opt", WANTED, CLOSED, 5) == expected


def test_depth_counts_the_levels_that_are_listed() -> None:
    host = recorded("/opt/node_modules", "/opt/a/node_modules", "/opt/a/b/node_modules")
    assert [len(host.find("/opt", WANTED, CLOSED, depth).paths) for depth in range(4)] == [0, 1, 2, 3]


def test_no_link_is_followed_but_that_which_is_the_root(tmp_path: Path) -> None:
    tree(tmp_path, "data/app/node_modules", "opt")
    (tmp_path / "opt/link").symlink_to("/data/app")
    (tmp_path / "opt/circle").symlink_to("/opt")
    (tmp_path / "srv").symlink_to("/data")
    host = RootedHost(str(tmp_path))
    assert host.find("/opt", WANTED, CLOSED, 5).paths == []
    assert host.find("/srv", WANTED, CLOSED, 5).paths == ["/srv/app/node_modules"]


def test_a_root_that_is_not_there_or_a_file_has_nothing_below(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("none", "file"):
        assert LocalHost().find(str(tmp_path / name), WANTED, CLOSED, 5) == search.Found([], [])


def test_a_folder_of_very_many_files_is_named_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "ENTRIES", 20)
    tree(tmp_path, "big", "small/node_modules")
    for number in range(21):
        (tmp_path / "big" / str(number)).write_text("")
    found = LocalHost().find(str(tmp_path), WANTED, CLOSED, 5)
    assert found == search.Found([f"{tmp_path}/small/node_modules"], [f"{tmp_path}/big (more than 20 entries)"])


def test_too_many_directories_end_the_search_and_what_lies_near_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "DIRECTORIES", 10)
    host = recorded("/opt/z/node_modules", *(f"/opt/a/{number}/{number}" for number in range(50)))
    found = host.find("/opt", WANTED, CLOSED, 5)
    assert found == search.Found(["/opt/z/node_modules"], ["/opt (more than 10 directories)"])


def test_wide_trees_take_no_more_memory_than_the_search_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "DIRECTORIES", 10)
    asked = []

    def endless(path: str, limit: int) -> list[str]:
        asked.append(path)
        return [str(number) for number in range(limit)]

    found = search.below(endless, "/opt", WANTED, CLOSED, 1000)
    assert (len(asked), found.paths, len(found.unread)) == (10, [], 1)


def test_a_directory_that_may_not_be_read_is_named() -> None:
    def refused(path: str, limit: int) -> list[str]:
        if path == "/opt/b":
            raise PermissionError(13, "Permission denied", path)
        return {"/opt": ["a", "b"], "/opt/a": ["node_modules"]}[path]

    found = search.below(refused, "/opt", WANTED, CLOSED, 2)
    assert found == search.Found(["/opt/a/node_modules"], ["/opt/b (Permission denied)"])


def test_names_that_are_no_utf_8_are_found_and_can_be_remembered(tmp_path: Path) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/\xff/node_modules")
    witness = Witness(LocalHost())
    (path,) = witness.find(str(tmp_path), WANTED, CLOSED, 5).paths
    assert path == f"{tmp_path}/\udcff/node_modules"
    assert witness.answers()


def test_several_sections_share_one_search_and_each_takes_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a/node_modules")
    host, times = LocalHost(), []
    monkeypatch.setattr(os, "scandir", lambda path, scandir=os.scandir: times.append(path) or scandir(path))
    witnesses = [Witness(host), Witness(host)]
    for witness in witnesses:
        witness.find(str(tmp_path), WANTED, CLOSED, 5)
    assert len(times) == 2  # the root and a
    assert witnesses[0].answers() == witnesses[1].answers() == _answers(LocalHost(), str(tmp_path))
    assert load(dump(Memory(), host), host).remembered == {}


def _answers(host: Host, root: str) -> str:
    witness = Witness(host)
    witness.find(root, WANTED, CLOSED, 5)
    return witness.answers()
