"""What is asked of dates, passwords and attempts."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.access import people_rules as rules
from verdelta_controller.access.rules import Role, Standing
from verdelta_controller.foundation.errors import InvalidInput

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)
moments = st.datetimes(timezones=st.just(UTC) | st.timezones())


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_failures_never_mean_less_waiting_and_the_wait_has_a_limit(one: int, more: int):
    assert rules.wait_after(one) <= rules.wait_after(one + more) <= rules.LONGEST_WAIT


def test_a_few_failures_are_free():
    assert [rules.wait_after(n).total_seconds() for n in range(4, 12)] == [0, 30, 60, 120, 240, 480, 900, 900]


@given(moments, moments)
def test_a_loan_is_refused_or_lies_ahead_with_an_end_within_a_year(begins: datetime, ends: datetime):
    try:
        term = rules.loan_term(begins, ends, NOON)
    except InvalidInput:
        return
    assert NOON <= term.begins_at < term.ends_at <= term.begins_at + rules.LOAN_MOST


@given(moments | st.none(), moments | st.none())
def test_a_term_of_ones_own_is_refused_or_lies_ahead(begins: datetime | None, ends: datetime | None):
    try:
        term = rules.own_term(begins, ends, NOON)
    except InvalidInput:
        return
    assert term.begins_at >= NOON and (term.ends_at is None or term.ends_at > term.begins_at)


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (NOON - 2 * DAY, NOON + DAY, "2026-11-24 is in the past"),
        (NOON, NOON, "is in the past"),
        (NOON + 2 * DAY, NOON + DAY, "end before it begins"),
        (NOON, NOON + 367 * DAY, "366 days at most"),
    ],
)
def test_dates_that_cannot_be_are_named(begins: datetime, ends: datetime, said: str):
    with pytest.raises(InvalidInput, match=said):
        rules.loan_term(begins, ends, NOON)


def test_what_began_a_moment_ago_begins_now():
    assert rules.loan_term(NOON - timedelta(seconds=3), NOON + DAY, NOON) == (NOON, NOON + DAY)


@given(st.text(st.characters(codec=None), max_size=250))
def test_a_password_is_refused_without_being_said_or_is_text_of_a_sane_length(password: str):
    try:
        rules.check_password(password, "alice")
    except InvalidInput as error:
        assert len(password) < 4 or password not in str(error)
        return
    assert rules.PASSWORD_LEAST <= len(password) <= rules.PASSWORD_MOST
    assert rules.normal(password).encode()


@pytest.mark.parametrize("name", ["alice.adams.the.first"])
def test_ones_own_name_is_no_password(name: str):
    for guess in (name, name.upper(), name[::-1]):
        with pytest.raises(InvalidInput, match="easily guessed"):
            rules.check_password(guess, name)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("standing", Standing)
def test_administrators_are_nothing_else_and_nobody_else_is_one(standing: Standing, role: Role):
    if (standing is Standing.ADMINISTRATOR) == (role is Role.ADMINISTRATOR):
        return rules.check_roles(standing, role)
    with pytest.raises(InvalidInput, match="cannot be"):
        rules.check_roles(standing, role)
    return None
