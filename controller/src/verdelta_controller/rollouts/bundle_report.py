"""What was found when evidence was checked: statements that hold or do not, in plain words, host by host."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..foundation.errors import VerdeltaError
from .verdict import Verdict


class Refuted(Exception):
    """A statement does not hold, which the report says; what rests on it was not looked at."""


class Statement(NamedTuple):
    """One thing that was checked, of a host or ("") of the whole; `reason` says why it does not hold."""

    host: str
    text: str
    holds: bool
    reason: str = ""

    def __str__(self) -> str:
        about = f"{self.host}: {self.text}" if self.host else self.text
        return f"{about}: holds" if self.holds else f"{about}: does not hold: {self.reason}"


class HostFound(NamedTuple):
    """What the evidence proves of a host: its last state in the roll-out ("" for none), and the verdict anew."""

    name: str
    state: str
    verdict: Verdict | None


@dataclass
class Claim:
    """A statement while it is being checked: its text may become more exact on the way."""

    text: str


@dataclass
class Report:
    """Everything that was looked at.  It holds as a whole when each statement does."""

    rollout: int | None = None
    release: str = ""
    statements: list[Statement] = field(default_factory=list)
    hosts: list[HostFound] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Return whether the evidence proves what it says."""
        return bool(self.statements) and all(statement.holds for statement in self.statements)

    @contextmanager
    def claim(self, text: str, host: str = "") -> Iterator[Claim]:
        """Note that a statement holds when the block ends, and does not when it raises.  Raises Refuted then."""
        claim = Claim(text)
        try:
            yield claim
        except Exception as error:
            self.statements.append(Statement(host, claim.text, False, _reason(error)))
            raise Refuted(claim.text) from error
        self.statements.append(Statement(host, claim.text, True))

    def document(self) -> dict[str, Any]:
        """Return the report as JSON, for programs."""
        return {
            "holds": self.holds,
            "rollout": self.rollout,
            "release": self.release,
            "statements": [statement._asdict() for statement in self.statements],
            "hosts": [
                {"host": name, "state": state, "verdict": None if verdict is None else verdict.document()}
                for name, state, verdict in self.hosts
            ],
        }


def _reason(error: Exception) -> str:
    """Return why a statement does not hold.  The file may be hostile: whatever it did to a check, that one failed."""
    text = error.message if isinstance(error, VerdeltaError) else f"{type(error).__name__}: {error}"
    return text[:500]
