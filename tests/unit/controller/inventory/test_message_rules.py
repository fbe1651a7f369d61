"""Whatever the network does to one agent's messages ends in one state; two agents with one identity are noticed."""

import hashlib
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from verdelta_agent import identity, wire
from verdelta_agent.identity import History, Identity
from verdelta_agent.wire import Message
from verdelta_controller.foundation.errors import InvalidInput, VerdeltaError
from verdelta_controller.inventory.rules import (
    Accepted,
    Duplicate,
    Forked,
    LastMessage,
    Replayed,
    WrongAudience,
    WrongEpoch,
    WrongHost,
    accept,
)

ME = Identity("host-1", "controller-1", 2, "https://controller.example")


class Sent(NamedTuple):
    """A message on its way."""

    message: Message
    digest: str


def _sent(payload: bytes) -> Sent:
    return Sent(wire.decode_message(payload), hashlib.sha256(payload).hexdigest())


class Agent:
    """One machine, as the agent behaves: the history is kept before a message leaves."""

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.history = history
        self.made: list[Sent] = []

    def make(self) -> Sent:
        count = len(self.made)
        payload, self.history = identity.next_message(ME, self.history, wire.CHECK_IN, {"by": self.name, "n": count})
        self.made.append(_sent(payload))
        return self.made[-1]


class Controller:
    """The last accepted message, and every one that took effect."""

    def __init__(self) -> None:
        self.last = LastMessage(ME.host_id, ME.epoch)
        self.effects: list[str] = []

    def take(self, sent: Sent) -> Accepted | Duplicate:
        decided = accept(sent.message, sent.digest, self.last, ME.audience)
        if isinstance(decided, Accepted):
            self.last = decided.last
            self.effects.append(sent.digest)
        return decided


