"""Environments: what may be said of them, which bookings conflict, and where a release may go."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.fleet import environment_rules as rules
from verdelta_controller.fleet.environment_rules import NewBooking, NewEnvironment, Slot, Stage, Step
from verdelta_controller.foundation.errors import InvalidInput

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

slots = st.builds(
    lambda number, begins, length, exclusive: Slot(
        number, NOON + begins * HOUR, NOON + (begins + length) * HOUR, exclusive
    ),
    st.integers(1, 50),
    st.integers(0, 20),
    st.integers(1, 8),
    st.booleans(),
)
calendars = st.lists(slots, max_size=12, unique_by=lambda slot: slot.number)


# -- bookings


@given(slots, slots)
def test_a_conflict_is_one_for_both_sides(one: Slot, other: Slot):
    assert rules.conflict(one, other) == rules.conflict(other, one)


@given(calendars, st.randoms())
def test_any_order_of_bookings_gives_the_same_conflicts(calendar: list[Slot], random):
    shuffled = list(calendar)
    random.shuffle(shuffled)
    assert rules.conflicts(shuffled) == rules.conflicts(calendar)


@given(calendars)
def test_the_conflicts_are_exactly_the_pairs_that_conflict(calendar: list[Slot]):
    found = {(one, other) for one, others in rules.conflicts(calendar).items() for other in others}
    assert found == {
        (one.number, other.number)
        for one in calendar
        for other in calendar
        if one is not other and rules.conflict(one, other)
    }


def test_a_booking_that_begins_when_another_ends_is_no_conflict():
    first, second = Slot(1, NOON, NOON + HOUR, True), Slot(2, NOON + HOUR, NOON + 2 * HOUR, True)
    assert rules.conflicts([first, second]) == {}


def test_bookings_that_let_others_in_do_not_conflict_until_one_wants_to_be_alone():
    both = [Slot(1, NOON, NOON + HOUR, False), Slot(2, NOON, NOON + HOUR, False)]
    assert rules.conflicts(both) == {}
    assert rules.conflicts([both[0], both[1]._replace(exclusive=True)]) == {1: [2], 2: [1]}


A_BOOKING = NewBooking("web team", "rehearsal", NOON + HOUR)


def test_a_booking_without_a_beginning_begins_at_once():
    assert rules.check_booking(A_BOOKING, NOON) == Slot(0, NOON, NOON + HOUR, False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"begins_at": NOON - HOUR}, "would begin in the past, at 2026-11-26 11:00 UTC"),
        ({"ends_at": NOON}, "would end in the past, at 2026-11-26 12:00 UTC"),
        ({"begins_at": NOON + 2 * HOUR}, "before it begins"),
        ({"ends_at": NOON + timedelta(days=367)}, "more than 366 days"),
        ({"begins_at": NOON + timedelta(days=1097), "ends_at": NOON + timedelta(days=1099)}, "1098 days away"),
        ({"ends_at": datetime(2027, 1, 1)}, "needs its time zone"),
        ({"ends_at": datetime(1, 1, 1, tzinfo=timezone(14 * HOUR))}, "no moment that can be booked"),
        ({"booked_for": " "}, "booked for"),
        ({"booked_for": "x" * 101}, "booked for"),
        ({"purpose": "a\x1b[31m"}, "purpose"),
        ({"purpose": "\ud800"}, "purpose"),
        ({"purpose": "a\nb"}, "purpose"),
        ({"release": "../x"}, "release"),
        ({"release": "labapp", "version": "1 1"}, "version"),
        ({"version": "1.1"}, "of which release"),
    ],
)
def test_what_is_no_booking_is_refused(wrong, said):
    with pytest.raises(InvalidInput, match=said):
        rules.check_booking(A_BOOKING._replace(**wrong), NOON)


# -- environments


@pytest.mark.parametrize("name", ["", "-live", "a b", "a/b", "..", "ü", "x" * 64, "a\0", "all", "matrix", "order"])
def test_what_cannot_name_an_environment_is_refused(name):
    with pytest.raises(InvalidInput):
        rules.check_environment(NewEnvironment(name, Stage.LIVE))


@pytest.mark.parametrize("field", ["team", "description"])
@pytest.mark.parametrize("text", ["a\nb", "\x1b", "\ud800", "x" * 501])
def test_what_is_said_of_an_environment_is_one_readable_line(field, text):
    with pytest.raises(InvalidInput, match=field):
        rules.check_environment(NewEnvironment("live", Stage.LIVE, **{field: text}))


def test_an_unknown_environment_is_told_the_nearest_one():
    assert rules.unknown_environment("stagin", ["test", "staging"]).endswith("did you mean staging?")
    assert rules.unknown_environment("x", ["test"]) == "there is no environment 'x'"


def test_a_release_passes_stages_in_their_order_whatever_the_positions():
    way = [Step("b", Stage.LIVE, 1, 0), Step("z", Stage.TEST, 9, 0), Step("a", Stage.LIVE, 1, 0)]
    assert [step.name for step in rules.in_order(way)] == ["z", "a", "b"]


STAGED = {"test": Stage.TEST, "staging": Stage.STAGING, "eu": Stage.LIVE, "us": Stage.LIVE}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["test", "staging", "eu"], "us is missing"),
        (["test", "staging", "eu", "us", "eu"], "named twice"),
        (["test", "staging", "eu", "uk"], "there is no environment 'uk'"),
        (["test", "eu", "staging", "us"], "staging is of stage staging, and cannot come after eu"),
        ([], "is missing"),
    ],
)
def test_an_order_that_is_none_is_refused(names, said):
    with pytest.raises(InvalidInput, match=said):
        rules.checked_order(names, STAGED)


# -- promotion

WAY = [
    Step("build", Stage.BUILD, 1, 0),
    Step("test", Stage.TEST, 1, 2),
    Step("staging", Stage.STAGING, 1, 2),
    Step("live", Stage.LIVE, 1, 40),
    Step("live-us", Stage.LIVE, 2, 40),
]


def test_a_package_goes_on_when_it_is_verified_in_every_environment_before():
    assert rules.may_enter("live", WAY, {"test", "staging"}) == ""
    assert rules.may_enter("live", WAY, {"test"}) == "not verified in staging yet, which comes before live"
    assert "test, staging" in rules.may_enter("live", WAY, {"build", "live-us"})


def test_an_environment_without_hosts_can_verify_nothing_and_is_not_waited_for():
    assert rules.may_enter("test", WAY, set()) == ""
    assert rules.may_enter("test", [WAY[0]._replace(hosts=1), *WAY[1:]], set()).startswith("not verified in build")


def test_environments_of_one_stage_do_not_wait_for_each_other():
    assert rules.may_enter("live-us", WAY, {"test", "staging"}) == ""


def test_the_policy_says_which_stages_are_required():
    assert rules.may_enter("live", WAY, {"test"}, {Stage.TEST}) == ""
    assert rules.may_enter("live", WAY, set(), {Stage.TEST}).startswith("not verified in test")


def test_an_environment_that_is_not_there_cannot_be_entered():
    with pytest.raises(InvalidInput, match="did you mean live"):
        rules.may_enter("liv", WAY, set())


names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
ways = st.lists(
    st.builds(Step, names, st.sampled_from(Stage), st.integers(1, 3), st.integers(0, 2)),
    min_size=1,
    max_size=6,
    unique_by=lambda step: step.name,
)


@given(ways, st.sets(names), names)
def test_more_proof_never_closes_a_way(way: list[Step], verified: set[str], more: str):
    for step in way:
        if rules.may_enter(step.name, way, verified) == "":
            assert rules.may_enter(step.name, way, verified | {more}) == ""
