"""Environments and bookings on both databases: no slot is given twice, nothing that is in use goes away."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text
from tests.support.concurrently import at_once
from tests.support.web import a_controller

from verdelta_controller.fleet import bookings, environments
from verdelta_controller.fleet.bookings import Booked
from verdelta_controller.fleet.environment_rules import NewBooking, NewEnvironment, Stage
from verdelta_controller.fleet.rules import NewHost
from verdelta_controller.foundation.database import Database, alembic_config
from verdelta_controller.foundation.errors import Conflict, GateClosed, InvalidInput, NotFound
from verdelta_controller.wiring import Services

HOUR = timedelta(hours=1)
START = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def services(tmp_path, database_url) -> Iterator[Services]:
    with a_controller(tmp_path, database_url) as services:
        yield services


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Hold the clock of bookings at START, and let time pass."""
    moment = [START]
    for module in (bookings, environments):
        monkeypatch.setattr(module, "now", lambda: moment[0])

    def pass_by(time: timedelta) -> None:
        moment[0] += time

    return pass_by


def a_booking(begins: float, ends: float, **given: Any) -> NewBooking:
    """Return a booking from so many hours after START until so many."""
    said: dict[str, Any] = {"booked_for": "web team", "purpose": "rehearsal", "exclusive": True, **given}
    return NewBooking(begins_at=START + begins * HOUR, ends_at=START + ends * HOUR, **said)


def evidence(services: Services, kind: str) -> list[Any]:
    with services.database.reading() as session:
        return [json.loads(entry.content) for entry in services.evidence.entries(session, kind=kind)]


def numbers(booked: list[Booked]) -> dict[int | None, list[int]]:
    return {one.booking.id: one.conflicts for one in booked}


# -- environments


def test_a_new_controller_has_the_four_usual_environments_in_their_order(services):
    assert [step[:2] for step in services.environments.way()] == [(stage.value, stage) for stage in Stage]


def test_an_environment_joins_its_stage_and_is_found_by_name(services):
    services.environments.add(NewEnvironment("perf", Stage.TEST, "testers", "Load."), "admin")
    services.fleet.add_host(NewHost("a", "check-in", environment="perf"))
    assert [step.name for step in services.environments.way()] == ["build", "test", "perf", "staging", "live"]
    found, hosts = services.environments.named("perf")
    assert (found.team, found.description, hosts) == ("testers", "Load.", 1)
    assert evidence(services, "environment-added")[0]["by"] == "admin"
    with pytest.raises(Conflict, match="there is an environment named perf"):
        services.environments.add(NewEnvironment("perf", Stage.LIVE), "admin")
    with pytest.raises(NotFound, match="did you mean perf"):
        services.environments.named("perv")


def test_the_order_of_promotion_is_changed_as_a_whole_or_not_at_all(services):
    services.environments.add(NewEnvironment("canary", Stage.LIVE), "admin")
    services.environments.order(["build", "test", "staging", "canary", "live"], "admin")
    assert [one.environment.name for one in services.environments.all()][-2:] == ["canary", "live"]
    with pytest.raises(InvalidInput):
        services.environments.order(["test", "build", "staging", "canary", "live"], "admin")
    assert [step.name for step in services.environments.way()] == ["build", "test", "staging", "canary", "live"]
    assert len(evidence(services, "environments-ordered")) == 1


def test_a_host_is_in_an_environment_that_is_there_or_in_none(services):
    with pytest.raises(InvalidInput, match="did you mean staging"):
        services.fleet.add_host(NewHost("a", "check-in", environment="stagin"))
    with pytest.raises(NotFound):
        services.fleet.host_named("a")
    services.fleet.add_host(NewHost("a", "check-in", environment="staging"))
    with pytest.raises(InvalidInput, match="did you mean live"):
        services.fleet.change_host("a", {"environment": "Live"})
    assert services.fleet.change_host("a", {"environment": ""}).environment == ""


