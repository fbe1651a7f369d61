"""Reports that could not be delivered: kept in their order, bounded, and what had to be dropped is counted.

state/spool/ holds a file for each signed message, named by its sequence number, and "dropped": how many were given up.
Each file is written as a whole or not at all, and removed once the controller has said that it took the message.  Who
uses the spool holds the lock of the state directory.
"""

import os
import re
from typing import List, NamedTuple

from .identity import make_directory, replace

MESSAGES = 60  # two months of nights; fewer than the unanswered messages that a host remembers
BYTES = 64 << 20  # of all of them together
NAME = re.compile(r"[0-9]{20}\Z")


class Waiting(NamedTuple):
    """What is in the spool: messages, bytes, when the oldest was made (seconds of the epoch), and how many are gone."""

    messages: int
    bytes: int
    since: float
    dropped: int


class Spool:
    """The messages of one host that wait for its controller."""

    def __init__(self, state: str) -> None:
        self._directory = os.path.join(state, "spool")

    def names(self) -> List[str]:
        """Return the names of the messages, the oldest first."""
        try:
            return sorted(filter(NAME.match, os.listdir(self._directory)))
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes:
        """Return a message."""
        with open(self._path(name), "rb") as file:
            return file.read(BYTES + 1)

    def add(self, sequence: int, envelope: bytes) -> None:
        """Keep a message; where there is no more room, the oldest ones are dropped for it."""
        make_directory(self._directory)
        replace(self._path("%020d" % sequence), envelope)
        names = self.names()
        sizes = {name: os.stat(self._path(name)).st_size for name in names}
        while len(names) > 1 and (len(names) > MESSAGES or sum(sizes[name] for name in names) > BYTES):
            self.drop(names.pop(0))

    def remove(self, name: str) -> None:
        """Forget a message that was delivered."""
        os.unlink(self._path(name))

    def drop(self, name: str) -> None:
        """Give a message up, and count it."""
        replace(self._path("dropped"), b"%d\n" % (self.dropped() + 1))  # first: rather one too many than one unseen
        self.remove(name)

    def dropped(self) -> int:
        """Return how many messages were given up since this host enrolled."""
        try:
            with open(self._path("dropped"), "rb") as file:
                return int(file.read(20))
        except (FileNotFoundError, ValueError):
            return 0

    def clear(self) -> None:
        """Forget all: these were messages of an earlier enrolment."""
        for name in self.names() + ["dropped"]:
            if os.path.exists(self._path(name)):
                os.unlink(self._path(name))

    def waiting(self) -> Waiting:
        """Return what is in the spool."""
        found = [os.stat(self._path(name)) for name in self.names()]
        oldest = min((status.st_mtime for status in found), default=0.0)
        return Waiting(len(found), sum(status.st_size for status in found), oldest, self.dropped())

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)
