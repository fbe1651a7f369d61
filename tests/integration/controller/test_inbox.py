"""One list of all that waits for a person, on both databases."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tests.support.releases import Releases, some_releases
from tests.support.web import TestClient, a_token

from verdelta_controller.access.rules import Actor, Role, Standing
from verdelta_controller.app import create_app
from verdelta_controller.fleet.environment_rules import NewBooking
from verdelta_controller.foundation.clock import now
from verdelta_controller.releases import facts
from verdelta_controller.releases.manifest import ReleaseType
from verdelta_controller.releases.policy_service import policy_of
from verdelta_controller.releases.sides import Purpose
from verdelta_controller.rollouts.states import RolloutState
from verdelta_controller.rollouts.tables import Rollout


@pytest.fixture
def releases(tmp_path, database_url) -> Iterator[Releases]:
    with some_releases(tmp_path, database_url) as found:
        yield found


def waiting(releases: Releases, name: str) -> list[str]:
    """Return what waits for a person, each as its release and what is to be run."""
    found = releases.services.inbox.of(releases.people[name]).entries
    return [f"{entry.release}: {entry.action}" for entry in found]


def join(releases: Releases, name: str, *roles: Role) -> None:
    """Let one more person take part."""
    person = releases.services.people.accounts.create_person(name, name.title(), "root", Standing.MEMBER, roles)
    releases.people[name] = Actor(name, frozenset(roles), person.id)


def test_a_release_goes_from_one_inbox_to_the_next(releases):
    everybody = ("rita", "bob", "tess", "tom", "bea", "carl")
    releases.build()
    assert {name: waiting(releases, name) for name in everybody if waiting(releases, name)} == {
        "tess": ["labapp 1.1: verdelta release test labapp 1.1"]
    }
    rehearsal = releases.begin_rehearsal()
    assert [waiting(releases, name) for name in everybody] == [[]] * 6
    releases.end_rehearsal(rehearsal)
    assert waiting(releases, "tom") == ["labapp 1.1: verdelta release criteria labapp 1.1"]
    assert waiting(releases, "tess") == [
        "labapp 1.1: verdelta release rehearsed labapp 1.1",
        "labapp 1.1: verdelta release criteria labapp 1.1",
    ]
    releases.tell()
    releases.accept_change()
    assert waiting(releases, "tess") == ["labapp 1.1: verdelta release sign labapp 1.1 acceptance"]
    assert waiting(releases, "bea") == []
    releases.sign("tess", Purpose.ACCEPTANCE)
    assert waiting(releases, "bea") == ["labapp 1.1: verdelta release sign labapp 1.1 business"]
    assert waiting(releases, "rita") == ["labapp 1.1: verdelta release sign labapp 1.1 implementation"]
    releases.sign("bea", Purpose.BUSINESS)
    releases.sign("rita", Purpose.IMPLEMENTATION)
    assert waiting(releases, "rita") == ["labapp 1.1: verdelta release authorise labapp 1.1"]
    releases.service.authorise("labapp", "1.1", releases.people["rita"])
    join(releases, "dora", Role.DEPLOYMENT_STAFF)
    assert waiting(releases, "dora") == ["labapp 1.1: verdelta rollout start labapp 1.1"]
    assert [waiting(releases, name) for name in everybody] == [[]] * 6


def test_who_stands_on_another_side_is_not_asked(releases):
    releases.services.people.grants.grant("bob", Role.TEST_MANAGER, "root")
    releases.build("bob", version="1.1")
    assert waiting(releases, "bob") == []
    assert len(waiting(releases, "tess")) == 1


def test_only_who_was_appointed_is_asked_and_who_stands_in_for_her(releases):
    releases.build()
    join(releases, "theo", Role.TEST_MANAGER)
    tess = releases.people["tess"]
    releases.signing.appoint("labapp", "1.1", tess.person_id, "tess", Role.TEST_MANAGER, releases.people["rita"])
    assert waiting(releases, "theo") == []
    assert len(waiting(releases, "tess")) == 1
    join(releases, "deputy")
    releases.services.people.grants.lend("tess", Role.TEST_MANAGER, tess, now(), now() + timedelta(days=30), "deputy")
    (entry,) = releases.services.inbox.of(releases.people["deputy"]).entries
    assert (entry.role, entry.lent) == (Role.TEST_MANAGER, True)


def test_a_waiver_waits_for_everybody_who_may_grant_it_but_not_for_who_asked(releases):
    releases.build()
    until = now() + timedelta(days=5)
    asked = releases.records.ask_waiver("labapp", "1.1", "known-errors high", "known", until, releases.people["rita"])
    command = f"labapp 1.1: verdelta release grant {asked.id}"
    assert waiting(releases, "rita") == []
    assert waiting(releases, "carl") == [command]
    assert command in waiting(releases, "tess")
    assert waiting(releases, "bob") == []
    releases.records.grant_waiver(asked.id, releases.people["carl"])
    assert waiting(releases, "bea") == []


def test_a_roll_out_that_is_suspended_waits_for_the_deployment_staff_and_a_rehearsal_for_the_test_manager_too(releases):
    releases.build()
    join(releases, "dora", Role.DEPLOYMENT_STAFF)
    number = releases.begin_rehearsal()
    with releases.services.database.transaction() as session:
        rollout = session.get_one(Rollout, number)
        rollout.state, rollout.reason = RolloutState.SUSPENDED.value, "a host is silent"
        session.add(rollout)
    for name in ("dora", "tess"):
        (entry,) = releases.services.inbox.of(releases.people[name]).entries
        assert entry.what == f"rehearsal {number} is suspended: a host is silent"
        assert (entry.release, entry.action) == ("labapp 1.1", f"verdelta rollout status {number}")
    assert waiting(releases, "rita") == []


def test_bookings_that_conflict_wait_for_who_made_them_and_for_the_team_that_they_are_for(releases):
    bookings, until = releases.services.bookings, now() + timedelta(days=2)
    join(releases, "dora", Role.DEPLOYMENT_STAFF)
    releases.services.people.teams.create("web", "", ["dora"], "root")
    bookings.book("test", NewBooking("somebody", "load test", until, exclusive=True), "tess")
    bookings.book("staging", NewBooking("somebody", "alone there", until, exclusive=True), "rita")
    second = bookings.book("test", NewBooking("web", "rehearsal", until), "rita", share=True).booking
    for name in ("tess", "rita", "dora"):
        (entry,) = releases.services.inbox.of(releases.people[name]).entries
        assert "of test conflicts with" in entry.what
        assert entry.action == "verdelta environment bookings test"
    bookings.cancel(second.id, "rita")
    assert [waiting(releases, name) for name in ("tess", "rita", "dora")] == [[], [], []]


def test_a_role_that_is_lent_to_her_and_ends_within_a_week_is_told(releases):
    grants, rita = releases.services.people.grants, releases.people["rita"]
    join(releases, "deputy")
    grants.lend("rita", Role.RELEASE_MANAGER, rita, now(), now() + timedelta(days=6), "deputy")
    grants.lend("rita", Role.RELEASE_MANAGER, rita, now(), now() + timedelta(days=8), "bob")
    (entry,) = releases.services.inbox.of(releases.people["deputy"]).entries
    assert entry.what.startswith("release-manager, lent by rita, ends on ")
    assert waiting(releases, "bob") == []
    grants.withdraw("rita", Role.RELEASE_MANAGER, "root")
    assert waiting(releases, "deputy") == []


def test_roles_count_from_this_moment_whatever_the_session_knew(releases):
    releases.build()
    releases.services.people.grants.withdraw("tess", Role.TEST_MANAGER, "root")
    assert waiting(releases, "tess") == []


def test_what_waits_longest_comes_first_and_closed_releases_are_not_looked_at(releases):
    for version in ("1.1", "1.2", "1.3"):
        releases.build(version=version)
    releases.service.cancel("labapp", "1.1", releases.people["rita"])
    assert waiting(releases, "tess") == [
        "labapp 1.2: verdelta release test labapp 1.2",
        "labapp 1.3: verdelta release test labapp 1.3",
    ]


def test_gates_of_many_releases_at_once_are_what_they_are_one_by_one(releases):
    releases.accepted("1.1")
    releases.build(version="1.2")
    releases.end_rehearsal(releases.begin_rehearsal(version="1.2"), passed=False)
    releases.build(version="1.2", build=2)  # what was rehearsed and told is of another package now
    releases.service.draft("labapp", "1.3", ReleaseType.MINOR, "lab", None, releases.people["rita"])
    every = releases.service.releases()
    with releases.services.database.reading() as session:
        together = facts.gather_all(session, every)
        assert together == {
            release.id: facts.gather(session, release, policy_of(session, release)) for release in every
        }
    assert together[every[1].id].rehearsal is None


def test_nothing_waits_for_a_token_and_it_is_told_why(releases):
    releases.build()
    client = TestClient(
        create_app(releases.services), headers={"authorization": f"Bearer {a_token(releases.services)}"}
    )
    found = client.get("/api/v1/inbox").json()
    assert (found["count"], found["entries"]) == (0, [])
    assert "Log in as one" in found["note"]
    assert client.get("/api/v1/inbox/count").json() == {"count": 0}
