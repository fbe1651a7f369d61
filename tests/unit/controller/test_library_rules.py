"""What may be said of content that is brought in, and which versions may be retired."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verdelta_controller.foundation.errors import GateClosed, InvalidInput
from verdelta_controller.library.rules import MAY_RETIRE, Holding, Origin, Use, check_may_retire, checked_origin, in_use
from verdelta_controller.releases.rules import ReleaseState
from verdelta_controller.rollouts.states import HostState

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@given(st.text(max_size=300) | st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "\0", "\n"])).map("".join))
def test_a_name_that_is_taken_never_leads_anywhere(name: str):
    try:
        taken = checked_origin(Origin(name, "ci")).file_name
    except InvalidInput:
        return
    assert taken not in ("", ".", "..") and taken.isprintable() and len(taken) <= 200
    assert "/" not in taken and "\\" not in taken


@given(st.text(min_size=1, max_size=30))
def test_what_is_taken_once_is_taken_again_as_it_is(name: str):
    try:
        taken = checked_origin(Origin(name, "ci"))
    except InvalidInput:
        return
    assert checked_origin(taken) == taken


@pytest.mark.parametrize(
    "source", ["https://a:b@example.org/x", "ftp://:b@host", "x" * 1001, "two\nlines", "\x1b[2J", "\u202e"]
)
def test_a_source_that_should_not_be_kept_is_refused(source: str):
    with pytest.raises(InvalidInput):
        checked_origin(Origin("x", "ci", source))


def test_every_state_of_a_release_is_decided_upon():
    for state in ReleaseState:
        use = Use(1, "labapp", "1.0", state.value)
        if state.value in MAY_RETIRE:
            check_may_retire(use, [])
        else:
            with pytest.raises(GateClosed):
                check_may_retire(use, [])
    assert {ReleaseState(state) for state in MAY_RETIRE} < set(ReleaseState)


@pytest.mark.parametrize("certain", [True, False])
def test_what_is_or_may_be_on_a_host_is_not_retired(certain: bool):
    held = [Holding(f"h{n}", 1, 1, HostState.VERIFIED.value, certain, NOW) for n in range(7)]
    with pytest.raises(GateClosed, match="h0, h1, h2, h3, h4 and 2 more"):
        check_may_retire(Use(1, "labapp", "1.0", "deployed"), held)


@given(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_in_use_is_what_is_used_and_not_retired(used: set[int], retired: set[int]):
    uses = [Use(n, "labapp", str(n), "closed") for n in used]
    found = {use.release_id for use in in_use(uses, {("labapp", str(n)) for n in retired})}
    assert found == used - retired
