"""Which state may follow which: tables of transitions, and one error for the rest."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from .errors import Conflict

State = TypeVar("State", bound=StrEnum)


class IllegalTransition(Conflict):
    """This cannot follow from the state that it is in."""


class StateTable(Generic[State]):
    """The transitions of one kind of thing; a state without successors is its end."""

    def __init__(self, thing: str, table: Mapping[State, tuple[State, ...]]) -> None:
        self.thing = thing
        self.table = table

    def allowed(self, current: State) -> tuple[State, ...]:
        """Return the states that may follow."""
        return self.table[current]

    def next_state(self, current: State, wanted: State) -> State:
        """Return the wanted state.  Raises IllegalTransition when it may not follow."""
        if wanted in self.table[current]:
            return wanted
        following = ", ".join(str(state) for state in self.table[current]) or "nothing"
        raise IllegalTransition(
            f"{self.thing} that is {current} cannot become {wanted}", mend=f"From {current} follows: {following}."
        )