class OneAgent(RuleBasedStateMachine):
    """Messages and answers of one honest agent are lost, repeated, delayed and reordered."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent("only", History())
        self.controller = Controller()
        self.answers: list[str] = []

    @rule()
    def a_message_is_made(self) -> None:
        self.agent.make()

    @precondition(lambda self: self.agent.made)
    @rule(data=st.data())
    def one_of_those_made_arrives(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from(self.agent.made))
        before = (self.controller.last, list(self.controller.effects))
        try:
            decided = self.controller.take(sent)
        except Replayed:
            assert sent.message.sequence <= before[0].sequence
            assert (self.controller.last, self.controller.effects) == before
        else:
            if isinstance(decided, Duplicate):
                assert (self.controller.last, self.controller.effects) == before
        self.answers.append(self.controller.last.digest)  # an answer names the last accepted message, whatever it says

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def one_of_the_answers_arrives(self, data: st.DataObject) -> None:
        self.agent.history = identity.acknowledge(self.agent.history, data.draw(st.sampled_from(self.answers)))

    @invariant()
    def what_took_effect_is_each_once_in_the_order_it_was_made(self) -> None:
        order = {sent.digest: sent.message.sequence for sent in self.agent.made}
        effects = [order[digest] for digest in self.controller.effects]
        assert effects == sorted(set(effects))
        assert self.controller.last.digest == (self.controller.effects or [wire.GENESIS])[-1]

    @invariant()
    def the_agents_next_message_would_always_be_accepted(self) -> None:
        payload, _ = identity.next_message(ME, self.agent.history, wire.CHECK_IN, {})
        sent = _sent(payload)
        assert isinstance(accept(sent.message, sent.digest, self.controller.last, ME.audience), Accepted)


TestOneAgent = OneAgent.TestCase
TestOneAgent.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


class TwoClones(RuleBasedStateMachine):
    """A machine with any past was cloned; both go on, each seeing the answers to its own messages or not."""

    def __init__(self) -> None:
        super().__init__()
        self.controller = Controller()
        first = Agent("first", History())
        self.controller.take(first.make())
        self.clones = [first, Agent("second", first.history)]
        self.last_accepted_by: str | None = None

    @rule(which=st.integers(0, 1), answered=st.booleans())
    def a_clone_sends(self, which: int, answered: bool) -> None:
        clone = self.clones[which]
        other_was_accepted = self.last_accepted_by not in (None, clone.name)
        try:
            self.controller.take(clone.make())
        except (Forked, Replayed):
            assert other_was_accepted  # a clone whose twin is silent is as good as the machine itself
        else:
            assert not other_was_accepted  # never two histories in one
            self.last_accepted_by = clone.name
        if answered:
            clone.history = identity.acknowledge(clone.history, self.controller.last.digest)

    @precondition(lambda self: self.last_accepted_by is not None)
    @rule(ahead=st.integers(1, 50))
    def a_clone_that_is_ahead_is_called_a_fork(self, ahead: int) -> None:
        clone = next(clone for clone in self.clones if clone.name != self.last_accepted_by)
        history = clone.history._replace(sequence=self.controller.last.sequence + ahead)
        payload, _ = identity.next_message(ME, history, wire.CHECK_IN, {})
        with pytest.raises(Forked, match="two machines hold the identity host-1"):
            self.controller.take(_sent(payload))


TestTwoClones = TwoClones.TestCase
TestTwoClones.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def _message(**fields: object) -> Message:
    return Message(ME.audience, ME.host_id, ME.epoch, 8, "last", wire.CHECK_IN, {})._replace(**fields)


LAST = LastMessage(ME.host_id, ME.epoch, 7, "last")


def _decide(message: Message, last: LastMessage = LAST) -> Accepted | Duplicate:
    return accept(message, "digest", last, ME.audience)


def test_two_different_messages_under_one_number_are_of_two_machines() -> None:
    late = _message(sequence=3, previous="long ago")
    with pytest.raises(Replayed):
        accept(late, "digest", LAST, ME.audience)
    with pytest.raises(Replayed):
        accept(late, "digest", LAST, ME.audience, same_number="digest")
    with pytest.raises(Forked, match="two different messages 3"):
        accept(late, "digest", LAST, ME.audience, same_number="another")


def test_the_next_message_is_accepted_and_becomes_the_last() -> None:
    assert _decide(_message()) == Accepted(LastMessage(ME.host_id, ME.epoch, 8, "digest"))


def test_the_same_message_again_has_no_second_effect() -> None:
    last = LAST._replace(sequence=8, digest="digest")
    assert _decide(_message(), last) == Duplicate(last)


def test_nothing_more_is_accepted_from_an_identity_that_forked() -> None:
    for last in (LAST, LAST._replace(sequence=8, digest="digest")):
        with pytest.raises(Forked, match="verdelta host invite"):
            _decide(_message(), last._replace(forked=True))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"audience": "controller-2"}, WrongAudience),
        ({"host_id": "host-2"}, WrongHost),
        ({"epoch": 1}, WrongEpoch),
        ({"epoch": 3}, WrongEpoch),
        ({"epoch": 10**400}, WrongEpoch),
        ({"sequence": 7}, Forked),
        ({"sequence": 6}, Replayed),
        ({"sequence": 1}, Replayed),
        ({"sequence": 0}, InvalidInput),
        ({"sequence": -(10**400)}, InvalidInput),
        ({"sequence": 1 << 63}, InvalidInput),
        ({"previous": "the one before"}, Forked),
        ({"previous": ""}, Forked),
    ],
)
def test_any_other_message_is_refused(fields: dict[str, object], error: type[VerdeltaError]) -> None:
    with pytest.raises(error):
        _decide(_message(**fields))


def test_a_host_that_missed_an_answer_is_no_fork() -> None:
    assert isinstance(_decide(_message(previous="before", body={"unanswered": ["last"]})), Accepted)


def test_the_first_message_of_a_host_that_never_enrolled_names_none_before_it() -> None:
    never = LastMessage(ME.host_id, ME.epoch)
    assert isinstance(_decide(_message(previous=wire.GENESIS, sequence=1), never), Accepted)
    with pytest.raises(Forked):
        _decide(_message(previous="something", sequence=1), never)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_stands_for_unanswered_never_crashes(value: object) -> None:
    with pytest.raises(Forked):
        _decide(_message(previous="elsewhere", body={"unanswered": value}))