def test_an_environment_in_use_stays(services, later):
    services.fleet.add_host(NewHost("a", "check-in", environment="test"))
    with pytest.raises(GateClosed, match="test has 1 host"):
        services.environments.remove("test", "admin")
    booked = services.bookings.book("build", a_booking(0, 2), "alice")
    with pytest.raises(GateClosed, match="build is booked"):
        services.environments.remove("build", "admin")
    services.bookings.cancel(booked.booking.id, "alice")
    services.environments.remove("build", "admin")
    assert "build" not in [step.name for step in services.environments.way()]
    assert evidence(services, "environment-removed") == [{"by": "admin"}]
    assert services.bookings.book("test", a_booking(0, 2), "alice").booking.id > booked.booking.id


def test_no_host_is_left_in_an_environment_that_was_removed_at_the_same_moment(services):
    for number in range(5):
        name = f"e{number}"
        services.environments.add(NewEnvironment(name, Stage.LIVE), "admin")
        at_once(
            [
                lambda name=name: services.environments.remove(name, "admin"),
                lambda name=name: services.fleet.add_host(NewHost(f"h-{name}", "check-in", environment=name)),
            ]
        )
        there = name in [step.name for step in services.environments.way()]
        assert there == (f"h-{name}" in [host.name for host in services.fleet.hosts()])


def test_environments_that_hosts_name_already_are_made_by_the_migration(database_url):
    database = Database(database_url)
    config = alembic_config()
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for name, environment in (("a", "office"), ("b", "office"), ("c", "test"), ("d", "")):
            connection.execute(
                text(
                    'INSERT INTO host (id, name, reach, agent, address, port, "user", become, python, agent_state,'
                    " agent_path, host_key, environment, groups, accepted_gaps, created_at) VALUES (:name, :name,"
                    " 'check-in', 'agentless', '', 22, '', :become, '', '', '', '', :environment, '[]', '[]', :at)"
                ),
                {"name": name, "environment": environment, "become": False, "at": START.replace(tzinfo=None)},
            )
    database.migrate()
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT name, stage FROM environment ORDER BY position")).all()
    database.close()
    assert [tuple(row) for row in found] == [
        ("build", "build"), ("test", "test"), ("staging", "staging"), ("live", "live"), ("office", "live"),
    ]  # fmt: skip


# -- bookings


def test_what_is_booked_exclusively_is_refused_to_others_with_the_booking_that_is_in_the_way(services, later):
    first = services.bookings.book("staging", a_booking(1, 3), "alice")
    assert (first.state, first.conflicts) == ("planned", [])
    with pytest.raises(GateClosed) as refused:
        services.bookings.book("staging", a_booking(2, 4, exclusive=False), "bob")
    assert refused.value.exit_code == 5
    assert "staging is booked exclusively for web team from 2026-11-26 13:00 UTC to 2026-11-26 15:00 UTC" in str(
        refused.value
    )
    assert f"booking {first.booking.id}: rehearsal" in str(refused.value)
    assert services.bookings.book("test", a_booking(1, 3), "bob").conflicts == []
    assert services.bookings.book("staging", a_booking(3, 4), "bob").conflicts == []
    assert [one["by"] for one in evidence(services, "environment-booked")] == ["bob", "bob", "alice"]


def test_shared_bookings_are_kept_and_their_conflict_is_shown_on_both(services, later):
    first = services.bookings.book("staging", a_booking(1, 3), "alice")
    second = services.bookings.book("staging", a_booking(2, 4), "bob", share=True)
    assert second.conflicts == [first.booking.id]
    shown = services.bookings.between(START, START + 10 * HOUR, "staging")
    assert numbers(shown) == {first.booking.id: [second.booking.id], second.booking.id: [first.booking.id]}
    assert evidence(services, "environment-booked")[0]["conflicts"] == [first.booking.id]


def test_the_same_booking_again_has_no_second_effect(services, later):
    first = services.bookings.book("staging", a_booking(0, 3), "alice")
    later(HOUR)
    again = services.bookings.book("staging", a_booking(0, 3), "alice")
    assert again.booking.id == first.booking.id
    assert len(evidence(services, "environment-booked")) == 1
    with pytest.raises(InvalidInput, match="in the past"):
        services.bookings.book("staging", a_booking(0, 3), "bob")


