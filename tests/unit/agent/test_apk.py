"""Packages of Alpine that apk itself takes for broken, and what /etc/apk/world asks for."""

import pytest

from verdelta_agent.collectors.software import apk

TOOL = "P:tool\nV:1.0-r0\nA:x86_64\n{}F:usr/bin\nR:tool\n\n"


def row(more="", world=()):
    return apk.parse(TOOL.format(more), world)["tool"]


@pytest.mark.parametrize(
    ("flags", "broken"),
    [("f", ["files"]), ("sx", ["script", "extended attributes"]), ("fsxS", ["files", "script", "extended attributes"])],
)
def test_a_package_whose_installation_went_wrong_says_what_did(flags, broken):
    assert row(f"f:{flags}\n")["broken"] == broken


def test_a_flag_of_the_checksum_is_no_fault():
    assert row("f:S\n") == row()
    assert "broken" not in row()


def test_files_that_look_like_fields_are_files():
    assert apk.parse("P:tool\nV:1.0-r0\nF:f:\nR:V:9\no:other\n\n", ())["tool"] == row() | {"architecture": ""}


@pytest.mark.parametrize(
    ("word", "asked_for"),
    [("tool", True), ("tool=1.0-r0", True), ("tool~1", True), ("tool>1@edge", True), ("tool@edge", True)]
    + [("!tool", False), ("tools", False), ("so:tool", False), ("cmd:tool", False)],
)
def test_world_asks_for_a_package_by_its_name_whatever_version_it_wants(word, asked_for):
    assert row(world=[word])["explicit"] is asked_for
