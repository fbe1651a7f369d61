"""What version runs where: what audits saw, never what records say, and never more than was read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_agent.model import ABSENT, FAILED, OK, Digested
from verdelta_controller.releases import matrix as rules
from verdelta_controller.releases.matrix import NAMES, Component, Finding, HostSeen, Proof, State

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LABAPP = Component("deb", "labapp")
RPM = Component("rpm", "labapp")


def seen(status: str = OK, digest: str = "", error: str | None = None, section: str = "software.dpkg") -> Any:
    """Return the sections of a host: this one, and no other was ever reported."""
    return tuple(Digested(status, digest, error) if name == section else None for name in NAMES)


CONTENTS = {"one": {LABAPP: ("1.0",)}, "two": {LABAPP: ("1.1",)}, "none": {}, "rpm": {RPM: ("1.1-3.el9",)}}


# -- versions in rows


@pytest.mark.parametrize(
    ("section", "rows", "component", "versions"),
    [
        ("software.dpkg", {"labapp:all": {"version": "1.1", "state": "installed"}}, LABAPP, ("1.1",)),
        ("software.dpkg", {"labapp:all": {"version": "1.1", "state": "config-files"}}, LABAPP, None),
        ("software.dpkg", {"labapp:a": {"version": "1", "state": "half-installed"}}, LABAPP, ("1 (half-installed)",)),
        ("software.dpkg", {"labapp:a": {"version": "1", "state": "triggers-pending"}}, LABAPP, ("1",)),
        (
            "software.dpkg",
            {"labapp:amd64": {"version": "2"}, "labapp:i386": {"version": "1"}, "labapp-doc:all": {"version": "9"}},
            LABAPP,
            ("1", "2"),
        ),
        ("software.rpm", {"labapp.noarch": {"version": "2-1", "other_versions": ["1-1"]}}, RPM, ("1-1", "2-1")),
        (
            "software.rpm",
            {"python3.11.x86_64": {"version": "3.11-1"}},
            Component("rpm", "python3.11"),
            ("3.11-1",),
        ),
        (
            "software.pip",
            {"/a:x/lib:lab-app": {"version": "1"}, "/b:lab-app": {"version": ""}},
            Component("pip", "lab-app"),
            ("1", "unstated"),
        ),
        ("software.pip", {"/a:other": {"version": "1"}}, Component("pip", "lab-app"), None),
    ],
)
def test_versions_are_read_by_the_names_that_the_managers_give(section, rows, component, versions):
    found = rules.versions_in(section, rows, [component, Component("deb", "something-else")])
    assert found == ({component: versions} if versions else {})


@given(
    st.dictionaries(st.text(), st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.lists(st.text())))
)
def test_whatever_a_host_says_is_read(rows):
    for section in NAMES:
        rules.versions_in(section, rows, [LABAPP, RPM, Component("pip", "x")])


# -- one component on one host


@pytest.mark.parametrize(
    ("sections", "state"),
    [
        ((), State.UNKNOWN),  # never audited
        (seen(section="software.pip"), State.UNKNOWN),  # the agent does not report this section
        (seen(FAILED), State.UNKNOWN),
        (seen(OK, "lost"), State.UNKNOWN),  # its rows are not there
        (seen(OK, "none", "partial: not read: /opt"), State.UNKNOWN),
        (seen(OK, "none"), State.NOT_THERE),
        (seen(ABSENT, "none"), State.NOT_APPLICABLE),
        (seen(OK, "one", "partial: not read: /opt"), State.FOUND),
    ],
)
def test_what_could_not_be_read_is_unknown_and_never_not_there(sections, state):
    said = rules.finding(LABAPP, sections, CONTENTS, "")
    assert said.state is state
    assert said.versions == (("1.0",) if state is State.FOUND else ())


@pytest.mark.parametrize(
    ("sections", "expected", "drift"),
    [
        (seen(OK, "one"), "1.0", False),
        (seen(OK, "one"), "1.1", True),
        (seen(OK, "one"), "", False),
        (seen(OK, "one"), "0:1.0", False),  # the same to dpkg
        (seen(OK, "one"), "not a version", True),
        (seen(OK, "none"), "1.0", True),  # it is gone
        (seen(ABSENT, "none"), "1.0", True),  # and its manager with it
        (seen(FAILED), "1.0", False),  # unknown is neither
        ((), "1.0", False),
    ],
)
def test_a_host_drifts_when_the_audit_shows_another_version_than_the_last_verified_release(sections, expected, drift):
    assert rules.finding(LABAPP, sections, CONTENTS, expected).drift is drift


def test_an_rpm_of_the_version_is_expected_whatever_its_release():
    sections = seen(OK, "rpm", section="software.rpm")
    assert not rules.finding(RPM, sections, CONTENTS, "1.1").drift
    assert rules.finding(RPM, sections, CONTENTS, "1.1-4.el9").drift


def test_a_component_is_expected_where_the_audit_after_the_deployment_had_it():
    both = {LABAPP: "1.1", RPM: "1.1"}
    assert rules.expectations([Proof("p1", both, seen(OK, "two"))], CONTENTS) == {LABAPP: "1.1"}
    assert rules.expectations(
        [Proof("p1", both, seen(OK, "two")), Proof("p2", {LABAPP: "1.0"}, seen(OK, "one"))], CONTENTS
    ) == {LABAPP: "1.0"}
    assert rules.expectations([Proof("p1", both, seen(FAILED, "lost"))], CONTENTS) == {}


# -- the whole


def test_hosts_are_counted_by_version_and_those_that_differ_are_named():
    proof = (Proof("p1", {LABAPP: "1.1"}, seen(OK, "two")),)
    hosts = [
        *(HostSeen(f"web-{n}", "live", NOON, seen(OK, "two"), proof) for n in range(3)),
        HostSeen("web-7", "live", NOON, seen(OK, "one"), proof),
        HostSeen("web-8", "live", None, (), proof),
        HostSeen("db-1", "live", NOON, seen(ABSENT, "none")),
        HostSeen("t", "test", NOON, seen(OK, "one")),
    ]
    cells = rules.matrix([LABAPP], hosts, CONTENTS)[LABAPP]
    live = cells["live"]
    assert live.counts == {
        (State.FOUND, ("1.1",)): 3, (State.FOUND, ("1.0",)): 1, (State.UNKNOWN, ()): 1, (State.NOT_APPLICABLE, ()): 1,
    }  # fmt: skip
    assert (live.drift, live.common) == (1, ("1.1",))
    assert [(cell.host, cell.finding) for cell in live.exceptions] == [
        ("web-7", Finding(State.FOUND, ("1.0",), "1.1", True)),
        ("web-8", Finding(State.UNKNOWN, (), "1.1")),
    ]
    assert [cell.host for cell in live.all] == ["db-1", "web-0", "web-1", "web-2", "web-7", "web-8"]
    assert (cells["test"].common, cells["test"].exceptions) == (("1.0",), [])


def test_an_environment_of_which_nothing_is_known_has_nothing_in_common():
    cell = rules.matrix([LABAPP], [HostSeen("a", "live", NOON, seen(FAILED))], {})[LABAPP]["live"]
    assert cell.common is None and [one.host for one in cell.exceptions] == ["a"]


kinds = st.sampled_from([seen(OK, "one"), seen(OK, "two"), seen(OK, "none"), seen(FAILED), seen(ABSENT, "none"), ()])
fleets = st.lists(st.tuples(st.sampled_from(["live", "test"]), kinds, st.booleans()), max_size=12).map(
    lambda drawn: [
        HostSeen(
            f"h{n}", environment, NOON, sections, (Proof("p1", {LABAPP: "1.1"}, seen(OK, "two")),) if proved else ()
        )
        for n, (environment, sections, proved) in enumerate(drawn)
    ]
)


@given(fleets, st.randoms())
def test_every_host_is_counted_once_and_their_order_makes_no_difference(hosts: list[HostSeen], random):
    cells = rules.matrix([LABAPP], hosts, CONTENTS)[LABAPP]
    assert sorted(cell.host for one in cells.values() for cell in one.all) == sorted(host.name for host in hosts)
    assert sum(sum(one.counts.values()) for one in cells.values()) == len(hosts)
    shuffled = list(hosts)
    random.shuffle(shuffled)
    assert rules.matrix([LABAPP], shuffled, CONTENTS)[LABAPP] == cells


@given(fleets)
def test_hosts_looked_at_together_are_judged_as_each_would_be_alone(hosts: list[HostSeen]):
    together = rules.matrix([LABAPP], hosts, CONTENTS)[LABAPP]
    for host in hosts:
        (alone,) = rules.matrix([LABAPP], [host], CONTENTS)[LABAPP][host.environment].all
        assert alone in together[host.environment].all