def test_of_many_that_want_a_slot_at_the_same_moment_one_gets_it(services):
    ends = datetime.now(UTC) + HOUR
    for _ in range(3):
        results = at_once(
            [
                lambda who=who: services.bookings.book("staging", NewBooking(who, "x", ends, exclusive=True), who)
                for who in ("alice", "bob", "carol", "dave")
            ]
        )
        assert sorted(type(result).__name__ for result in results) == ["Booked", *["GateClosed"] * 3]
        (booked,) = [result for result in results if isinstance(result, Booked)]
        services.bookings.cancel(booked.booking.id, "alice")


def test_of_two_that_grow_into_each_other_at_the_same_moment_one_does(services):
    now = datetime.now(UTC)

    def slot(begins: int, ends: int) -> NewBooking:
        return NewBooking("x", "x", now + ends * HOUR, now + begins * HOUR, exclusive=True)

    first = services.bookings.book("staging", slot(1, 2), "alice").booking.id
    results = at_once(
        [
            lambda: services.bookings.move_end(first, now + 5 * HOUR, "alice"),
            lambda: services.bookings.book("staging", slot(3, 4), "bob"),
        ]
    )
    assert sorted(type(result).__name__ for result in results) == ["Booked", "GateClosed"]


def test_a_booking_that_has_begun_ends_now_and_one_that_has_not_is_cancelled(services, later):
    running = services.bookings.book("staging", a_booking(0, 3), "alice").booking.id
    planned = services.bookings.book("staging", a_booking(4, 5), "alice").booking.id
    later(HOUR)
    ended = services.bookings.cancel(running, "bob")
    assert (ended.state, ended.booking.ends_at, ended.booking.closed_by) == ("over", START + HOUR, "bob")
    assert services.bookings.cancel(planned, "bob").state == "cancelled"
    later(HOUR)
    assert services.bookings.cancel(running, "carol").booking.closed_by == "bob"
    assert numbers(services.bookings.between(START, START + 10 * HOUR)) == {running: []}
    assert [len(evidence(services, kind)) for kind in ("booking-ended", "booking-cancelled")] == [1, 1]
    assert services.bookings.book("staging", a_booking(2, 6), "dave").conflicts == []
    with pytest.raises(GateClosed, match="is cancelled"):
        services.bookings.move_end(planned, START + 9 * HOUR, "alice")


def test_a_booking_is_prolonged_unless_another_is_in_the_way(services, later):
    first = services.bookings.book("staging", a_booking(0, 2), "alice").booking.id
    second = services.bookings.book("staging", a_booking(3, 4), "bob").booking.id
    assert services.bookings.move_end(first, START + 3 * HOUR, "alice").conflicts == []
    with pytest.raises(GateClosed, match=f"booking {second}"):
        services.bookings.move_end(first, START + 4 * HOUR, "alice")
    assert services.bookings.move_end(first, START + 4 * HOUR, "alice", share=True).conflicts == [second]
    assert services.bookings.move_end(first, START + 5 * HOUR, "alice").conflicts == [second]  # no further one
    assert services.bookings.move_end(first, START + HOUR, "alice").conflicts == []
    with pytest.raises(InvalidInput, match="in the past"):
        services.bookings.move_end(first, START, "alice")
    later(2 * HOUR)
    with pytest.raises(GateClosed, match="is over"):
        services.bookings.move_end(first, START + 9 * HOUR, "alice")
    with pytest.raises(GateClosed, match="was over"):
        services.bookings.cancel(first, "alice")
    assert len(evidence(services, "booking-end-moved")) == 4


@pytest.mark.parametrize("number", [-1, 0, 4711, 2**31, 2**63, 10**40])
def test_a_booking_that_is_not_there_is_not_found(services, number):
    for attempt in (
        lambda: services.bookings.cancel(number, "alice"),
        lambda: services.bookings.move_end(number, START, "alice"),
    ):
        with pytest.raises(NotFound, match=f"no booking {number}"):
            attempt()


@pytest.mark.parametrize("name", ["", "\0", "\ud800", "' OR 1=1 --", "x" * 10_000])
def test_an_environment_with_an_impossible_name_is_not_found(services, name):
    with pytest.raises(NotFound):
        services.bookings.book(name, a_booking(1, 2), "alice")
    if name:
        with pytest.raises(NotFound):
            services.bookings.between(START, START + HOUR, name)
