"""States have a sign, a word and a tone, the same words in the pages as on the command line."""

import re
from importlib.resources import files

import pytest

from verdelta_controller.cli import signs as cli_signs
from verdelta_controller.rollouts.states import HostState, RolloutState, WaveState
from verdelta_controller.rollouts.verdict import Outcome
from verdelta_controller.web import signs

TABLES = [
    ("HOSTS", HostState),
    ("WAVES", WaveState),
    ("ROLLOUTS", RolloutState),
    ("OUTCOMES", Outcome),
]


@pytest.mark.parametrize("name, states", TABLES)
def test_every_state_has_a_sign_and_the_word_that_the_command_line_has(name, states):
    table, of_cli = getattr(signs, name), getattr(cli_signs, name)
    assert set(table) == {state.value for state in states}
    assert {state: sign.word for state, sign in table.items()} == {state: sign.word for state, sign in of_cli.items()}


def test_every_sign_is_drawn():
    drawn = (files("verdelta_controller.web") / "templates/signs.svg.html").read_text()
    symbols = set(re.findall(r'<symbol id="sign-(\w+)"', drawn))
    tables = (signs.HOSTS, signs.WAVES, signs.ROLLOUTS, signs.OUTCOMES, signs.SECTIONS, signs.OPERATIONS)
    assert {sign.sign for table in tables for sign in table.values()} <= symbols


def test_states_that_look_alike_differ_in_their_word():
    assert len({sign.word for sign in signs.HOSTS.values()}) == len(signs.HOSTS)


def test_a_state_of_a_newer_version_is_shown_as_unsure():
    assert signs.sign_of(signs.HOSTS, "half_done") == ("question", "half done", signs.UNSURE)


def test_a_bar_has_one_stretch_a_tone_and_leaves_free_what_is_to_come():
    counts = {"pending": 2, "failed": 1, "verified": 4, "at_variance": 1, "installing": 2}
    assert signs.shares(counts) == [("good", 0.0, 400.0), ("bad", 400.0, 200.0), ("busy", 600.0, 200.0)]
    assert signs.shares({"pending": 3}) == []
    assert signs.shares({}) == []
