"""What a rehearsal was observed to change becomes lines that can be accepted as they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.delta import Change
from verdelta_controller.releases.expectations import Expectation
from verdelta_controller.releases.rehearsed import Observed, class_of, propose

DEBIAN = {"id": "debian", "version_id": "12"}
ROCKY = {"id": "rocky", "version_id": "9.4"}
PACKAGE = "software.dpkg"


def observed(host: str, *changes: Change, os_row: dict[str, str] | None = None) -> Observed:
    row = DEBIAN if os_row is None else os_row
    return Observed(host, class_of(row), changes, row)


def upgrade(version: str, **more: Any) -> Change:
    return Change(PACKAGE, "labapp:all", {"version": "1.0", "hold": False}, {"version": version, "hold": False, **more})


def declared(after: Any, key: str = "labapp:*") -> Expectation:
    return Expectation(section=PACKAGE, key=key, after=after)


def test_a_line_names_the_fields_that_changed_and_no_others():
    (line,) = propose([observed("h1", upgrade("1.1"))], [])
    assert line.expectation.document() == {
        "section": PACKAGE,
        "key": "labapp:all",
        "after": {"version": "1.1"},
        "on": {"id": "debian", "version_id": "12"},
    }
    assert not line.declared and "not declared" in line.note


def test_what_the_manifest_declares_loosely_stays_as_loose():
    given_range = {"version": {"at_least": "1.1", "at_most": "1.9"}}
    (line,) = propose([observed("h1", upgrade("1.1"))], [declared(given_range)])
    assert line.expectation.document()["after"] == given_range
    assert line.declared and line.note == ""


def test_a_value_that_differs_from_host_to_host_is_any():
    lines = propose([observed("h1", upgrade("1.1", origin="a")), observed("h2", upgrade("1.1", origin="b"))], [])
    assert [line.expectation.document()["after"] for line in lines] == [{"origin": "any", "version": "1.1"}]


def test_digests_and_ids_are_any_from_the_beginning():
    made = Change("system.files", "/etc/x", None, {"kind": "file", "digest": "a" * 64, "uid": 105})
    (line,) = propose([observed("h1", made)], [])
    assert line.expectation.document()["after"] == {"digest": "any", "kind": "file", "uid": "any"}


def test_a_row_that_is_gone_is_absent_and_one_that_is_gone_on_some_hosts_is_a_persons_to_say():
    gone = Change(PACKAGE, "old:all", {"version": "1"}, None)
    kept = Change(PACKAGE, "old:all", {"version": "1"}, {"version": "2"})
    assert propose([observed("h1", gone)], [])[0].expectation.after == "absent"
    assert propose([observed("h1", gone), observed("h2", kept)], [])[0].expectation.after == "any"


def test_a_field_that_is_gone_is_any_since_its_absence_has_no_value():
    before, after = {"version": "1", "hold": True}, {"version": "1"}
    (line,) = propose([observed("h1", Change(PACKAGE, "x", before, after))], [])
    assert line.expectation.document()["after"] == {"hold": "any"}


def test_classes_of_hosts_are_kept_apart_and_each_is_named():
    lines = propose([observed("h1", upgrade("1.1")), observed("h4", upgrade("1.1-1"), os_row=ROCKY)], [])
    assert [(line.host_class, line.expectation.document()["after"]) for line in lines] == [
        ("debian 12", {"version": "1.1"}),
        ("rocky 9.4", {"version": "1.1-1"}),
    ]


def test_what_was_seen_on_some_hosts_only_says_so():
    (line,) = propose([observed("h1", upgrade("1.1")), observed("h2")], [declared("any")])
    assert line.hosts == ("h1",) and line.of == 2 and line.note == "on 1 of 2 hosts"


VALUES = st.one_of(st.text(max_size=5), st.integers(0, 9), st.booleans(), st.none(), st.lists(st.integers(0, 3)))
ROWS = st.dictionaries(st.sampled_from(("version", "hold", "digest", "origin")), VALUES, min_size=1)
CHANGES = st.builds(
    lambda before, after: Change(PACKAGE, "x:all", before, after), st.none() | ROWS, st.none() | ROWS
).filter(lambda change: change.before != change.after)


@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_every_host_of_the_rehearsal_is_as_its_own_lines_say(changes: list[Change]):
    hosts = [observed(f"h{number}", change) for number, change in enumerate(changes)]
    lines = propose(hosts, [])
    for host in hosts:
        for change in host.changes:
            covering = [line.expectation for line in lines if line.expectation.covers(change.section, change.key)]
            assert covering
            assert all(not expectation.mismatches(change.after) for expectation in covering)
            touched = {*(change.before or {}), *(change.after or {})}
            differing = {n for n in touched if (change.before or {}).get(n) != (change.after or {}).get(n)}
            if change.before is not None and change.after is not None:
                assert all(expectation.authorises(name) for expectation in covering for name in differing)


def test_a_host_whose_system_is_not_known_is_a_class_of_its_own():
    assert class_of(None).name == "unknown"
    with pytest.raises(StopIteration):
        next(iter(class_of({}).on))
