"""The picture of a roll-out: a tree on a terminal, one line a change elsewhere, and the exit code of who waited."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from tests.support.views import EVE, UPGRADE, host, item, rollout, wave

from verdelta_controller.cli import journal, tree
from verdelta_controller.cli.watching import exit_code
from verdelta_controller.rollouts.states import HostState, RolloutState, WaveState

HOSTILE = "\x1b[2J[red]x[/red]\u202e\nb"


def as_lines(view: dict[str, Any], width: int = 80, height: int = 0) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
    console.print(tree.rollout(view, width, height))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def verified(*names: str) -> list[dict[str, Any]]:
    return [host(name, "verified", [UPGRADE]) for name in names]


RUNNING = rollout(
    "running",
    wave(1, "passed", *verified("web-01", "web-02")),
    wave(
        2,
        "running",
        *verified(*(f"web-{n:02}" for n in range(3, 12))),
        host("web-12", "at_variance", [UPGRADE, EVE]),
        host("web-13", "auditing_after"),
        host("web-14", "auditing_after"),
        host("db-01", "installing", step={"kind": "started", "task": "Install the packages"}),
    ),
    wave(3, "waiting", *(host(f"w-{n}", "pending") for n in range(28))),
)


def test_a_running_rollout_folds_hosts_about_which_the_same_is_to_be_said():
    assert as_lines(RUNNING, 100) == [
        "labapp 1.1 → 43 hosts                     roll-out 12 · wave 2 of 3 · 12 of 43 ended · 1 at variance",
        "├─ ✔ wave 1                    2/2 verified, same change on each",
        "├─ ▶ wave 2                    9/13 verified",
        "│   ├─ ✔ 9 verified            same change on each",
        "│   ├─ ✖ web-12                1 unexpected",
        "│   │     ! system.users  eve  added, not authorised",
        "│   ├─ ▶ db-01                 installing: Install the packages",
        "│   └─ ◌ web-13, web-14        auditing after",
        "└─ · wave 3                    28 waiting, opens when wave 2 is verified",
    ]


def test_many_hosts_at_work_are_counted_by_what_they_are_at():
    step = {"kind": "started", "task": "Install the packages"}
    view = rollout("running", wave(1, "running", *(host(f"h{n}", "installing", step=step) for n in range(40))))

    assert as_lines(view)[2:] == ["    └─ ▶ 40 installing  Install the packages"]


def test_a_tree_that_is_higher_than_the_terminal_counts_hosts_together():
    step = {"kind": "started", "task": "Install the packages"}
    view = rollout("running", wave(1, "running", *(host(f"h{n}", "installing", step=step) for n in range(8))))

    assert len(as_lines(view, height=24)) == 10
    assert len(as_lines(view, height=8)) == 3


def test_different_changes_on_verified_hosts_are_not_called_the_same():
    other = item(
        "matched", "software.dpkg", "labapp:all", "version 0.9 → 1.1", {"version": "0.9"}, {"version": "1.1.1"}
    )
    hosts = [*verified("a", "b", "c"), host("d", "verified", [other])]

    assert "4/4 verified, 2 different changes" in as_lines(rollout("finished", wave(1, "passed", *hosts)))[1]


def test_a_suspended_rollout_says_who_holds_it_up_and_what_can_be_done():
    view = rollout(
        "suspended",
        wave(
            1,
            "paused",
            host("web-07", "at_variance", [EVE]),
            host("web-08", "failed", reason="web-08: Install: no such package\nmore", install_error="no such package"),
            host("web-09", "indeterminate", reason="not reached"),
        ),
    )

    lines = as_lines(view)

    assert "    └─ ✖ web-08                failed: Install: no such package" in lines
    assert "    ├─ ? web-09                indeterminate: not reached" in lines
    assert lines[-5:] == [
        "‖ suspended: web-07 at variance; web-08 failed; web-09 indeterminate.",
        "  verdelta rollout show 12 web-07  what is not as released there",
        "  verdelta rollout resume 12       audit again, retry what failed, and go on",
        "  verdelta rollout back-out 12     take its hosts back to what they were",
        "  verdelta rollout cancel 12       leave it at this",
    ]


def test_resume_is_not_offered_where_there_is_nothing_to_resume():
    view = rollout("suspended", wave(1, "stopped", host("web-07", "back_out_failed", [EVE])))

    assert "‖ suspended: web-07 back-out failed." in as_lines(view)
    assert not any("resume" in line for line in as_lines(view))


def test_a_rehearsal_claims_nothing_and_points_to_the_review_of_what_it_changed():
    varying = {**verified("a")[0], "state": "at_variance"}
    shown = as_lines({**rollout("finished", wave(1, "passed", varying)), "purpose": "rehearsal"})
    said = " ".join(shown)
    assert "✔ finished: rehearsed on 1 host. What that changed is to be reviewed: " in said
    assert said.endswith("verdelta release rehearsed labapp 1.1")
    assert "rehearsal 12" in shown[0] and "exactly what was released" not in said


def test_success_is_claimed_only_of_a_finished_rollout():
    finished = rollout("finished", wave(1, "passed", *verified("a")))
    cancelled = rollout("cancelled", wave(1, "stopped", *verified("a"), host("b", "pending")))

    assert as_lines(finished)[-1] == "✔ finished: 1 host verified: what changed is exactly what was released."
    assert as_lines(cancelled)[-1] == "■ cancelled: 1 of 2 hosts had been begun."


def test_only_a_few_of_many_wrong_rows_are_shown_and_the_rest_is_counted():
    wrong = [item("unexpected", "system.files", f"/etc/{n}", "added, not authorised") for n in range(9)]

    lines = as_lines(rollout("suspended", wave(1, "paused", host("web-07", "at_variance", wrong))))

    assert sum(" ! system.files" in line for line in lines) == 5
    assert any(line.strip() == "and 4 more" for line in lines)


STATES = st.sampled_from([state.value for state in HostState])


@given(
    st.lists(STATES, min_size=1, max_size=30),
    st.sampled_from([state.value for state in WaveState]),
    st.sampled_from([state.value for state in RolloutState]),
    st.integers(80, 200),
    st.integers(0, 50),
)
def test_every_state_has_a_picture_that_fits(states: list[str], wave_state: str, state: str, width: int, height: int):
    evil = item("unexpected", HOSTILE, HOSTILE * 30, HOSTILE * 30, None, {})
    hosts = [
        host(f"{HOSTILE}{n}", one, [evil], reason=HOSTILE * 20, step={"kind": HOSTILE, "task": HOSTILE * 20})
        for n, one in enumerate(states)
    ]

    lines = as_lines(rollout(state, wave(1, wave_state, *hosts), release=HOSTILE), width, height)

    assert all(line.isprintable() for line in lines)
    assert max(map(cell_len, lines)) <= width


# -- as lines


def news(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
    return [line.plain for line in journal.news(before, after)]


def test_the_first_lines_tell_what_has_begun():
    view = rollout("running", wave(1, "running", host("a", "auditing_before"), host("b", "pending")))

    assert news(None, view) == [
        "roll-out 12: labapp 1.1 → 2 hosts",
        "▶ wave 1 running",
        "◌ a                     auditing before",
    ]


def test_each_change_is_one_line_and_a_step_within_an_install_is_none():
    before = rollout("running", wave(1, "running", host("a", "installing"), host("b", "verified")))
    step = {"kind": "started", "task": "Install"}
    meanwhile = rollout("running", wave(1, "running", host("a", "installing", step=step), host("b", "verified")))
    after = rollout("suspended", wave(1, "paused", host("a", "at_variance", [EVE]), host("b", "verified")))

    assert news(before, meanwhile) == []
    assert news(meanwhile, after)[:4] == [
        "✖ a                     1 unexpected",
        "    ! system.users  eve  added, not authorised",
        "‖ wave 1 paused",
        "‖ suspended: a at variance.",
    ]


# -- what it means to whoever waited


@pytest.mark.parametrize(
    ("state", "hosts", "code"),
    [
        ("finished", ["verified"], 0),
        ("backed_out", ["backed_out"], 0),
        ("suspended", ["verified", "at_variance"], 3),
        ("suspended", ["at_variance", "failed"], 1),
        ("suspended", ["at_variance", "indeterminate"], 1),
        ("suspended", ["failed"], 1),
        ("suspended", ["back_out_failed"], 1),
        ("cancelled", ["verified"], 1),
        ("cancelled", ["at_variance"], 1),
    ],
)
def test_the_exit_code_is_3_for_differences_alone_and_0_only_for_what_is_proved(
    state: str, hosts: list[str], code: int
):
    assert exit_code(rollout(state, wave(1, "paused", *(host(str(n), one) for n, one in enumerate(hosts))))) == code
