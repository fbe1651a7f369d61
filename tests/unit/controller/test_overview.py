"""What is asked of audits and roll-outs for many hosts at once."""

from collections.abc import Iterator

import pytest
from tests.support.scene import Scene
from tests.support.web import a_controller

from verdelta_agent.model import Section, failed

OLD = {"software.dpkg": {"labapp:all": {"version": "1.0"}}, "system.units": {}, "system.files": {}}
NEW = {
    "software.dpkg": {"labapp:all": {"version": "1.1"}},
    "system.units": {"labapp.service": {"enabled": "enabled"}},
    "system.files": {"/etc/labapp.conf": {"mode": "0644"}},
}
ODD = {**NEW, "system.users": {"eve": {"uid": 1001}}}


@pytest.fixture
def scene(tmp_path, database_url) -> Iterator[Scene]:
    with a_controller(tmp_path, database_url) as services:
        yield Scene(services)


def test_last_audits_say_when_and_what_could_not_be_read_of_each_host_that_was_audited(scene):
    one, two, never = (scene.host(name) for name in ("one", "two", "never"))
    scene.audit(one, OLD)
    newest = scene.audit(one, {**NEW, "software.rpm": failed("locked")})
    scene.audit(two, {"system.users": Section("ok", {}, {}, "/etc/shadow: refused")})

    found = scene.services.inventory.last_audits([one.id, two.id, never.id])

    assert set(found) == {one.id, two.id}
    assert found[one.id].confirmed_at == newest.confirmed_at
    assert found[one.id].sections["software.rpm"].error == "locked"
    assert found[two.id].sections["system.users"].error == "/etc/shadow: refused"
    assert scene.services.inventory.last_audits([]) == {}


def test_the_states_of_a_host_come_some_at_a_time(scene):
    host = scene.host("one")
    first, second, third = scene.audit(host, OLD), scene.audit(host, NEW), scene.audit(host, ODD)
    snapshots = scene.services.inventory.snapshots

    assert [s.id for s in snapshots(host.id, 2)] == [third.id, second.id]
    assert [s.id for s in snapshots(host.id, 2, second.id)] == [first.id]
    assert snapshots(host.id, 2, first.id) == []


def test_roll_outs_are_tallied_by_the_states_of_their_hosts(scene):
    one, two, three = (scene.host(name) for name in ("one", "two", "three"))
    number = scene.rollout(scene.release(), [one, two, three])
    before = scene.audit(one, OLD)
    scene.install(number, one, before)
    scene.conclude(number, one, before, scene.audit(one, NEW))

    assert scene.services.overview.tallies([number, 99]) == {number: {"verified": 1, "pending": 2}}
    assert scene.services.overview.tallies([]) == {}


def test_the_newest_deployment_of_each_host_is_found_with_its_roll_out(scene):
    one, two = scene.host("one"), scene.host("two")
    first = scene.rollout(scene.release("1.0"), [one, two])
    second = scene.rollout(scene.release("1.1"), [one])

    found = scene.services.overview.newest_on([one.id, two.id, "f" * 32])

    assert {host_id: view["rollout"]["version"] for host_id, view in found.items()} == {one.id: "1.1", two.id: "1.0"}
    assert [found[one.id]["rollout"]["id"], found[two.id]["rollout"]["id"]] == [second, first]


def test_a_deployment_lies_around_what_changed_between_its_audits_and_around_nothing_else(scene):
    host = scene.host("one")
    earlier, before = scene.audit(host, {}), scene.audit(host, OLD)
    number = scene.rollout(scene.release(), [host])
    between = scene.services.overview.between
    assert between(host.id, earlier.id, before.id) == []

    scene.install(number, host, before)
    after = scene.audit(host, NEW)
    assert [d["rollout"]["id"] for d in between(host.id, before.id, after.id)] == [number], "its end is open"

    scene.conclude(number, host, before, after)
    later = scene.audit(host, ODD)
    assert [d["state"] for d in between(host.id, before.id, after.id)] == ["verified"]
    assert between(host.id, earlier.id, before.id) == []
    assert between(host.id, after.id, later.id) == []


def test_a_deployment_that_ended_without_an_audit_explains_nothing(scene):
    host = scene.host("one")
    before = scene.audit(host, OLD)
    number = scene.rollout(scene.release(), [host])
    scene.install(number, host, before)
    scene.records.give_up(scene.deployment(number, host), "the host is silent")

    after = scene.audit(host, ODD)
    assert scene.services.overview.between(host.id, before.id, after.id) == []
